# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of R's and Python's packages fit, or the message names the one to change."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.r_python import r_python_problems


@pytest.mark.parametrize(
    ("reticulate", "numpy", "fits"),
    [
        ("1.28", "1.26.4", True),
        ("1.28", "2.4.6", False),
        ("1.37.0", "2.0.0", False),
        ("1.38.0", "2.0.0", True),
        ("1.41.0.1", "2.5.5", True),
        ("1.46.0.9000", "1.26.4", True),
        ("1.35-1", "2.1", False),
    ],
)
def test_old_reticulate_needs_old_numpy(reticulate: str, numpy: str, fits: bool) -> None:
    """Imports work with every pair; only the conversion of an array shows the misfit."""
    problems = r_python_problems(reticulate, numpy, "/opt/x/python")
    assert (problems == []) == fits
    assert all("numpy<2" in problem and "1.38" in problem and "/opt/x/python" in problem for problem in problems)
