# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lookup gpulab.core.controller_sources."""

from __future__ import annotations

DOCUMENTATION = r"""
name: controller_sources
author: The gpulab team (@gpulab)
short_description: The controller's own package settings, as a value for gpulab_sources
description:
  - Reads the proxies, the extra certificate authorities and the pip and npm settings of the controller.
  - Gives them in the shape of the setting C(gpulab_sources), so that a host that sits in the same network as the
    controller can be given the same sources. What is not set on the controller is left out.
options: {}
"""

EXAMPLES = r"""
- name: Give the hosts the controller's package settings (in group_vars)
  ansible.builtin.debug:
    msg: "{{ lookup('gpulab.core.controller_sources') }}"
"""

RETURN = r"""
_raw:
  description: One dictionary with the keys C(ca_certificates), C(proxy), C(pip), C(npm) where they are set.
  type: list
  elements: dict
"""

import os
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils.controller_sources import controller_sources


class LookupModule(LookupBase):  # type: ignore[misc]
    """Give the controller's package settings."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dictionary; there are no terms."""
        return [controller_sources(os.environ, Path.home())]
