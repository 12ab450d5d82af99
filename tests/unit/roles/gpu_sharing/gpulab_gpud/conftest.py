# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker, and what it lets users open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.gpud import Lab


@pytest.fixture
def lab(tmp_path: Path, nodes: dict[str, frozenset[int]]) -> Lab:
    """Return a broker that does not run yet."""
    return Lab(tmp_path)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, frozenset[int]]:
    """Return the access to nodes, which is recorded instead of set: only root can do that."""
    recorded: dict[str, frozenset[int]] = {}

    def apply(node: Path, access: Any) -> bool:
        before, recorded[node.name] = recorded.get(node.name), access.uids
        return bool(before != access.uids)

    monkeypatch.setattr("gpulab_gpud.access.acl.apply", apply)
    return recorded
