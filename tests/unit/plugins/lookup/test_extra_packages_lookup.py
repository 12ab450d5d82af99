# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup extra_packages finds the files of the site and checks them."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpulab.core.plugins.lookup.extra_packages import LookupModule

HASH = "--hash=sha256:" + "a" * 64


def test_files_are_searched_next_to_the_inventory_and_the_playbook(tmp_path: Path) -> None:
    """Sets stay as they are; problems are returned, not raised."""
    for name in ("inventory", "playbook"):
        (tmp_path / name).mkdir()
    (tmp_path / "playbook" / "own.txt").write_text(f"six==1 {HASH}\n")
    variables = {"inventory_dir": str(tmp_path / "inventory"), "playbook_dir": str(tmp_path / "playbook")}
    result = LookupModule().run([["geo", "own.txt", "gone.txt", "maps"]], variables)[0]
    assert result["entries"][:2] == ["geo", str(tmp_path / "playbook" / "own.txt")]
    assert [problem.partition(": ")[2].partition(";")[0].split(" does")[0] for problem in result["problems"]] == [
        "unknown set maps",
        "gone.txt",
    ]
