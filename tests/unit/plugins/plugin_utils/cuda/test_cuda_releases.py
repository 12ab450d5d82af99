# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of releases of the CUDA toolkit."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.common.host_state import SUPPORTED
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers
from ansible_collections.gpulab.core.plugins.plugin_utils.cuda.releases import (
    BY_VERSION,
    DISTRIBUTIONS,
    MIN_DRIVERS,
    RELEASES,
)
from tests.support.paths import ROOT


def test_releases_are_in_order() -> None:
    """A newer release accepts no older compilers, and comes with no older driver."""
    assert [release.version for release in RELEASES] == sorted(BY_VERSION, key=numbers)
    assert [release.newest_gcc for release in RELEASES] == sorted(release.newest_gcc for release in RELEASES)
    branches = [release.branch for release in RELEASES if release.branch]
    assert branches == sorted(branches)


def test_every_release_has_a_driver() -> None:
    """By its major version; the driver that a release carries runs it."""
    for release in RELEASES:
        assert not release.branch or release.branch >= numbers(MIN_DRIVERS[release.major])[0]


def test_every_supported_system_has_its_toolkit() -> None:
    """And a compiler for it."""
    assert set(DISTRIBUTIONS) == {(name, version) for name, versions in SUPPORTED.items() for version in versions}
    for distribution in DISTRIBUTIONS.values():
        assert min(distribution.compilers) <= BY_VERSION[distribution.version].newest_gcc


def test_wheels_have_a_lock_and_no_other_lock_exists() -> None:
    """The table and the files agree."""
    locks = (ROOT / "roles/cuda/files/locks").glob("*.txt")
    assert {path.stem for path in locks} == {f"toolkit-{release.version}" for release in RELEASES if release.has_wheels}
