# SPDX-License-Identifier: GPL-3.0-or-later
"""`make site`: a syntax error in an inventory is named with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import inventory_syntax


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpulab_users:\n\t- name: ada\n", ["line 2, column 1", "Write blanks instead of tabs."]),
        ("gpulab_users:\n  - {name: ada\n", ["line 3, column 1", "expected ',' or '}'"]),
        ("a: 1\n b: 2\n", ["line 2, column 3", "mapping values are not allowed here"]),
        ('a: "b\n', ["line 2, column 1", "unexpected end of stream"]),
    ],
)
def test_syntax_error_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: list[str]
) -> None:
    """Of a file with variables, with and without a suffix, and of the inventory itself."""
    (tmp_path / "group_vars").mkdir()
    for name in ("group_vars/gpu_hosts.yml", "group_vars/all", "hosts.yaml"):
        path = tmp_path / name
        path.write_text(text)
        assert inventory_syntax.main([str(tmp_path)]) == 1
        printed = capsys.readouterr().err
        assert all(word in printed for word in [str(path), *words]), printed
        path.unlink()


def test_what_ansible_reads_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Vaults, tags, several documents, other formats, hidden files; an inventory in INI with variables next to it."""
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "gpu1.yml").write_text("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n---\nb: 1\n")
    (tmp_path / "host_vars" / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n61:\t62\n")
    (tmp_path / "hosts.ini").write_text("[gpu_hosts]\n\tgpu1\n")
    (tmp_path / "class.csv").write_text("name\tgroup\n")
    (tmp_path / ".hidden.yml").write_text("\t")
    assert inventory_syntax.main([str(tmp_path)]) == 0
    assert inventory_syntax.main([str(tmp_path / "hosts.ini")]) == 0
    (tmp_path / "host_vars" / "gpu2.yml").write_text("[")
    assert inventory_syntax.main([str(tmp_path / "hosts.ini")]) == 1
    assert "gpu2.yml: line 1, column 2" in capsys.readouterr().err
