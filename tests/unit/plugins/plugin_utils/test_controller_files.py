# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller are searched next to the inventory first, and a missing one is named with the search."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.gpulab.core.plugins.lookup.controller_file import LookupModule
from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files


def test_the_inventory_comes_before_the_playbook_and_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place is used when those before it lack the file."""
    places = ["inventory", "playbooks", "playbooks/files", "here"]
    variables = {"inventory_dir": str(tmp_path / "inventory"), "playbook_dir": str(tmp_path / "playbooks")}
    for place in places:
        (tmp_path / place / "files").mkdir(parents=True)
        (tmp_path / place / "files/ca.crt").touch()
    monkeypatch.chdir(tmp_path / "here")
    for place in places:
        path = tmp_path / place / "files/ca.crt"
        assert controller_files.find("files/ca.crt", variables) == path
        path.unlink()
    assert controller_files.find("files/ca.crt", variables) is None


def test_home_and_hosts_without_an_inventory_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of a comma-separated list has no directory of an inventory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.crt").touch()
    assert controller_files.find("~/ca.crt", {"inventory_dir": None}) == tmp_path / "ca.crt"
    assert LookupModule().run(["~/ca.crt"], {}) == [str(tmp_path / "ca.crt")]


def test_missing_file_is_named_with_the_search(tmp_path: Path) -> None:
    """All of them in one message; a directory is not a file."""
    with pytest.raises(AnsibleError) as error:
        LookupModule().run(["gone.crt", str(tmp_path)], {"inventory_dir": str(tmp_path)})
    assert f"gone.crt is not a file on the controller (searched in {tmp_path}, " in str(error.value)
    assert f"{tmp_path} is not a file on the controller (searched in {tmp_path.parent})" in str(error.value)
