# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a kernel without code from the working directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from gpulab_server import kernel_start, layers, specs


def test_module_of_the_working_directory_is_not_run(tmp_path: Path) -> None:
    """Unlike with -m; the arguments are the module's."""
    (tmp_path / "json").mkdir()
    for name in ("json/__init__.py", "json/tool.py", "runpy.py", "pathlib.py"):
        (tmp_path / name).write_text("print('foreign')\n")
    argv = [sys.executable, specs.START, "json.tool", "--compact"]
    done = subprocess.run(argv, cwd=tmp_path, input='{"a": 1}', capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == '{"a":1}'


def test_directory_that_others_write_is_not_exclusive(tmp_path: Path) -> None:
    """By mode; what belongs to another user is not either."""
    from gpulab_server.kernel_start import exclusive

    tmp_path.chmod(0o700)
    assert exclusive(str(tmp_path))
    tmp_path.chmod(0o770)
    assert not exclusive(str(tmp_path))
    tmp_path.chmod(0o702)
    assert not exclusive(str(tmp_path))


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the state of this process, and return the list of commands of %pip."""
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", ModuleType("ipykernel.kernelapp"))
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(sys, "executable", sys.executable)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("GPULAB_ENVIRONMENT", "")
    commands: list[str] = []
    monkeypatch.setattr(kernel_start, "replace_pip", commands.append)
    return commands


def test_kernel_uses_the_layer(process: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its interpreter is the kernel's for child processes, its programs are first, and %pip runs a file."""
    monkeypatch.setattr(layers, "prepare", lambda name: tmp_path / name)
    monkeypatch.setattr(layers, "activate", lambda *_: None)
    monkeypatch.setattr(layers, "pip_directories", lambda: ["/tools"])
    assert kernel_start.use_layer("ml", layers) == ""
    assert sys.executable == f"{tmp_path}/ml/bin/python"
    assert os.environ["PATH"] == f"{tmp_path}/ml/bin:/bin"
    assert os.environ["GPULAB_ENVIRONMENT"] == "ml"
    assert process == [f"{tmp_path}/ml/bin/python /tools/pip/__main__.py"]


@pytest.mark.parametrize("error", [layers.LayerError("your home is full"), ValueError("your home is full")])
def test_kernel_starts_without_a_layer(process: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """With one line that says why, also for %pip."""

    def fail(name: str) -> Path:
        raise error

    before = sys.executable
    monkeypatch.setattr(layers, "prepare", fail)
    assert kernel_start.use_layer("ml", layers).endswith("without your own packages. your home is full")
    assert sys.executable == before
    assert os.environ["PATH"] == "/bin"
    assert process[0].startswith("echo 'gpulab: nothing is installed. your home is full'")


@pytest.mark.parametrize(
    ("prefix", "module"),
    [
        ("/home/ada/mine", "ipykernel_launcher"),
        ("/srv/envs/ml/current", "ipykernel_launcher"),
        ("/opt/gpulab/envs/ml/current", "x"),
    ],
)
def test_other_kernels_have_no_layer(monkeypatch: pytest.MonkeyPatch, prefix: str, module: str) -> None:
    """Environments of users, and other programs."""
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(kernel_start, "use_layer", lambda *_: pytest.fail("a layer was used"))
    assert kernel_start.layer_of_kernel(module) == ""
