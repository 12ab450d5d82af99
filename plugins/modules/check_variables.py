#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of gpulab.core.check_variables; its action plugin does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
author: The gpulab team (@gpulab)
short_description: Whether the settings for a host fit together
description:
  - Compares the variables of a host with the list of settings and names every problem at once.
  - Asks no host, changes nothing and never repeats a secret.
options:
  variables:
    description: The settings by name, in the form of an argument specification.
    type: dict
    required: true
  options:
    description: The options of each role by its name, to find misspelt ones.
    type: dict
    default: {}
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
attributes:
  action:
    support: full
    description: Runs on the controller alone.
"""

EXAMPLES = r"""
- name: Reject settings that cannot be met
  gpulab.core.check_variables:
    settings:
      gpulab_gpu:
        type: str
        choices: [auto, required, none]
"""

RETURN = r"""
problems:
  description: One sentence for each problem.
  type: list
  elements: str
  returned: failure
"""
