# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of RStudio Server's package: a mirror, its digest, and a server that the role did not install."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import Lab
from tests.support.paths import ROOT

SESSION = "/usr/local/lib/gpulab/rsession"
CONFIG = "/etc/rstudio/rserver.conf"
MIRROR = "http://127.0.0.1:8999/server"


def apply(lab: Lab, **options: Any) -> tuple[int, str]:
    """Apply the role and return the exit code and the output."""
    outcome = lab.play("molecule/frameworks/rstudio.yml", rstudio_package="", rstudio_url=MIRROR, **options)
    return outcome.code, outcome.text


@pytest.fixture(scope="module")
def digest(lab: Lab) -> Iterator[str]:
    """Serve the stand-in's package on the host as the vendor serves the real one, and return its digest."""
    directory = "/srv/mirror/server/jammy/amd64"
    package = ROOT / "build" / "rstudio-server.deb"
    lab.shell(f"mkdir -p {directory}")
    where = f"src={package} dest={directory}/rstudio-server-2026.09.0-174-amd64.deb mode=0644"
    lab.ansible("ansible", lab.host, "-m", "ansible.builtin.copy", "-a", where)
    lab.shell("systemd-run --quiet --unit=mirror --working-directory=/srv/mirror python3 -m http.server 8999")
    yield (ROOT / "build" / "rstudio-server.deb.sha256").read_text(encoding="ascii").strip()
    lab.shell("systemctl stop mirror; rm -r /srv/mirror")


@pytest.mark.usefixtures("digest")
def test_package_with_another_digest_is_not_installed(lab: Lab, host: Any) -> None:
    """The digest of the collection is the real package's: the mirror of this test has another file."""
    code, output = apply(lab, rstudio_sha256="")
    assert code != 0
    assert "168bc577ef2f68abab1ad2ed684e830da1d244618b25b69fd20448e60716c5ba" in output
    assert not host.package("rstudio-server").is_installed
    assert not host.file(SESSION).exists


def test_mirror_without_the_package_skips_or_rejects_the_installation(lab: Lab, host: Any, digest: str) -> None:
    """With true it is a rejection; with auto it is not installed, and the reason is reported."""
    setting = {"rstudio_version": "2026.10.0+1", "rstudio_sha256": digest}
    code, output = apply(lab, **setting, gpulab_rstudio="true")
    assert (code != 0, "changed=0" in output) == (True, True)
    assert "rstudio-server-2026.10.0-1-amd64.deb cannot be used from the host: it answers HTTP 404" in output
    code, output = apply(lab, **setting, gpulab_rstudio="auto")
    assert code == 0, output[-2000:]
    assert "RStudio Server is not installed, because rstudio_url (gpulab_sources.rstudio)" in output
    assert not host.package("rstudio-server").is_installed


def test_server_of_another_installation_stays(lab: Lab, host: Any, digest: str) -> None:
    """Its configuration is not gpulab's: auto keeps it as it is, true names it."""
    lab.shell(f"mkdir -p /etc/rstudio && echo www-port=80 > {CONFIG}")
    try:
        code, output = apply(lab, rstudio_sha256=digest, gpulab_rstudio="true")
        assert code != 0
        assert f"an RStudio Server that gpulab did not install ({CONFIG})" in output
        code, output = apply(lab, rstudio_sha256=digest, gpulab_rstudio="auto")
        assert (code, "changed=0" in output) == (0, True), output[-2000:]
        assert host.file(CONFIG).content_string == "www-port=80\n"
    finally:
        lab.shell(f"rm -rf {CONFIG}")


def test_package_from_a_mirror_is_installed_and_removed(lab: Lab, host: Any, digest: str) -> None:
    """It is installed without a service, once; disabled, it is removed with all its files."""
    code, output = apply(lab, rstudio_sha256=digest)
    assert code == 0, output[-2000:]
    assert host.file(SESSION).contains(digest)
    assert host.check_output("systemctl is-enabled rstudio-server || :") == "masked"
    assert not host.socket("tcp://8787").is_listening
    code, output = apply(lab, rstudio_sha256=digest)
    assert (code, "changed=0" in output) == (0, True), output[-2000:]
    code, output = apply(lab, rstudio_sha256=digest, gpulab_rstudio="false")
    assert code == 0, output[-2000:]
    assert not host.package("rstudio-server").is_installed
    for path in (SESSION, "/etc/rstudio", "/etc/systemd/system/rstudio-server.service"):
        assert not host.file(path).exists, path
