# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for RStudio Server on a host."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.frameworks.rstudio import DIGESTS, Host, rstudio_plan

BARE: Host = {"release": "bookworm", "machine": "x86_64", "installed": "", "foreign": ""}
VERSION = "2026.09.0+174"
PIN = DIGESTS[(VERSION, "jammy", "amd64")]
OWN = "a" * 64
FOREIGN = "/etc/rstudio/rserver.conf"


def plan(host: dict[str, str] | None = None, **options: Any) -> dict[str, str]:
    """Return the plan for a host, with the role's defaults."""
    requested = {"enabled": "auto", "version": VERSION, "url": "https://vendor.example/server", **options}
    facts: Any = {**BARE, **(host or {})}
    return rstudio_plan(facts, **requested)


@pytest.mark.parametrize("release", ["bookworm", "trixie", "jammy", "noble"])
def test_package_for_the_release_is_chosen_with_its_digest(release: str) -> None:
    """The address has the vendor's form; a plus sign becomes a minus sign."""
    result = plan({"release": release})
    assert (result["action"], result["sha256"]) == ("install", PIN)
    assert result["address"] == "https://vendor.example/server/jammy/amd64/rstudio-server-2026.09.0-174-amd64.deb"


def test_mirror_can_be_a_directory_or_one_package() -> None:
    """A single file needs no tree of directories."""
    assert plan(url="https://mirror.example/r/")["address"].startswith("https://mirror.example/r/jammy/amd64/rstudio")
    assert plan(url="file:///srv/rstudio.deb")["address"] == "file:///srv/rstudio.deb"


def test_installed_package_stays() -> None:
    """The source does not matter if the requested package is installed."""
    assert plan({"installed": PIN}, unreachable=["no answer"])["action"] == "keep"
    assert plan({"installed": OWN})["action"] == "install"


@pytest.mark.parametrize(
    ("host", "options", "words"),
    [
        (
            {},
            {"unreachable": ["gpulab_sources.rstudio: https://x cannot be used from the host: rejected."]},
            "rejected",
        ),
        ({"release": "focal"}, {}, "no package for focal on x86_64"),
        ({"machine": "riscv64"}, {}, "no package for bookworm on riscv64"),
        ({"foreign": FOREIGN}, {}, "an RStudio Server that gpulab did not install (/etc/rstudio/rserver.conf)"),
    ],
)
def test_obstacle_skips_or_rejects_the_installation(host: dict[str, str], options: dict[str, Any], words: str) -> None:
    """With auto the reason is reported; with true it is a rejection that names the fix."""
    result = plan(host, **options)
    assert (result["action"], result["rejection"]) == ("skip", "")
    assert words in result["reason"]
    assert words in result["report"]
    rejected = plan(host, **options, enabled="true")
    assert words in rejected["rejection"]
    assert "set rstudio_enabled (gpulab_rstudio) to auto or false" in rejected["rejection"]


def test_older_package_stays_while_the_newer_cannot_be_downloaded() -> None:
    """A source that does not answer removes nothing."""
    result = plan({"installed": OWN}, unreachable=["no answer."])
    assert (result["action"], result["sha256"], result["reason"]) == ("keep", OWN, "no answer")
    assert "another package is requested and was not installed, because no answer" in result["report"]


@pytest.mark.parametrize("enabled", ["auto", "true"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version": "2026.10.0+1"}, "the digest of RStudio Server 2026.10.0+1 for jammy on amd64 is unknown"),
        ({"sha256": "168bc5"}, "rstudio_sha256: 168bc5 is not a SHA-256"),
        ({"version": "latest"}, "rstudio_version: latest is not a version such as 2026.09.0+174"),
        ({"version": "2024.09.1+394", "sha256": OWN}, "can only listen on a port"),
        ({"package": "r.deb"}, "rstudio_package: r.deb has no digest"),
        ({"package": "r.deb", "sha256": OWN}, "rstudio_package: r.deb does not exist on the controller"),
        (
            {"package": "r.deb", "sha256": OWN, "file": {"exists": True, "checksum": "b" * 64}},
            f"rstudio_package: r.deb has the SHA-256 {'b' * 64}, and rstudio_sha256 is {OWN}",
        ),
    ],
)
def test_wrong_option_is_rejected(options: dict[str, Any], words: str, enabled: str) -> None:
    """With auto, too."""
    assert words in plan(**options, enabled=enabled)["rejection"]


def test_file_of_the_controller_is_used_on_any_release() -> None:
    """The administrator chose the package for the hosts."""
    file = {"exists": True, "checksum": OWN}
    result = plan({"release": "focal"}, package="r.deb", sha256=OWN, file=file)
    assert (result["action"], result["address"], result["sha256"]) == ("install", "r.deb", OWN)


def test_disabled_server_is_removed_if_the_role_installed_it() -> None:
    """Other options do not matter then."""
    assert plan({"installed": OWN}, enabled="false", sha256="x")["action"] == "remove"
    assert plan({"foreign": FOREIGN}, enabled="false")["action"] == "skip"
