# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for addresses of package sources; each is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.common import addresses
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installer_messages import CLOCK, CLOCK_HINT


def direct_address(url: str, no_proxy: Any) -> str:
    """Return an address without its login where its host is reached without a proxy, else an empty text."""
    return addresses.without_login(url) if addresses.is_direct(url, no_proxy) else ""


def download_problem(message: str) -> str:
    """Return the message of a failed download without logins, with the fix where the host's clock is wrong."""
    return addresses.masked(f"{CLOCK_HINT} {message}" if CLOCK.search(message) else message)


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "apt_login": addresses.apt_login,
            "direct_address": direct_address,
            "download_problem": download_problem,
            "masked": addresses.masked,
            "no_proxy_hosts": addresses.no_proxy_hosts,
            "without_login": addresses.without_login,
        }
