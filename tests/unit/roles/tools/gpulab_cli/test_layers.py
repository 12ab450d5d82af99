# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's layer on an environment of the lab: what it sees, and what happens when it is broken."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gpulab_cli import layers

from tests.support.layers import VERSION, install


def run(layer: Path, code: str) -> str:
    """Run code in the interpreter of a layer and return what it prints."""
    argv = [f"{layer}/bin/python", "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True, cwd="/").stdout.strip()


def test_layer_sees_the_lab_and_comes_before_it(lab: Path, layer: Path) -> None:
    """Also a new release, at once, because the link is named."""
    assert run(layer, "import labmodule; print(labmodule.name)") == "lab"
    new = lab / "releases" / "two" / "lib" / f"python{VERSION}" / "site-packages"
    new.mkdir(parents=True)
    (new / "labmodule.py").write_text("name = 'new'\n")
    (lab / "current").unlink()
    (lab / "current").symlink_to("releases/two")
    assert run(layer, "import labmodule; print(labmodule.name)") == "new"
    (layers.site_directory(layer) / "labmodule.py").write_text("name = 'own'\n")
    assert run(layer, "import labmodule; print(labmodule.name)") == "own"


def test_pip_of_a_layer_has_constraints_that_the_user_can_lift(lab: Path, layer: Path) -> None:
    """All of the lab's versions, and one fewer when the user allows another version."""
    assert f"constraint = {layer}/constraints.txt" in (layer / "pip.conf").read_text()
    assert layers.write_constraints(layer, "ml") == {"numpy": "1.26.4", "torch": "2.0+cpu"}
    assert (layer / "constraints.txt").read_text() == "numpy==1.26.4\ntorch==2.0+cpu\n"
    (layer / "unlocked.txt").write_text("numpy\n")
    layers.write_constraints(layer, "ml")
    assert (layer / "excludes.txt").read_text() == "torch\n"
    (lab / "current" / ".gpulab-release.json").write_text("{")
    assert layers.write_constraints(layer, "ml") == {}


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (lambda layer: (layer / "bin" / "python").unlink(), "bin/python starts no interpreter"),
        (lambda layer: (layers.site_directory(layer) / layers.PTH).write_bytes(b"\xff"), "is damaged"),
        (lambda layer: (layers.site_directory(layer) / layers.PTH).write_text("x"), "does not name the lab's packages"),
        (lambda layer: (layer / "pyvenv.cfg").unlink(), "pyvenv.cfg: No such file"),
    ],
    ids=["interpreter", "damaged", "other", "configuration"],
)
def test_broken_layer_is_named_and_mended(layer: Path, how: Callable[[Path], object], named: str) -> None:
    """In one line with the command; packages stay."""
    install(layer, "mine")
    how(layer)
    with pytest.raises(layers.LayerError, match="`gpulab env repair ml` mends it") as caught:
        layers.prepare("ml")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    layers.make("ml", again=True)
    assert layers.prepare("ml") == layer
    assert run(layer, "import mine, labmodule; print(labmodule.name)") == "lab"


def test_link_to_nothing_is_named(layer: Path) -> None:
    """As after `gpulab env move` to a disk that is gone."""
    base = layer.parent
    base.rename(base.with_name("gone"))
    base.symlink_to("nowhere")
    with pytest.raises(layers.LayerError, match="leads to nowhere, which does not exist; `gpulab env reset ml`"):
        layers.prepare("ml")


def test_interrupted_first_use_is_completed(layer: Path) -> None:
    """The file that is written last does not exist."""
    (layer / layers.COMPLETE).unlink()
    (layers.site_directory(layer) / layers.PTH).unlink()
    assert run(layers.prepare("ml"), "import labmodule") == ""


