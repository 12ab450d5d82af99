# SPDX-License-Identifier: GPL-3.0-or-later
"""The start of a user's server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from gpulab_server import start

SETTINGS = {"arguments": ["--x=1"], "key": "KEY", "certificate": "CERTIFICATE", "authority": "AUTHORITY"}


@pytest.mark.parametrize(("error", "elsewhere"), [(0, False), (28, True), (122, True)])
def test_start_replaces_itself_by_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, elsewhere: bool
) -> None:
    """The key is private, the settings are not handed on, and a full home is not needed."""
    called: list[Any] = []
    monkeypatch.setattr(start, "error_of", lambda _: error)
    monkeypatch.setattr(os, "execve", lambda *arguments: called.extend(arguments))
    monkeypatch.setattr(
        os, "environ", {"GPULAB_SERVER": json.dumps(SETTINGS), "JUPYTER_RUNTIME_DIR": str(tmp_path), "A": "b"}
    )
    start.main()
    program, argv, environment = called
    assert argv[:2] == [program, "--x=1"]
    assert "GPULAB_SERVER" not in environment
    assert Path(environment["JUPYTERHUB_SSL_KEYFILE"]).read_text() == "KEY"
    assert Path(environment["JUPYTERHUB_SSL_KEYFILE"]).stat().st_mode & 0o777 == 0o600
    assert ("JUPYTER_DATA_DIR" in environment) is elsewhere
    assert ("--FileContentsManager.delete_to_trash=False" in argv) is elsewhere
