# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work does not take a running hub down: it is rejected before, or the previous configuration returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_state import state
from tests.support.lab import Lab
from tests.support.processes import run

OWN = "/etc/gpulab/jupyterhub/jupyterhub_config.d/site.py"


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[None]:
    """Check that the same processes run with the same files afterwards."""
    before = state(lab)
    yield
    assert state(lab) == before


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with certificates and keys of several kinds."""
    directory = tmp_path_factory.mktemp("tls")
    request = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=lab.example"]
    for name in ("good", "other"):
        out = ["-days", "30", "-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.pem")]
        run([*request, *out, "-addext", "subjectAltName=DNS:lab.example"], check=True, timeout=60)
    seal = ["openssl", "pkey", "-in", str(directory / "good.key"), "-aes256", "-passout", "pass:hunter2"]
    run([*seal, "-out", str(directory / "sealed.key")], check=True, timeout=60)
    return directory


def test_address_and_certificate_that_cannot_work_are_rejected(lab: Lab, files: Path, unchanged: None) -> None:
    """In the preflight, by name, with nothing changed."""
    certificates = [
        ("good.pem", "other.key", "not the key of the certificate"),
        ("good.pem", "sealed.key", "encrypted"),
        ("good.key", "good.pem", "holds a key"),
        ("gone.pem", "good.key", "is not a file on the controller"),
    ]
    settings: list[tuple[dict[str, Any], str]] = [
        ({"gpulab_tls": {"mode": "own", "certificate": str(files / certificate), "key": str(files / key)}}, words)
        for certificate, key, words in certificates
    ]
    settings += [
        ({"gpulab_hub_port": 70000}, "70000 is not a port"),
        ({"gpulab_hub_address": "192.0.2.77"}, "cannot listen on 192.0.2.77"),
        ({"gpulab_hub_port": 80, "gpulab_http_redirect_enabled": True}, "80 is the port that redirects"),
    ]
    for (setting, words), done in zip(settings, lab.preflight([each for each, _ in settings]), strict=True):
        assert (done.code != 0, done.changed) == (True, 0), setting
        assert words in done.text
        assert "hunter2" not in done.output


@pytest.fixture
def own_settings(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Write a configuration file of the site's own, and remove it afterwards."""
    lab.shell(f"printf '%s' '{request.param}' > {OWN}")
    yield
    lab.shell(f"rm {OWN}")


@pytest.mark.parametrize(
    ("own_settings", "words"),
    [
        ('c.JupyterHub.base_url = "/lab/"', "sets c.JupyterHub.base_url"),
        ("c.JupyterHub.template_vars = {", "site.py is not valid Python"),
    ],
    indirect=["own_settings"],
)
def test_own_file_that_cannot_work_is_rejected(lab: Lab, own_settings: None, words: str) -> None:
    """Before the hub is started again with it."""
    done = lab.play("site.yml", "--tags", "jupyterhub")
    assert (done.code != 0, done.changed) == (True, 0), done.output[-3000:]
    assert words in done.text
    assert "Traceback" not in done.output
    state(lab)


def test_copy_of_the_configuration_is_private(lab: Lab) -> None:
    """It holds the key of the certificate."""
    assert "700 root" in lab.shell("stat --format '%a %U' /var/lib/gpulab/hub-saved")


def test_users_are_shown_the_first_name(lab: Lab) -> None:
    """At the end of a run, in `gpulab info` and thereby in the login message."""
    done = lab.play("site.yml", "--tags", "jupyterhub", gpulab_tls={"names": ["lab.example", "gpu.example"]})
    assert done.code == 0, done.output[-3000:]
    assert f"Users of {lab.host} log in at https://lab.example/" in done.text
    assert "JupyterHub: https://lab.example/" in lab.shell("gpulab info")


def test_certificate_that_expires_soon_is_renewed(lab: Lab) -> None:
    """It keeps its key, which browsers may have pinned, and gets the present names."""
    directory, end = "/etc/gpulab/tls", "openssl x509 -noout -checkend 2592000 -in /etc/gpulab/tls/certificate.pem || :"
    lab.shell(
        f"cd {directory} && sha256sum key.pem >/run/key && openssl x509 -req -in request.pem -signkey key.pem -days 3 "
        f"-copy_extensions copyall -out /run/short.pem && cat /run/short.pem > certificate.pem"
    )
    assert "will expire" in lab.shell(end)
    done = lab.play("site.yml", "--tags", "jupyterhub")
    assert done.code == 0, done.output[-3000:]
    assert "will not expire" in lab.shell(end)
    assert "OK" in lab.shell(f"cd {directory} && sha256sum --check /run/key")
    assert "lab.example" not in lab.shell(f"openssl x509 -noout -text -in {directory}/certificate.pem")
