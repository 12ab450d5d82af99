# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the Google Cloud tests: a fake cloud per test, and a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.gcp.fakecloud import FakeCloud, World, make_world
from tests.integration.gcp.fakecloud.tls import make_certificate
from tests.integration.gcp.harness import Inventory
from tests.support.paths import ROOT

_SIGN_IN = ("GOOGLE_", "GCP_", "GCE_", "GCLOUD_", "CLOUDSDK_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove everything that would sign this machine in, or send a request further than loopback."""
    for name in list(os.environ):
        if name.startswith(_SIGN_IN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))


@pytest.fixture
def world() -> World:
    """Return a small healthy world: 40 instances, 2 projects, 20 zones."""
    return make_world()


@pytest.fixture
def cloud(world: World) -> Iterator[FakeCloud]:
    """Serve the world; every answer must have passed the schema gate."""
    with FakeCloud(world) as served:
        yield served
    assert served.gate_errors == []


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Path]:
    """Return a server context and the CA file to trust."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_cloud(world: World, tls_files: tuple[object, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCloud]:
    """Serve the world under Google's own host names: this process and its children reach nothing else."""
    context, trusted = tls_files
    with FakeCloud(world, context) as served:  # type: ignore[arg-type]
        monkeypatch.setenv("HTTPS_PROXY", served.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        yield served
    assert served.gate_errors == []


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    """Return a writer of inventory files that loads them with Ansible's own inventory manager."""
    return Inventory(tmp_path, monkeypatch)
