# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that check the hub's options and the host's firewall; each is documented in the .yml file of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.hub.firewall import firewall_notes
from ansible_collections.gpulab.core.plugins.plugin_utils.hub.options import hub_problems


class FilterModule:
    """Provide the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"firewall_notes": firewall_notes, "hub_problems": hub_problems}
