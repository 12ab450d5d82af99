# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with the tools, a user on it, and a repository that it serves to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.driver import vendor
from tests.support.cuda import CudaHost
from tests.support.lab import bare_host

PORT = 8099


@pytest.fixture(scope="session")
def lab() -> Iterator[CudaHost]:
    """Yield a host with the tools and no toolkit."""
    with bare_host(CudaHost()) as host:
        done = host.play("molecule/cuda/converge.yml", cuda_versions=[], cuda_default_version="")
        assert done.code == 0, done.output[-3000:]
        assert host.files() == []
        yield host


@pytest.fixture(scope="session")
def user(lab: CudaHost) -> Iterator[str]:
    """Yield a user without any rights."""
    with lab.user("ada") as name:
        yield name


@contextmanager
def served(lab: CudaHost, built: vendor.Repository) -> Iterator[None]:
    """Serve a repository on the host, and let roles use it meanwhile."""
    vendor.serve(lab, built, PORT)
    lab.base = {
        "nvidia_driver_repository": f"http://127.0.0.1:{PORT}",
        "nvidia_driver_repository_key_sha256": built.sha256,
    }
    yield
    lab.base = {}


@pytest.fixture(scope="module")
def repository(lab: CudaHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaHost]:
    """Yield the host while it serves a repository with the names of NVIDIA's packages."""
    with served(lab, vendor.build_toolkits(tmp_path_factory.mktemp("vendor"), "debian12")):
        yield lab
