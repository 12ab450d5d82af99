# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytecode is written for the modules that users import, and its errors are reported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks import bytecode
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installers import InstallError


def test_bytecode_is_written_for_modules_that_users_import(tmp_path: Path) -> None:
    """Packages' own tests have none, a file that is not Python stops nothing, a parent named `test` does not matter."""
    environment = tmp_path / "test" / "env"
    packages = environment / "lib" / "python3.11" / "site-packages"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    texts = {
        "x/a.py": "1",
        "x/testing.py": "1",
        "x/a_test.py": "1",
        "x/tests/t.py": "1",
        "x/template.py": "{{ no }} Python",
    }
    for name, text in texts.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    bytecode.write_bytecode(environment)
    assert sorted(path.name.partition(".")[0] for path in packages.rglob("*.pyc")) == ["a", "testing"]


def fake_python(environment: Path, script: str) -> None:
    """Write an interpreter and one module of an environment."""
    python = environment / "bin" / "python"
    for path in (python, environment / "lib" / "x.py"):
        path.parent.mkdir(parents=True)
        path.touch()
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def test_disk_that_is_filled_by_bytecode_is_reported(tmp_path: Path) -> None:
    """An environment without its bytecode would be slow for no visible reason."""
    fake_python(tmp_path, "echo \"OSError: [Errno 28] No space left on device: 'x.pyc'\"; exit 1")
    with pytest.raises(InstallError, match="The disk is full"):
        bytecode.write_bytecode(tmp_path)


def test_compiler_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it."""
    fake_python(tmp_path, "exec sleep 30")
    monkeypatch.setattr(bytecode, "INSTALL_SECONDS", 0.2)
    with pytest.raises(InstallError, match="compileall took longer"):
        bytecode.write_bytecode(tmp_path)
