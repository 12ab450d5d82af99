# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of check mode, for all modules."""

from __future__ import annotations


class ModuleDocFragment:
    """Support of check mode."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: Runs in check mode and reports what would change.
"""
