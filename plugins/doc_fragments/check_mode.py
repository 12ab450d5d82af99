# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that all modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What a module does in check mode."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: Can run in check mode and tell what would change.
"""
