"""What is done with RStudio Server on a host, and why; the session's start; the stand-in's own rejections."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jinja2 import Template

from ansible_collections.gpulab.core.plugins.plugin_utils.rstudio import KNOWN, rstudio_plan

ROOT = Path(__file__).resolve().parents[2]
BARE = {"release": "bookworm", "machine": "x86_64", "installed": "", "foreign": ""}
VERSION = "2026.09.0+174"
PIN = KNOWN[(VERSION, "jammy", "amd64")]
OWN = "a" * 64
FOREIGN = "/etc/rstudio/rserver.conf"


def plan(host: dict[str, str] | None = None, **setting: Any) -> dict[str, Any]:
    """Decide about a host, with the role's defaults."""
    requested = {"enabled": "auto", "version": VERSION, "url": "https://vendor.example/server", **setting}
    return rstudio_plan({**BARE, **(host or {})}, **requested)


@pytest.mark.parametrize("release", ["bookworm", "trixie", "jammy", "noble"])
def test_package_is_chosen_for_the_release_with_the_digest_that_is_known(release: str) -> None:
    """The address is the vendor's form of it; a plus sign becomes a minus sign."""
    found = plan({"release": release})
    assert (found["action"], found["sha256"]) == ("install", PIN)
    assert found["address"] == "https://vendor.example/server/jammy/amd64/rstudio-server-2026.09.0-174-amd64.deb"


def test_mirror_may_be_a_folder_or_one_package() -> None:
    """Whoever keeps one file needs no tree of directories."""
    assert plan(url="https://mirror.example/r/")["address"].startswith("https://mirror.example/r/jammy/amd64/rstudio")
    assert plan(url="file:///srv/rstudio.deb")["address"] == "file:///srv/rstudio.deb"


def test_what_is_installed_needs_nothing() -> None:
    """The same package is there: no source is asked, whether it answers or not."""
    assert plan({"installed": PIN}, unreachable=["no answer"])["action"] == "keep"
    assert plan({"installed": OWN})["action"] == "install"


@pytest.mark.parametrize(
    ("host", "setting", "words"),
    [
        (
            {},
            {"unreachable": ["gpulab_sources.rstudio: https://x cannot be used from the host: rejected."]},
            "rejected",
        ),
        ({"release": "focal"}, {}, "no package for focal on x86_64"),
        ({"machine": "riscv64"}, {}, "no package for bookworm on riscv64"),
        ({"foreign": FOREIGN}, {}, "an RStudio Server that is not gpulab's (/etc/rstudio/rserver.conf)"),
    ],
)
def test_what_cannot_be_had_is_left_out_or_rejected_as_requested(
    host: dict[str, str], setting: dict[str, Any], words: str
) -> None:
    """With auto the reason is told; with true it is a rejection that names the fix."""
    found = plan(host, **setting)
    assert (found["action"], found["rejection"]) == ("leave", "")
    assert words in found["reason"]
    refused = plan(host, **setting, enabled="true")
    assert words in refused["rejection"]
    assert "choose gpulab_rstudio auto or false" in refused["rejection"]


def test_older_one_stays_while_the_newer_cannot_be_had() -> None:
    """A source that is down takes nothing away."""
    found = plan({"installed": OWN}, unreachable=["no answer."])
    assert (found["action"], found["sha256"], found["reason"]) == ("keep", OWN, "no answer")


@pytest.mark.parametrize("enabled", ["auto", "true"])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"version": "2026.10.0+1"}, "no digest is known of RStudio Server 2026.10.0+1 for jammy on amd64"),
        ({"sha256": "168bc5"}, "rstudio_sha256 168bc5 is no SHA-256"),
        ({"version": "latest"}, "rstudio_version latest is no version as 2026.09.0+174"),
        ({"version": "2024.09.1+394", "sha256": OWN}, "listens on ports alone"),
        ({"package": "r.deb"}, "rstudio_package r.deb has no digest"),
        ({"package": "r.deb", "sha256": OWN}, "rstudio_package r.deb is not on the controller"),
        (
            {"package": "r.deb", "sha256": OWN, "file": {"exists": True, "checksum": "b" * 64}},
            f"rstudio_package r.deb has the SHA-256 {'b' * 64}, and rstudio_sha256 is {OWN}",
        ),
    ],
)
def test_mistake_in_the_setting_is_rejected(setting: dict[str, Any], words: str, enabled: str) -> None:
    """Whatever is requested, a setting that cannot be right is told."""
    assert words in plan(**setting, enabled=enabled)["rejection"]


def test_file_of_the_controller_does_for_any_release() -> None:
    """Whoever brings a package knows what it is for."""
    file = {"exists": True, "checksum": OWN}
    found = plan({"release": "focal"}, package="r.deb", sha256=OWN, file=file)
    assert (found["action"], found["address"], found["sha256"]) == ("install", "r.deb", OWN)


def test_what_is_not_requested_any_more_is_removed_and_nothing_else() -> None:
    """Only what the role installed; a mistake in options of something that is not requested is nobody's trouble."""
    assert plan({"installed": OWN}, enabled="false", sha256="x")["action"] == "revoke"
    assert plan({"foreign": FOREIGN}, enabled="false")["action"] == "leave"


SHOW = "import os, sys; print([os.environ.get(name) for name in ('A', 'PATH', 'JUPYTERHUB_API_TOKEN')], sys.argv[1:])"


def test_session_gets_what_its_server_has_and_keeps_what_it_was_given(tmp_path: Path) -> None:
    """The vendor's rserver drops everything; what starts the session brings it back, without the hub's secrets."""
    program = tmp_path / "real"
    program.write_text(f"#!{sys.executable}\n{SHOW}\n")
    program.chmod(0o755)
    text = Template((ROOT / "roles/rstudio/templates/rsession.j2").read_text()).render(
        ansible_managed="", __rstudio_plan={"sha256": OWN}
    )
    start = tmp_path / "rsession"
    start.write_text(text.replace("/usr/lib/rstudio-server/bin/rsession", str(program)))
    rserver = (
        f"import subprocess; subprocess.run([{sys.executable!r}, {str(start)!r}, '-u', 'ada'], env={{'PATH': '/own'}})"
    )
    environment = {**os.environ, "A": "gpu 1", "PATH": "/server", "JUPYTERHUB_API_TOKEN": "secret"}
    done = subprocess.run([sys.executable, "-c", rserver], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['gpu 1', '/own', None] ['-u', 'ada']"


@pytest.fixture
def rserver() -> ModuleType:
    """Load the stand-in of the tests."""
    spec = importlib.util.spec_from_file_location("rserver", ROOT / "tests/support/rstudio/rserver.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_stand_in_rejects_what_rserver_rejects(rserver: ModuleType, tmp_path: Path) -> None:
    """An option that it does not know, on the command line or in its configuration; the line wins over the file."""
    config = tmp_path / "rserver.conf"
    config.write_text("# no\nwww-port=1\n")
    assert rserver.options(["--www-port=2", "--auth-none=1"], config)["www-port"] == "2"
    for argv in (["--www-sockets=/x"], ["--auth-none"]):
        with pytest.raises(rserver.Refused, match="unrecognised option"):
            rserver.options(argv, config)
    config.write_text("www-prot=1\n")
    with pytest.raises(rserver.Refused, match="www-prot"):
        rserver.options([], config)


def test_role_writes_only_options_that_rserver_knows(rserver: ModuleType) -> None:
    """An unknown one would keep it from starting for everybody."""
    lines = (ROOT / "roles/rstudio/templates/rserver.conf.j2").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines if not line.startswith("#")]
    assert set(names) <= set(rserver.DEFAULTS)
