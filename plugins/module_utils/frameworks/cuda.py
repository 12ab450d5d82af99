# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Oldest drivers for versions of CUDA.

The package gpulab_cli has a link to this file, so it imports the standard library only.
"""

from __future__ import annotations

CUDA_DRIVERS = {12: "525.60.13", 13: "580"}
"""The oldest driver for a major version of CUDA (NVIDIA: CUDA compatibility, minor version compatibility)."""
