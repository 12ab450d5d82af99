# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Driver branches of NVIDIA and the CUDA versions that they support: data.

Sources: NVIDIA's data-centre driver documentation for R580 to R620 and its driver installation guide.
"""

from __future__ import annotations

LTS = 580
"""The long-term branch, until June 2028: the last that supports Maxwell, Pascal and Volta, the first of CUDA 13."""

OPEN_FOR_DESKTOPS = 560
"""The branch from which NVIDIA recommends the open module on Turing and newer; before, only on data-centre cards."""

OPEN_ONLY = 615
"""The branch from which NVIDIA's repository has no proprietary module."""

FIRST_PINNED = 570
"""The first branch with a package that pins it (nvidia-driver-pinning-N); older ones are not taken from there."""

CUDA_OF_BRANCH = {470: 11, 535: 12, 550: 12, 570: 12, 580: 13, 595: 13, 610: 13, 615: 13, 620: 13}
"""The newest CUDA major version whose programs a branch runs."""

CUDA_OF_ARCHITECTURE = {"Blackwell": "12.8", "Hopper": "11.8", "Ada": "11.8", "Ampere": "11.0"}
"""The first CUDA version that compiles for an architecture. All others: any that the driver runs."""

LAST_CUDA_OF_ARCHITECTURE = {"Kepler": 11, "Maxwell": 12, "Pascal": 12, "Volta": 12}
"""The last CUDA major version that compiles for an architecture. All others: any that the driver runs."""
