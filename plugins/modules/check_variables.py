#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of gpulab.core.check_variables; its action plugin does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Check the variables of a host on the controller
description:
  - Compares the variables of a host with the site variables and the role options of the collection, and reports all
    problems at once.
  - Reports files in C(group_vars) and C(host_vars) that Ansible ignores, because a directory of the same name exists.
  - Reads the argument specifications and defaults of the roles on the controller. Contacts no host, changes nothing
    and never repeats a secret.
options:
  variables:
    description: Site variables that no single role owns, in the form of an argument specification.
    type: dict
    default: {}
  reserved:
    description: Variables that this release does not support, with the keys C(needs) and C(accepted).
    type: dict
    default: {}
  required:
    description:
      - Variables that must be set, because a host would lose something without them, with the keys C(empty) (the value
        that means nothing) and C(effect) (of that value). The role option that a variable sets counts as well.
    type: dict
    default: {}
  renamed:
    description: New names of variables and keys by their old names; a star stands for any key.
    type: dict
    default: {}
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
attributes:
  action:
    support: full
    description: Runs on the controller only.
"""

EXAMPLES = r"""
- name: Reject invalid variables
  gpulab.core.check_variables:
    variables:
      gpulab_lock_hours: {type: float}
    required:
      gpulab_users: {empty: "[]", effect: closes every account}
    renamed:
      gpulab_old: gpulab_new
"""

RETURN = r"""
problems:
  description: One sentence for each problem.
  type: list
  elements: str
  returned: failure
  sample: ["gpulab_user is not a variable of gpulab. Did you mean gpulab_users?"]
"""
