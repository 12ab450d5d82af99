# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels of a locked version are searched on pages of indexes before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common.source_requests import Access
from ansible_collections.gpulab.core.plugins.module_utils.frameworks import wheel_pages
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.wheel_pages import Request, why_missing

PAGE = """<!DOCTYPE html><html><body>
<a href="/whl/cpu/torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl#sha256=00">one</a>
<a href="../torch-2.13.0%2Bcpu-cp313-cp313t-manylinux_2_28_x86_64.whl">free-threaded</a>
<a href="torch-2.13.0%2Bcpu-cp313-cp313-manylinux_2_28_aarch64.whl">another processor</a>
<a href="torch-2.12.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64.whl">another version</a>
<a href="torch-2.13.0-cp313-none-macosx_11_0_arm64.whl">another build</a>
<a>no link</a></body></html>"""


def request(python: str, package: str = "torch", version: str = "2.13.0+cpu") -> Request:
    """Return a request for a version of Python."""
    return Request(package, version, python, "x86_64")


def test_file_names_are_decoded() -> None:
    """Of absolute and relative links, without digests."""
    names = wheel_pages.file_names(PAGE)
    assert "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl" in names
    assert len(names) == 5


@pytest.mark.parametrize(
    ("name", "python", "expected"),
    [
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "3.11", True),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "3.13", False),
        ("Torch-2.13.0+cpu-1-cp313-cp313-linux_x86_64.whl", "3.13", True),
        ("torch-2.13.0+cpu-cp39-abi3-manylinux_2_28_x86_64.whl", "3.13", True),
        ("torch-2.13.0+cpu-cp314-abi3-manylinux_2_28_x86_64.whl", "3.13", False),
        ("torch-2.13.0+cpu-py3-none-any.whl", "3.13", True),
        ("torch-2.13.0+cpu-cp313-cp313t-manylinux_2_28_x86_64.whl", "3.13", False),
        ("torch-2.13.0+cpu.tar.gz", "3.13", False),
    ],
)
def test_wheel_fits_by_its_tags(tmp_path: Path, name: str, python: str, expected: bool) -> None:
    """Tags of Python, the stable ABI, free-threaded builds."""
    (tmp_path / name).touch()
    assert (why_missing(request(python), [], [str(tmp_path)], Access()) == "") is expected


def test_missing_wheel_is_named_with_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is shown without its login."""
    monkeypatch.setattr(wheel_pages, "request", lambda *_, **__: (200, PAGE.encode()))
    found = why_missing(request("3.13"), ["https://svc:s3cret@mirror/whl/cpu"], [], Access())
    assert "torch 2.13.0+cpu for this host's Python 3.13 on x86_64" in found
    assert "https://mirror/whl/cpu, which have it for Python 3.11" in found
    assert "s3cret" not in found
    assert why_missing(request("3.11"), ["https://mirror/whl/cpu"], [], Access()) == ""


def test_pages_of_indexes_have_the_normalized_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of wheels is read as it is."""
    asked: list[str] = []

    def answer(url: str, *_: object, **__: object) -> tuple[int, bytes]:
        asked.append(url)
        return 404, b""

    monkeypatch.setattr(wheel_pages, "request", answer)
    wanted = request("3.11", "Some_Package", "1")
    assert "no package source has" in why_missing(wanted, ["https://a/simple/"], ["https://b/wheels"], Access())
    assert asked == ["https://a/simple/some-package/", "https://b/wheels"]


@pytest.mark.parametrize("code", [401, 403, 503])
def test_source_that_cannot_be_read_does_not_lack_anything(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The check of the source itself reports it."""
    monkeypatch.setattr(wheel_pages, "request", lambda *_, **__: (code, b""))
    assert why_missing(request("3.13"), ["https://mirror/simple"], [], Access()) == ""
    assert why_missing(request("3.13"), [], [], Access()) == ""
