# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives are unpacked into directories of their own."""

from __future__ import annotations

import os
import zipfile
from argparse import ArgumentParser
from pathlib import Path

import pytest
from gpulab_cli import unpack


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        *(("a.tar.gz", "a"), ("b.ZIP", "b"), ("c.7z", "c"), ("d.v2.rar", "d.v2")),
        *(("e", "e-unpacked"), ("f.TGZ", "f"), ("g.csv.gz", "g.csv")),
    ],
)
def test_directory_has_the_name_of_the_archive(name: str, directory: str) -> None:
    """For every format."""
    assert unpack.target_of(Path("/x") / name) == Path("/x") / directory


def test_directory_that_is_not_empty_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Existing files are never overwritten."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x", "1")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("2")
    command, parser = unpack.Unpack(), ArgumentParser()
    command.arguments(parser)
    assert command.run(parser.parse_args([str(tmp_path / "a.zip")])) == 1
    assert "--into" in capsys.readouterr().err
    assert command.run(parser.parse_args([str(tmp_path / "gone.zip")])) == 1


def make(directory: Path, *names: bytes) -> None:
    """Make files and their directories with names of any bytes, as bsdtar does."""
    for name in names:
        path = Path(os.fsdecode(os.fsencode(directory) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.mark.parametrize(
    ("encoding", "name", "expected"),
    [
        ("cp437", "Übung/Lösung für Größe.txt".encode("cp437"), "Übung/Lösung für Größe.txt"),
        ("cp437", "façade été ñ.csv".encode("cp850"), "façade été ñ.csv"),
        ("cp437", "À propos.txt".encode("cp850"), "À propos.txt"),
        ("latin-1", "Übung.ipynb".encode("latin-1"), "Übung.ipynb"),
        ("cp437", "Übung.ipynb".encode(), "Übung.ipynb"),
    ],
)
def test_names_that_are_not_utf8_get_their_letters(tmp_path: Path, encoding: str, name: bytes, expected: str) -> None:
    """Names in UTF-8 stay; directories and the files in them are renamed."""
    make(tmp_path, name)
    renamed = unpack.repair_names(tmp_path, encoding)
    assert (tmp_path / expected).read_text() == "x"
    assert bool(renamed) is (name != expected.encode())
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [expected]


def test_repair_replaces_no_file_and_follows_no_link(tmp_path: Path) -> None:
    """The second of two files with the same letters gets another name."""
    target = tmp_path / "unpacked"
    make(target, "ä.txt".encode("cp437"), "ä.txt".encode())
    make(tmp_path / "outside", "ö.txt".encode("cp437"))
    (target / "link").symlink_to(tmp_path / "outside")
    assert unpack.repair_names(target, "cp437") == ["ä-1.txt"]
    assert (target / "ä.txt").exists()
    outside = [os.fsencode(path.name) for path in (tmp_path / "outside").iterdir()]
    assert outside == ["ö.txt".encode("cp437")]


def test_user_reads_which_encoding_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output is UTF-8, which the hub reads."""
    (tmp_path / "a.zip").touch()
    monkeypatch.setattr(unpack, "unpack", lambda _, target: make(target, "ü.txt".encode("cp437")))
    command, parser = unpack.Unpack(), ArgumentParser()
    command.arguments(parser)
    assert command.run(parser.parse_args([str(tmp_path / "a.zip")])) == 0
    assert (
        "1 names in a.zip are not UTF-8 and were read as cp437: check their letters, as in 'ü.txt'"
        in capsys.readouterr().out
    )
