# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that the modules share which change nothing."""

from __future__ import annotations


class ModuleDocFragment:
    """What such a module does in diff mode."""

    DOCUMENTATION = r"""
attributes:
  diff_mode:
    support: none
    description: Changes nothing, so there is nothing to show.
"""
