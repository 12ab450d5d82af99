# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives are unpacked into directories of their own."""

from __future__ import annotations

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
