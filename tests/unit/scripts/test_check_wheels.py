# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels that overwrite each other are recognised from their tables of contents alone."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from scripts import check_wheels
from scripts.check_wheels import Entry


def wheel(path: Path, files: dict[str, str]) -> list[Entry]:
    """Make a wheel, and read its table of contents."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    with zipfile.ZipFile(path) as archive:
        return check_wheels.entries(archive)


def test_same_path_with_other_content_is_a_collision(tmp_path: Path) -> None:
    """A file with two contents is named with both wheels; one with the same content is not."""
    first = wheel(tmp_path / "a.whl", {"nvidia/lib/x.so": "cu12", "nvidia/__init__.py": "", "a.py": "a"})
    second = wheel(tmp_path / "b.whl", {"nvidia/lib/x.so": "cu13", "nvidia/__init__.py": "", "b.py": "a"})
    assert check_wheels.collisions({"a.whl": first, "b.whl": second}) == {
        "site-packages/nvidia/lib/x.so": ["a.whl", "b.whl"]
    }


def test_scripts_of_two_wheels_collide_where_they_are_installed(tmp_path: Path) -> None:
    """Files in the .data directory of a wheel are installed elsewhere than their names suggest."""
    first = wheel(tmp_path / "a.whl", {"a-1.data/scripts/run": "a", "a-1.data/purelib/m.py": "a"})
    second = wheel(tmp_path / "b.whl", {"b-1.data/scripts/run": "b", "m.py": "b"})
    assert list(check_wheels.collisions({"a": first, "b": second})) == ["bin/run", "site-packages/m.py"]


@pytest.mark.parametrize(
    ("names", "python", "expected"),
    [
        (["x-1-py3-none-any.whl", "x-1-cp311-cp311-manylinux_2_17_x86_64.whl"], "3.11", 1),
        (["x-1-cp312-cp312-manylinux_2_17_x86_64.whl", "x-1-cp38-abi3-manylinux2014_x86_64.whl"], "3.11", 1),
        (["x-1-cp311-cp311-manylinux_2_17_aarch64.whl"], "3.11", None),
        (["x-1-cp311-cp311-manylinux_2_39_x86_64.whl"], "3.11", None),
    ],
)
def test_wheel_is_the_one_that_an_installer_chooses(names: list[str], python: str, expected: int | None) -> None:
    """Interpreter, processor and C library decide."""
    urls = [f"https://mirror.example/{name}" for name in names]
    url = check_wheels.best_wheel({"wheels": [{"url": url} for url in urls]}, python)
    assert url == ("" if expected is None else urls[expected])


def test_vendor_builds_are_left_out_by_name() -> None:
    """Builds that are not checked are listed."""
    lock = "numpy==1.26.4 \\\n    --hash=sha256:aa\ntorch==2.13.0+cpu \\\n    --hash=sha256:bb\n"
    kept, left_out = check_wheels.without_local_versions(lock)
    assert (kept, left_out) == ("numpy==1.26.4 \\\n    --hash=sha256:aa\n", ["torch==2.13.0+cpu"])
