"""What users read at login when kernel, module and libraries do not fit: the script itself, on recorded hosts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TEMPLATE = Path(__file__).resolve().parents[3] / "roles" / "nvidia_driver" / "templates" / "driver-check.j2"
KERNEL = "6.1.0-56-amd64"
LIBRARY = "usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-ml.so"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder)\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  Sun May 12 19:39:15 UTC 2024\n"
MODULE = f"lib/modules/{KERNEL}/updates/dkms/nvidia-current.ko"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., str]:
    """Run it on a host with these files; give what users would read."""

    def run(**files: str) -> str:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        environment = {"GPULAB_ROOT": str(tmp_path), "GPULAB_KERNEL": KERNEL, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["sh", str(TEMPLATE)], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        message = tmp_path / "run" / "motd.d" / "60-gpulab-driver"
        return message.read_text() if message.exists() else ""

    return run


@pytest.mark.parametrize("loaded", [OPEN, CLOSED])
def test_what_fits_says_nothing(check: Callable[..., str], loaded: str) -> None:
    """Neither with the open nor with the proprietary module, nor on a host without a driver."""
    assert check() == ""
    assert check(**{"proc/driver/nvidia/version": loaded, f"{LIBRARY}.580.159.04": "", MODULE: ""}) == ""


@pytest.mark.parametrize("loaded", [OPEN, CLOSED])
def test_libraries_that_changed_under_the_module_are_told(check: Callable[..., str], loaded: str) -> None:
    """Both versions are named, and what helps."""
    text = check(**{"proc/driver/nvidia/version": loaded, f"{LIBRARY}.580.178.04": "", MODULE: ""})
    assert "module 580.159.04 is loaded, the libraries are 580.178.04" in text
    assert "restarts" in text


def test_kernel_without_a_module_is_told(check: Callable[..., str]) -> None:
    """The kernel and the package that lacks are named."""
    text = check(**{f"{LIBRARY}.580.159.04": ""})
    assert f"No NVIDIA module was built for the running kernel {KERNEL}" in text
    assert f"linux-headers-{KERNEL}" in text


def test_message_goes_away_with_its_reason(check: Callable[..., str]) -> None:
    """Nobody reads about what was repaired."""
    assert check(**{f"{LIBRARY}.580.159.04": ""})
    assert check(**{"proc/driver/nvidia/version": OPEN, MODULE: ""}) == ""
