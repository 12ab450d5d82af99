# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that use a GPU."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.gpu import machine


def test_processes_that_compute_are_named(tmp_path: Path) -> None:
    """A process that holds a GPU open counts; a program that only manages it, and one with the control node, do not."""
    for pid, name, node in (
        ("12", "python3", "/dev/nvidia0"),
        ("13", "nvidia-persiste", "/dev/nvidia0"),
        ("14", "sh", "/dev/nvidiactl"),
    ):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(name + "\n")
        (tmp_path / pid / "fd" / "3").symlink_to(node)
    processes = machine.processes(tmp_path)
    assert [(process["pid"], process["name"]) for process in processes] == [(12, "python3")]
    assert processes[0]["user"]
