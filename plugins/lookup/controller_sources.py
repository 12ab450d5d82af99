# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.controller_sources."""

from __future__ import annotations

DOCUMENTATION = r"""
name: controller_sources
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Package sources of the controller, as a value for gpulab_sources
description:
  - Reads proxies, further CA certificates and the settings of pip and npm on the controller.
  - Returns them in the form of the variable C(gpulab_sources), for hosts in the same network as the controller. Keys
    that are not set on the controller are left out.
options: {}
"""

EXAMPLES = r"""
- name: Show the package sources of the controller
  ansible.builtin.debug:
    msg: "{{ lookup('gpulab.core.controller_sources') }}"
"""

RETURN = r"""
_raw:
  description: One dictionary with the keys C(ca_certificates), C(proxy), C(pip), C(npm) where they are set.
  type: list
  elements: dict
  sample: [{pip: {index_url: https://mirror.lab.example/simple}}]
"""

import os
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils.controller_sources import controller_sources


class LookupModule(LookupBase):  # type: ignore[misc]
    """Return the package sources of the controller."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dictionary; there are no terms."""
        return [controller_sources(os.environ, Path.home())]
