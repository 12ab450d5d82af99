# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment of the lab, and a home."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from gpulab_cli import layer_programs, layers, paths

from tests.support.layers import VERSION


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of an environment `ml` with a module, whose interpreter is that of the tests.

    The home is empty, and programs of the tools are replaced.
    """
    release = tmp_path / "envs" / "ml" / "releases" / "one"
    site = release / "lib" / f"python{VERSION}" / "site-packages"
    site.mkdir(parents=True)
    (site / "labmodule.py").write_text("name = 'lab'\n")
    (release / "bin").mkdir()
    python = release / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (release / ".gpulab-release.json").write_text(json.dumps({"versions": {"torch": "2.0+cpu", "numpy": "1.26.4"}}))
    (tmp_path / "envs" / "ml" / "current").symlink_to("releases/one")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("GPULAB_ENVIRONMENT", raising=False)
    for module in (layers, paths):
        monkeypatch.setattr(module, "ENVIRONMENTS", tmp_path / "envs")
    monkeypatch.setattr(layers, "TOOLS", tmp_path / "tools")

    def prepared(name: str, *again: str) -> Path:
        """Make the layer in this process: another one would have the host's paths."""
        if again:
            layers.make(name, again=True)
        return layers.prepare(name)

    monkeypatch.setattr(layer_programs, "prepared", prepared)
    return tmp_path / "envs" / "ml"


@pytest.fixture
def layer(lab: Path) -> Path:
    """Return the layer of the user."""
    return layers.prepare("ml")
