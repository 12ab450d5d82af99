# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments in which one package has overwritten files of another are recognised."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks import wheel_records


def package(site: Path, name: str, path: str, text: str) -> None:
    """Install a package with one file."""
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (site / path).parent.mkdir(parents=True, exist_ok=True)
    (site / path).write_text(text)
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    (info / "RECORD").write_text(f"{path},sha256={digest},{len(text)}\n{info.name}/RECORD,,\n")


def test_overwritten_and_missing_files_are_named_with_their_package(tmp_path: Path) -> None:
    """The package that was installed last is intact, the one before is not."""
    package(tmp_path, "cu12", "nvidia/lib.so", "12")
    package(tmp_path, "other", "other.py", "x")
    assert wheel_records.damaged(distributions(path=[str(tmp_path)])) == []
    package(tmp_path, "cu13", "nvidia/lib.so", "13")
    (tmp_path / "other.py").unlink()
    assert sorted(wheel_records.damaged(distributions(path=[str(tmp_path)]))) == [
        "cu12: nvidia/lib.so has other content",
        "other: other.py is missing",
    ]


def test_bytecode_is_not_compared(tmp_path: Path) -> None:
    """A wheel that contains bytecode by mistake is intact when the installer has compiled it again."""
    package(tmp_path, "numpy", "numpy/__pycache__/x.cpython-311.pyc", "old")
    (tmp_path / "numpy/__pycache__/x.cpython-311.pyc").write_text("new")
    assert wheel_records.damaged(distributions(path=[str(tmp_path)])) == []


@pytest.mark.parametrize(("pin", "number"), [("9.28.0.42", 92800), ("9.10.2.21", 91002), ("2.30.7", 23007)])
def test_versions_are_counted_as_the_libraries_do(pin: str, number: int) -> None:
    """The fourth number of a wheel is its build."""
    assert wheel_records.version_number(pin) == number


LIBRARY = "int ncclGetVersion(int *version) { *version = 23007; return 0; }"


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler for a library that reports its version")
@pytest.mark.parametrize(("pin", "wrong"), [("2.30.7", 0), ("2.32.3", 1)])
def test_loaded_library_reports_the_pinned_version(tmp_path: Path, pin: str, wrong: int) -> None:
    """File names do not show the version; the library itself does."""
    directory = tmp_path / "nvidia" / "nccl" / "lib"
    directory.mkdir(parents=True)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(directory / "libnccl.so.2")],
        input=LIBRARY, text=True, timeout=120, check=True,
    )  # fmt: skip
    problems = wheel_records.wrong_libraries(
        Path(sys.executable), tmp_path, {"nvidia-nccl-cu13": pin, "numpy": "2.4.6"}
    )
    assert len(problems) == wrong
    assert all("2.32.3" in problem and "23007" in problem for problem in problems)
