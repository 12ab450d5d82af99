# SPDX-License-Identifier: GPL-3.0-or-later
"""The module locked_environment: its diff."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.modules.locked_environment import difference


def test_difference_lists_versions() -> None:
    """Check mode shows which packages are added, removed and changed."""
    diff = difference({"a": "1"}, {"a": "2", "b": "1"})
    assert (diff["before"], diff["after"]) == ("a==1\n", "a==2\nb==1\n")
