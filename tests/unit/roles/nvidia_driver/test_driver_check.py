# SPDX-License-Identifier: GPL-3.0-or-later
"""The script driver-check, whose message users see at login, on recorded hosts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.paths import ROOT

TEMPLATE = ROOT / "roles" / "nvidia_driver" / "templates" / "driver-check.j2"
KERNEL = "6.1.0-56-amd64"
LIBRARY = "usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ml.so"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder)\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Sun May 12 19:39:15 UTC 2024\n"
MODULE = f"lib/modules/{KERNEL}/updates/dkms/nvidia-current.ko"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs the script on a host with these files and returns the message for users."""

    def run(**files: str) -> str:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        environment = {"GPULAB_ROOT": str(tmp_path), "GPULAB_KERNEL": KERNEL, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            ["sh", str(TEMPLATE)], env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        message = tmp_path / "run" / "motd.d" / "60-gpulab-driver"
        return message.read_text() if message.exists() else ""

    return run


@pytest.mark.parametrize("loaded", [OPEN, CLOSED])
def test_matching_versions_give_no_message(check: Callable[..., str], loaded: str) -> None:
    """With the open and the proprietary module, and on a host without a driver."""
    assert check() == ""
    assert check(**{"proc/driver/nvidia/version": loaded, f"{LIBRARY}.580.159.04": "", MODULE: ""}) == ""


@pytest.mark.parametrize("loaded", [OPEN, CLOSED])
def test_changed_libraries_are_reported(check: Callable[..., str], loaded: str) -> None:
    """With both versions and the remedy."""
    text = check(**{"proc/driver/nvidia/version": loaded, f"{LIBRARY}.580.178.04": "", MODULE: ""})
    assert "module 580.159.04 is loaded, the libraries are 580.178.04" in text
    assert "restarts" in text


def test_kernel_without_a_module_is_reported(check: Callable[..., str]) -> None:
    """With the kernel and the missing package."""
    text = check(**{f"{LIBRARY}.580.159.04": ""})
    assert f"No NVIDIA module was built for the running kernel {KERNEL}" in text
    assert f"linux-headers-{KERNEL}" in text


def test_message_is_removed_with_its_reason(check: Callable[..., str]) -> None:
    """Users see no message about a repaired driver."""
    assert check(**{f"{LIBRARY}.580.159.04": ""})
    assert check(**{"proc/driver/nvidia/version": OPEN, MODULE: ""}) == ""
