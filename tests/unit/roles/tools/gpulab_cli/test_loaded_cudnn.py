# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cuDNN a framework loads: the verdict on maps of processes, and frameworks that are stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gpulab_cli import loaded_cudnn

ENVIRONMENT = Path("/opt/gpulab/envs/ml/releases/0c44")
OWN = f"{ENVIRONMENT}/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9"
SYSTEM = "/usr/lib/x86_64-linux-gnu/libcudnn_graph.so.9"
MODULE = "/opt/gpulab/cudnn/9.28-cuda13/releases/1/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9"


def maps(*paths: str) -> str:
    """Return the text of /proc/PID/maps of a process that has mapped these files, each twice."""
    lines = [
        f"7f00{number}000-7f00{number}fff r-xp 00000000 fe:00 {number}    {path}" for number, path in enumerate(paths)
    ]
    return "\n".join([*lines, "7ffe000-7fff000 rw-p 00000000 00:00 0          [stack]", *lines, ""])


def test_libraries_are_read_from_the_maps() -> None:
    """Once each, and no other library."""
    assert loaded_cudnn.loaded(maps(OWN, "/usr/lib/x86_64-linux-gnu/libc.so.6", SYSTEM)) == [OWN, SYSTEM]


def test_framework_with_its_own_library_passes() -> None:
    """All files are in its environment."""
    assert loaded_cudnn.verdict("PyTorch", [OWN], ENVIRONMENT) == (True, "PyTorch loads its own cuDNN")


@pytest.mark.parametrize("foreign", [SYSTEM, MODULE])
def test_framework_with_another_library_fails(foreign: str) -> None:
    """One file is enough; the sentence names it."""
    own, sentence = loaded_cudnn.verdict("TensorFlow", [OWN, foreign], ENVIRONMENT)
    assert not own
    assert sentence == f"TensorFlow loads {foreign} instead of the cuDNN of its environment {ENVIRONMENT}"


def test_environment_with_a_longer_name_is_another_one() -> None:
    """Paths are compared by their parts."""
    assert not loaded_cudnn.verdict("PyTorch", [OWN.replace("/0c44/", "/0c445/")], ENVIRONMENT)[0]


def test_framework_without_the_library_is_not_checked() -> None:
    """A build for the processor, or no GPU: neither passed nor failed."""
    own, sentence = loaded_cudnn.verdict("PyTorch", [], ENVIRONMENT)
    assert own
    assert sentence.startswith("PyTorch was not checked: without a GPU")


@pytest.fixture
def framework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a stand-in for JAX, the only framework of an environment."""
    monkeypatch.setattr(loaded_cudnn, "FRAMEWORKS", {"gpulab_standin": "JAX"})
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "gpulab_standin.py"


def test_process_of_a_framework_prints_what_it_loads(
    framework: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here with another library under the name of cuDNN."""
    library = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)
    copy = tmp_path / "libcudnn.so.9"
    copy.write_bytes(Path(library).read_bytes())
    framework.write_text(f"import ctypes\nctypes.CDLL({str(copy)!r})\n")
    try:
        assert loaded_cudnn.main(["gpulab_standin"]) == 0
    finally:
        sys.modules.pop("gpulab_standin", None)
    assert str(copy) in capsys.readouterr().out


def test_framework_that_cannot_be_imported_is_not_checked(framework: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason: its own process does not have this test's path."""
    framework.write_text("")
    assert loaded_cudnn.main([]) == 0
    assert "JAX was not checked: it cannot be imported: ModuleNotFoundError" in capsys.readouterr().out
