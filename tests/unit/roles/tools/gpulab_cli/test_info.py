# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that users read at login."""

from __future__ import annotations

from pathlib import Path

from gpulab_cli import info


def test_limits_are_read_from_the_slice() -> None:
    """With the current use; limits that are not set are left out."""
    properties = (
        "MemoryMax=3221225472\nMemoryCurrent=1610612736\nCPUQuotaPerSecUSec=1.500000s\nTasksMax=900\nTasksCurrent=12\n"
    )
    assert info.limits(properties) == {"cores": "1.5", "memory": "1.5 of 3.0 GB", "tasks": "12 of 900"}
    assert info.limits("MemoryMax=infinity\nCPUQuotaPerSecUSec=infinity\nTasksMax=infinity\n") == {}
    assert info.limits("MemoryMax=3221225472\nMemoryCurrent=[not set]\n") == {"memory": "3.0 GB"}


def test_active_users_are_those_with_a_slice(tmp_path: Path) -> None:
    """Without root, and without numbers that have no account."""
    for name in ("user-0.slice", "user-1.slice", "user-4242424.slice", "other.slice"):
        (tmp_path / "user.slice" / name).mkdir(parents=True)
    assert info.active_users(tmp_path) == ["daemon"]


def test_links_are_read_from_every_role(tmp_path: Path) -> None:
    """A damaged file does not hide the others."""
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"JupyterHub": "https://lab/"}')
    assert info.links(tmp_path) == {"JupyterHub": "https://lab/"}


def test_facts_are_printed_as_lines(tmp_path: Path) -> None:
    """A host without a GPU says so."""
    python = tmp_path / "ml/current/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    facts = info.read_facts(environments=tmp_path, driver=tmp_path / "none", home=tmp_path)
    text = info.as_text(facts)
    assert f"Python (ml): {python}" in text
    assert "GPUs: none (all programs run on the CPU)" in text
