# SPDX-License-Identifier: GPL-3.0-or-later
"""Module distribution_packages: packages that dpkg lists as installed."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.modules import distribution_packages

STATUS = """Package: git
Status: install ok installed
Version: 1

Package: half
Status: install ok half-configured

Package: gone
Status: deinstall ok config-files

Package: kept
Status: hold ok installed
"""


def test_only_whole_packages_count_as_installed() -> None:
    """A package that an interrupted apt left half-configured is installed again."""
    assert distribution_packages.installed(STATUS) == {"git", "kept"}