@pytest.mark.parametrize(("error", "fix"), [(28, "your home is full"), (122, "your home is full"), (13, "accessible")])
def test_failed_first_use_names_the_fix(lab: Path, monkeypatch: pytest.MonkeyPatch, error: int, fix: str) -> None:
    """A full home by its disk or by a quota, and one that cannot be written."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error), "/home/x")

    monkeypatch.setattr(layers, "make", fail)
    with pytest.raises(layers.LayerError, match=fix):
        layers.prepare("ml")


def test_several_first_uses_at_once_make_one_layer(lab: Path) -> None:
    """All of them end well."""
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: layers.prepare("ml"), range(8)))
    assert made == {layers.layer_directory("ml")}
    assert not list(made.pop().glob("*.new"))


def test_packages_for_another_python_or_release_are_named(lab: Path, layer: Path) -> None:
    """Only if there are any."""
    assert layers.outdated("ml", layer) == ""
    (layer / layers.COMPLETE).write_text("former")
    assert layers.outdated("ml", layer) == ""
    install(layer, "my-package")
    assert layers.own_packages(layer) == ["my_package==1.0"]
    assert layers.outdated("ml", layer).startswith("ml has a new release; `gpulab env repair ml`")
    layers.mark_checked("ml", layer)
    assert layers.outdated("ml", layer) == ""
    former = layer.with_name("3.1")
    layers.site_directory(former).mkdir(parents=True)
    install(former, "old")
    assert "your packages for Python 3.1 must be installed again (old); `gpulab env repair ml`" in layers.outdated(
        "ml", layer
    )


def test_pip_of_the_layer_comes_before_the_labs(lab: Path) -> None:
    """The lab's own pip only prints how to install packages."""
    (layers.lab_site("ml", VERSION) / "pip.py").write_text("name = 'lab'\n")
    tools = layers.TOOLS / "lib" / f"python{VERSION}" / "site-packages" / "gpulab_cli" / "layer_path"
    tools.mkdir(parents=True)
    (tools / "pip.py").write_text("name = 'layer'\n")
    assert run(layers.prepare("ml"), "import pip; print(pip.name)") == "layer"


@pytest.fixture
def pip_version(lab: Path) -> str:
    """Let the tools have a pip, and return its version."""
    (layers.TOOLS / "lib" / f"python{VERSION}" / "site-packages" / "pip-26.3.dist-info").mkdir(parents=True)
    return "26.3"


def test_pip_of_a_layer_is_not_replaced(pip_version: str, layer: Path) -> None:
    """It counts as installed, in the version of the tools, also when these have another one."""
    assert layers.write_constraints(layer, "ml")["pip"] == pip_version
    directory = layers.link_pip(layer)
    assert [path.name for path in directory.iterdir()] == ["pip-26.3.dist-info"]
    site = layers.TOOLS / "lib" / f"python{VERSION}" / "site-packages"
    (site / "pip-26.3.dist-info").rename(site / "pip-27.0.dist-info")
    assert [path.resolve() for path in layers.link_pip(layer).iterdir()] == [site / "pip-27.0.dist-info"]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["install", "--user", "x"], ["install", "x"]),
        (["list", "--user"], ["list", "--user"]),
        (["install", "x"], None),
    ],
)
def test_installation_for_the_user_is_the_layers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], left: list[str] | None
) -> None:
    """The habit of shared servers does what it means; configuration that asks for it is overruled."""
    path = Path(layers.__file__).with_name("layer_path") / "pip" / "__main__.py"
    program = runpy.run_path(str(path))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setattr(sys, "argv", ["pip", *arguments])
    program["install_without_user"]()
    assert sys.argv == ["pip", *(left or arguments)]
    assert os.environ["PIP_USER"] == "0"
    assert ("--user is left out" in capsys.readouterr().err) == (left == ["install", "x"])


@pytest.fixture
def own_path(monkeypatch: pytest.MonkeyPatch, lab: Path) -> str:
    """Let this process look like the interpreter of the lab's environment, and return the lab's packages."""
    link = str(layers.lab_site("ml", VERSION))
    monkeypatch.setattr(sys, "path", [*sys.path, link])
    monkeypatch.setattr(sys, "prefix", sys.prefix)
    monkeypatch.setattr(sys, "exec_prefix", sys.exec_prefix)
    return os.path.realpath(link)


def test_process_uses_a_layer_and_keeps_its_release(layer: Path, own_path: str, tmp_path: Path) -> None:
    """The layer comes before the lab, as do directories that the user's .pth files name."""
    site = layers.site_directory(layer)
    (tmp_path / "editable").mkdir()
    (site / "own.pth").write_text(f"{tmp_path}/editable\n")
    layers.activate("ml", layer)
    assert sys.path[-3:] == [str(site), f"{tmp_path}/editable", own_path]
    assert sys.prefix == str(layer)


def test_broken_pth_file_is_named_and_leaves_the_path_as_it_was(layer: Path, own_path: str) -> None:
    """Whatever it raises."""
    before = list(sys.path)
    (layers.site_directory(layer) / "bad.pth").write_bytes(b"\xff")
    with pytest.raises(layers.LayerError, match=r"bad\.pth: .*; remove this file"):
        layers.activate("ml", layer)
    assert sys.path == before


def test_rejection_names_version_and_fixes() -> None:
    """In one sentence."""
    sentence = layers.rejection({"torch": "2.0+cpu"}, "ml")
    assert "ml has torch 2.0+cpu" in sentence
    assert "`gpulab env unlock torch`" in sentence
    assert "gpulab kernel add" in sentence
    assert "\n" not in sentence
