"""Payloads of modules are made ahead, in the cache where Ansible looks for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.executor import module_common
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import module_loader
from ansible.template import Templar

from ansible_collections.gpulab.core.plugins.plugin_utils import payloads

PING = "ansible.builtin.ping"
HOST_FILES = "gpulab.core.host_files"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty directory to the controller's cache."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path / "ansiballz_cache"


def made(cache: Path) -> set[str]:
    """Give the modules whose payloads are in the cache."""
    return {path.name.partition("-")[0] for path in cache.glob("*") if not path.name.endswith((".lock", ".tmp"))}


def test_task_finds_the_payload_that_was_made_ahead(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible itself does not make it a second time."""
    payloads.build([HOST_FILES])
    assert len(made(cache)) == 1

    def refuse(*_arguments: Any) -> None:
        """Stand where Ansible reads what a module imports."""
        pytest.fail("the payload was made again")

    monkeypatch.setattr(module_common, "recursive_finder", refuse)
    built = module_common.modify_module(
        module_name=HOST_FILES,
        module_path=module_loader.find_plugin_with_context(HOST_FILES, mod_type=".py").plugin_resolved_path,
        module_args={"files": []},
        templar=Templar(loader=DataLoader()),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression=constants.DEFAULT_MODULE_COMPRESSION,
    )
    assert b"host_files" in built.b_module_data


def test_module_that_is_not_there_stops_nothing(cache: Path) -> None:
    """The task that needs it tells of it."""
    payloads.build(["gpulab.core.no_such_module", PING])
    assert len(made(cache)) == 1


def test_every_module_that_is_made_ahead_is_there(cache: Path) -> None:
    """A module that was renamed would be left out in silence."""
    payloads.begin()
    until = time.monotonic() + 60
    while len(made(cache)) < len(payloads.MODULES) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(made(cache)) == len(payloads.MODULES)
