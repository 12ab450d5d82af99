# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs python, pip and uv of sessions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from gpulab_cli import layer_programs, layers


class Replaced(Exception):
    """This process would have been replaced by another program."""


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a dictionary with arguments and variables of the program that replaces this process."""
    result: dict[str, Any] = {}

    def execve(path: str, argv: list[str], variables: dict[str, str] | None = None) -> None:
        result.update(argv=argv, variables=variables or dict(os.environ))
        raise Replaced(path)

    monkeypatch.setattr(os, "execv", execve)
    monkeypatch.setattr(os, "execve", execve)
    return result


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a program that stands in for uv: it rejects torch==1.0, and prints the packages of a sync, like uv."""
    path = tmp_path / "uv"
    path.write_text(
        '#!/bin/sh\ncase "$*" in *torch==1.0*) '
        'echo "error: Because you require torch==1.0 and torch==2.0+cpu, we can conclude" >&2; exit 1;;\n'
        "*sync*torch*) echo ' + torch==2.0+cpu' >&2;; *sync*) echo ' + x==1.0' >&2;; esac\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(layer_programs, "UV", str(path))
    monkeypatch.chdir(tmp_path)
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_CONSTRAINT", "UV_EXCLUDE"):
        monkeypatch.delenv(name, raising=False)
    return path


def start(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    """Run the program by the name in argv."""
    monkeypatch.setattr(sys, "argv", ["/opt/gpulab/bin/" + argv[0], *argv[1:]])
    return layer_programs.main()


@pytest.mark.parametrize(("program", "first"), [("python", []), ("pip3", [layer_programs.PIP])])
def test_first_use_makes_the_layer(
    lab: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any], program: str, first: list[str]
) -> None:
    """And runs the program in it; pip by its path, not by -m."""
    with pytest.raises(Replaced):
        start(monkeypatch, program, "x")
    assert replaced["argv"] == [f"{layers.layer_directory('ml')}/bin/python", *first, "x"]


def test_programs_of_the_lab_run_with_the_layers_interpreter(
    lab: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Which has the user's packages; one that the environment does not have is named."""
    script = Path(layer_programs.lab_python("ml")).with_name("torchrun")
    script.write_text("")
    with pytest.raises(Replaced):
        start(monkeypatch, "torchrun", "x")
    assert replaced["argv"] == [f"{layers.layer_directory('ml')}/bin/python", str(script), "x"]
    assert start(monkeypatch, "ipython") == 127
    assert "the environment ml has no ipython" in capsys.readouterr().err


def test_broken_layer_leaves_the_labs_python(
    layer: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """With one line that says why; pip installs nothing."""
    (layer / "bin" / "python").unlink()
    with pytest.raises(Replaced):
        start(monkeypatch, "python", "x")
    assert replaced["argv"] == [layer_programs.lab_python("ml"), "x"]
    assert start(monkeypatch, "pip", "install", "x") == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_environment_is_that_of_the_session(lab: Path) -> None:
    """A kernel sets the variable; no name leads out of the directory."""
    assert layer_programs.environment_name({"GPULAB_ENVIRONMENT": "ml-torch"}) == "ml-torch"
    assert layer_programs.environment_name({}) == "ml"
    assert layer_programs.environment_name({"GPULAB_ENVIRONMENT": "../x"}) == "ml"


def test_uv_works_on_the_layer(
    layer: Path, uv: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any]
) -> None:
    """It leaves out the lab's packages, after it has checked their versions on the lab's environment."""
    monkeypatch.setenv("UV_EXCLUDE", "mine.txt")
    with pytest.raises(Replaced):
        start(monkeypatch, "uv", "pip", "install", "x")
    assert replaced["argv"] == [str(uv), "pip", "install", "x"]
    assert replaced["variables"]["VIRTUAL_ENV"] == str(layer)
    assert replaced["variables"]["UV_EXCLUDE"] == f"{layer}/excludes.txt mine.txt"
    assert (layer / "excludes.txt").read_text() == "numpy\ntorch\n"


def test_uv_does_not_replace_the_labs_packages(
    layer: Path, uv: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own message comes before the sentence."""
    with pytest.raises(SystemExit):
        start(monkeypatch, "uv", "pip", "install", "torch==1.0")
    assert replaced == {}
    assert "ml has torch 2.0+cpu" in capsys.readouterr().err.splitlines()[-1]


def test_sync_of_uv_copies_no_package_of_the_lab(
    layer: Path, uv: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any]
) -> None:
    """It can leave none out, unlike an installation; other packages are installed."""
    with pytest.raises(SystemExit, match="ml has torch; `uv pip sync` would install a second copy"):
        start(monkeypatch, "uv", "pip", "sync", "torch")
    assert replaced == {}
    with pytest.raises(Replaced):
        start(monkeypatch, "uv", "pip", "sync", "x")
    assert replaced["argv"] == [str(uv), "pip", "sync", "x"]


@pytest.mark.parametrize(
    "arguments",
    [["sync"], ["pip", "install", "--python", "x", "y"], ["pip", "install", "--target=x", "y"]],
    ids=["another command", "python", "target"],
)
def test_uv_for_another_environment_is_uv(
    lab: Path, uv: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, Any], arguments: list[str]
) -> None:
    """Nothing of the lab applies to it, and no layer is made."""
    with pytest.raises(Replaced):
        start(monkeypatch, "uv", *arguments)
    assert "UV_CONSTRAINT" not in replaced["variables"]
    assert not layers.layer_directory("ml").exists()


def test_active_environments_come_before_the_layer(tmp_path: Path) -> None:
    """As uv finds them: active, or .venv in a directory above; an active layer is the layer."""
    layer = tmp_path / "layer"
    assert layer_programs.targets_layer(["pip"], {}, tmp_path, layer)
    assert layer_programs.targets_layer(["pip"], {"VIRTUAL_ENV": str(layer)}, tmp_path, layer)
    assert not layer_programs.targets_layer(["pip"], {"VIRTUAL_ENV": "/mine"}, tmp_path, layer)
    assert not layer_programs.targets_layer(["pip"], {"CONDA_PREFIX": "/mine"}, tmp_path, layer)
    (tmp_path / ".venv").mkdir()
    (tmp_path / "below").mkdir()
    assert not layer_programs.targets_layer(["pip"], {}, tmp_path / "below", layer)
