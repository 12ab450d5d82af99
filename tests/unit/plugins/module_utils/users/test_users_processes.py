# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes with their users and groups."""

from __future__ import annotations

import os

from ansible_collections.gpulab.core.plugins.module_utils.users.processes import ancestors


def test_ancestors_include_the_own_session() -> None:
    """The accounts of this process and of all that it descends from."""
    assert os.getuid() in ancestors(os.getpid())
