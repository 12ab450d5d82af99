# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of GPU sharing for a host: pure functions on the facts of gpu_info. Internal."""
