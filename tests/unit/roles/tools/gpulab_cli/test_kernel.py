# SPDX-License-Identifier: GPL-3.0-or-later
"""Users' own environments as kernels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gpulab_cli import kernel


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that looks like an environment whose Python has ipykernel."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    python = tmp_path / "MyEnv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho /site-packages/ipykernel_launcher.py\n")
    python.chmod(0o755)
    return tmp_path / "MyEnv"


def test_environment_is_registered_and_removed_as_a_kernel(environment: Path, tmp_path: Path) -> None:
    """Its programs are first on PATH; the environment itself is never changed."""
    assert "Reload" in kernel.add(environment, None, None)
    spec = json.loads((tmp_path / "share/jupyter/kernels/myenv/kernel.json").read_text())
    assert spec["argv"][:3] == [str(environment / "bin/python"), "/site-packages/ipykernel_launcher.py", "-f"]
    assert spec["env"]["PATH"] == f"{environment}/bin:${{PATH}}"
    assert spec["env"]["VIRTUAL_ENV"] == str(environment)
    assert kernel.own_kernels() == {"myenv": str(environment / "bin/python")}
    kernel.add(environment, None, "again")
    kernel.remove("myenv")
    assert kernel.own_kernels() == {}
    assert environment.is_dir()


def test_conda_environment_has_its_own_variable(environment: Path) -> None:
    """Programs read its prefix from it."""
    (environment / "conda-meta").mkdir()
    assert "CONDA_PREFIX" in kernel.specification(environment / "bin/python", "x", "/x")["env"]  # type: ignore[operator]


def test_errors_name_the_fix(environment: Path, tmp_path: Path) -> None:
    """One sentence each."""
    with pytest.raises(kernel.KernelError, match="python3 -m venv"):
        kernel.add(tmp_path / "nowhere", None, None)
    with pytest.raises(kernel.KernelError, match="--name"):
        kernel.add(environment, "my env", None)
    with pytest.raises(kernel.KernelError, match="your kernels: none"):
        kernel.remove("ml")
    (tmp_path / "share/jupyter/kernels/other").mkdir(parents=True)
    with pytest.raises(kernel.KernelError, match="not created by this command"):
        kernel.add(environment, "other", None)


def test_environment_without_ipykernel_and_pip_is_not_registered(environment: Path) -> None:
    """The message names the commands that install ipykernel."""
    (environment / "bin/python").write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    with pytest.raises(kernel.KernelError, match="conda install ipykernel"):
        kernel.add(environment, None, None)
    assert kernel.own_kernels() == {}
