# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of modules that change nothing."""

from __future__ import annotations


class ModuleDocFragment:
    """Support of diff mode."""

    DOCUMENTATION = r"""
attributes:
  diff_mode:
    support: none
    description: Changes nothing.
"""
