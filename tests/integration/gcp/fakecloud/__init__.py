# SPDX-License-Identifier: GPL-3.0-or-later
"""A Google Cloud of our own on this machine: Compute Engine, Resource Manager, tokens, metadata server."""

from __future__ import annotations

from .service import FakeCloud, Fault
from .world import Project, World, make_world

__all__ = ["FakeCloud", "Fault", "Project", "World", "make_world"]
