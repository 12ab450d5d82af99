# SPDX-License-Identifier: GPL-3.0-or-later
"""`gpulab env`: the life of a layer."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from gpulab_cli import env, layers

from tests.support.layers import install


def run(*arguments: str) -> int:
    """Run the subcommand."""
    parser = argparse.ArgumentParser()
    command = env.Env()
    command.arguments(parser)
    return command.run(parser.parse_args(arguments))


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return the list of calls of pip, which removes packages and cannot install version 9."""
    calls: list[tuple[str, ...]] = []

    def call(layer: Path, *arguments: str) -> bool:
        calls.append(arguments)
        if arguments[0] == "uninstall":
            for path in layers.site_directory(layer).glob("*.dist-info"):
                path.rename(path.with_suffix(".removed"))
        return not any(word.endswith("==9") for word in arguments)

    monkeypatch.setattr(env, "pip", call)
    return calls


def test_list_and_freeze_show_packages(layer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And versions that are allowed, and problems."""
    install(layer, "mine")
    assert run("unlock", "NumPy") == 0
    (layer / layers.COMPLETE).write_text("former")
    capsys.readouterr()
    assert run("list") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"ml: 1 packages of yours in {layer}; other versions allowed: numpy"
    assert second.startswith("  ml has a new release")
    assert run("freeze") == 0
    assert capsys.readouterr().out == "mine==1.0\n"
    assert run("unlock", "--undo", "numpy") == 0
    assert layers.unlocked(layer) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["freeze", "other"], "other is not an environment of the lab; these are: ml"),
        (["unlock", "absent"], "absent: the environment ml has no such package"),
    ],
)
def test_wrong_names_are_rejected(
    layer: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """With the names that exist."""
    assert run(*arguments) == 1
    assert message in capsys.readouterr().err


def test_repair_installs_what_does_not_fit(layer: Path, pip: list[tuple[str, ...]]) -> None:
    """Only that, and records that the rest fits."""
    install(layer, "fits")
    install(layer, "wrong", requires=("absent",))
    (layer / layers.COMPLETE).write_text("former")
    assert env.repair("ml")[:2] == ["wrong: needs absent, which is not installed", "installed again: wrong"]
    assert pip == [("uninstall", "--quiet", "--yes", "wrong"), ("install", "--quiet", "wrong")]
    assert layers.outdated("ml", layer) == ""


@pytest.mark.parametrize(("version", "calls"), [("1.0", 1), ("9", 2)])
def test_repair_installs_packages_of_a_former_python(
    layer: Path, pip: list[tuple[str, ...]], version: str, calls: int
) -> None:
    """In the same versions, or in others where they do not exist for the new one."""
    former = layer.with_name("3.1")
    layers.site_directory(former).mkdir(parents=True)
    install(former, "old", version)
    assert f"installed again for Python {layer.name}: old" in env.repair("ml")
    assert len(pip) == calls
    assert not former.exists()


def test_repair_mends_a_layer_that_cannot_be_read(layer: Path, pip: list[tuple[str, ...]]) -> None:
    """Packages stay."""
    install(layer, "mine")
    (layer / "pyvenv.cfg").unlink()
    layer.chmod(0)
    assert env.repair("ml")[0].startswith("mended: ")
    assert layers.own_packages(layer) == ["mine==1.0"]


def test_reset_keeps_a_list(layer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And makes an empty layer, which running kernels name."""
    install(layer, "mine")
    assert run("reset") == 0
    kept = layer.parent.with_name("ml-removed.txt")
    assert f"pip install -r {kept}" in capsys.readouterr().out
    assert kept.read_text() == "mine==1.0\n"
    assert layers.own_packages(layer) == []
    assert layers.problem(layer) == ""


def test_move_leaves_a_link_and_comes_back(layer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paths in programs of the layer stay the same."""
    install(layer, "mine")
    tmp_path.chmod(0o700)
    for target in (tmp_path / "first", tmp_path / "second", layer.parent):
        assert run("move", str(target)) == 0, capsys.readouterr().err
        assert layers.own_packages(layer) == ["mine==1.0"]
        assert layer.parent.resolve() == target
    assert sorted(path.name for path in tmp_path.iterdir()) == ["envs", "home"]
    assert [path.name for path in layer.parents[1].iterdir()] == ["ml"]


def test_move_rejects_what_others_can_replace(layer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And directories that exist, or whose parent does not."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for target, message in (
        (shared / "x", "other users"),
        (shared, "exists"),
        (tmp_path / "a" / "b", "not a directory"),
    ):
        assert run("move", str(target)) == 1
        assert message in capsys.readouterr().err
    assert layers.problem(layer) == ""
