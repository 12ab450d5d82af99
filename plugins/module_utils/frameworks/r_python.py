# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of R packages that fit versions of Python packages. Pure functions: problems out, as sentences."""

from __future__ import annotations

RETICULATE_FOR_NUMPY2 = (1, 38)
"""The first reticulate that converts arrays of NumPy 2 (its NEWS, 1.38)."""


def r_python_problems(reticulate: str, numpy: str, interpreter: str = "Python") -> list[str]:
    """Return a sentence if this reticulate cannot convert arrays of this NumPy; imports work in any case."""
    installed = tuple(int(part) for part in reticulate.replace("-", ".").split(".")[:2])
    if installed >= RETICULATE_FOR_NUMPY2 or int(numpy.partition(".")[0]) < 2:
        return []
    required = ".".join(str(part) for part in RETICULATE_FOR_NUMPY2)
    return [
        f"reticulate {reticulate} cannot convert arrays of NumPy {numpy} of {interpreter}: "
        f"use an environment with numpy<2, or reticulate {required} or newer."
    ]
