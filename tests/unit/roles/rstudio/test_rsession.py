# SPDX-License-Identifier: GPL-3.0-or-later
"""The session program and the configuration of the role rstudio, and the tests' stand-in for rserver."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from jinja2 import Template

ROOT = Path(__file__).resolve().parents[4]
DIGEST = "a" * 64
SHOW = "import os, sys; print([os.environ.get(name) for name in ('A', 'PATH', 'JUPYTERHUB_API_TOKEN')], sys.argv[1:])"


def test_session_gets_the_variables_of_its_server(tmp_path: Path) -> None:
    """The vendor's rserver drops them; the session program restores them, without the hub's credentials."""
    program = tmp_path / "real"
    program.write_text(f"#!{sys.executable}\n{SHOW}\n")
    program.chmod(0o755)
    text = Template((ROOT / "roles/rstudio/templates/rsession.j2").read_text()).render(
        ansible_managed="", __rstudio_plan={"sha256": DIGEST}
    )
    start = tmp_path / "rsession"
    start.write_text(text.replace("/usr/lib/rstudio-server/bin/rsession", str(program)))
    rserver = (
        f"import subprocess; subprocess.run([{sys.executable!r}, {str(start)!r}, '-u', 'ada'], env={{'PATH': '/own'}})"
    )
    environment = {**os.environ, "A": "gpu 1", "PATH": "/server", "JUPYTERHUB_API_TOKEN": "secret"}
    done = subprocess.run(
        [sys.executable, "-c", rserver], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "['gpu 1', '/own', None] ['-u', 'ada']"


@pytest.fixture
def rserver() -> ModuleType:
    """Return the module of the stand-in."""
    spec = importlib.util.spec_from_file_location("rserver", ROOT / "tests/support/rstudio/rserver.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stand_in_rejects_what_rserver_rejects(rserver: ModuleType, tmp_path: Path) -> None:
    """An unknown option, on the command line or in its configuration; the command line overrides the file."""
    config = tmp_path / "rserver.conf"
    config.write_text("# no\nwww-port=1\n")
    assert rserver.options(["--www-port=2", "--auth-none=1"], config)["www-port"] == "2"
    for argv in (["--www-sockets=/x"], ["--auth-none"]):
        with pytest.raises(rserver.StartError, match="unrecognised option"):
            rserver.options(argv, config)
    config.write_text("www-prot=1\n")
    with pytest.raises(rserver.StartError, match="www-prot"):
        rserver.options([], config)


def test_role_writes_only_options_of_rserver(rserver: ModuleType) -> None:
    """An unknown one would keep it from starting for all users."""
    lines = (ROOT / "roles/rstudio/templates/rserver.conf.j2").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if not line.startswith(("#", "{#"))]
    assert set(names) <= set(rserver.DEFAULTS)
