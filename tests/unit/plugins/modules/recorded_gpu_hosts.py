# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded hosts: the files that gpu_info reads on machines of several kinds."""

from __future__ import annotations

from pathlib import Path

DEBIAN12 = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
DEBIAN13 = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'
UBUNTU24 = 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

OPEN_580 = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (dvs-builder)\n"
PROPRIETARY_535 = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"


def pci(number: int, device: str, kind: str = "0x030200", vendor: str = "0x10de") -> dict[str, str]:
    """Return the files of one PCI device."""
    directory = f"sys/bus/pci/devices/0000:{number:02x}:00.0"
    return {f"{directory}/vendor": vendor, f"{directory}/class": kind, f"{directory}/device": f"0x{device}"}


def kernel(release: str, *, image: bool = True, headers: bool = True) -> dict[str, str]:
    """Return the files of one kernel."""
    files = {f"boot/vmlinuz-{release}": "", f"lib/modules/{release}/kernel/x.ko": ""} if image else {}
    return {**files, **({f"lib/modules/{release}/build/Makefile": ""} if headers else {})}


def package(name: str, version: str, state: str = "installed") -> str:
    """Return an entry of dpkg's record."""
    return f"Package: {name}\nStatus: install ok {state}\nVersion: {version}\n\n"


HOSTS: dict[str, dict[str, str]] = {
    # An office machine of a lab: its GPU is not NVIDIA's.
    "no GPU": {"etc/os-release": DEBIAN12, **pci(2, "3e92", "0x030000", "0x8086"), **kernel("6.1.0-56-amd64")},
    # A virtual machine as Google starts it: T4, nothing installed, headers missing for the newer kernel.
    "bare T4": {
        "etc/os-release": DEBIAN12,
        **pci(4, "1eb8"),
        **pci(5, "10f8", "0x040300"),
        **kernel("6.1.0-47-cloud-amd64"),
        **kernel("6.1.0-56-cloud-amd64", headers=False),
        "sys/class/dmi/id/sys_vendor": "Google\n",
        SECURE_BOOT: "\x06\x00\x00\x00\x00",
    },
    # Debian's packages, module built by DKMS, loaded.
    "Debian driver": {
        "etc/os-release": DEBIAN12,
        **pci(1, "1db4"),
        **kernel("6.1.0-56-amd64"),
        "proc/driver/nvidia/version": PROPRIETARY_535,
        "lib/modules/6.1.0-56-amd64/updates/dkms/nvidia-current.ko": "535.183.01",
        "lib/modules/6.1.0-56-amd64/updates/dkms/nvidia-current-uvm.ko": "535.183.01",
        "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.535.183.01": "",
        "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1": "",
        "etc/modprobe.d/nvidia-blacklists-nouveau.conf": "# see\nblacklist nouveau\n",
        "var/lib/dpkg/status": package("nvidia-kernel-dkms", "535.183.01-1~deb12u1")
        + package("libcuda1", "535.183.01-1~deb12u1")
        + package("libnvidia-container1", "1.17.0-1"),
        "var/lib/dkms/nvidia-current/535.183.01/6.1.0-56-amd64/x86_64/module/nvidia-current.ko": "",
    },
    # A host on which the module did not build.
    "failed build": {
        "etc/os-release": DEBIAN13,
        **pci(1, "26b9"),
        **kernel("6.12.117-amd64"),
        "var/lib/dpkg/status": package("nvidia-open-kernel-dkms", "550.163.01-2", "half-configured"),
        "var/lib/dkms/nvidia-current-open/550.163.01/source/x": "",
        "var/lib/dkms/nvidia-current-open/550.163.01/build/make.log": "  CC [M] nv-pci.o\n"
        "nvidia/nv-pci.c:237:9: error: too few arguments to function 'pci_resize_resource'\nmake: *** [x] Error 2\n",
    },
    # An image with the driver inside, from NVIDIA's installer; libraries were upgraded under the loaded module.
    "runfile": {
        "etc/os-release": UBUNTU24,
        **{key: text for number in range(1, 9) for key, text in pci(number, "2330").items()},
        **{key: text for number in range(16, 20) for key, text in pci(number, "22a3", "0x068000").items()},
        **kernel("6.8.0-1024-gcp"),
        "proc/driver/nvidia/version": OPEN_580,
        "usr/bin/nvidia-uninstall": "",
        "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.178.04": "",
        "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.159.04": "",
        "var/lib/dpkg/status": package("nvidia-fabricmanager-580", "580.159.04-1ubuntu1"),
        SECURE_BOOT: "\x06\x00\x00\x00\x01",
    },
    # A container with a GPU from its runtime.
    "injected": {
        "etc/os-release": UBUNTU24,
        **pci(1, "2335"),
        "proc/driver/nvidia/version": OPEN_580,
        "proc/self/mountinfo": "90 1 8:1 /x /usr/lib/x86_64-linux-gnu/libcuda.so.580.159.04 ro - ext4 /dev/sda1 ro\n",
        "usr/lib/x86_64-linux-gnu/libcuda.so.580.159.04": "",
        ".dockerenv": "",
    },
    # A desktop card of a generation that the table lacks, with nouveau loaded.
    "unknown": {
        "etc/os-release": DEBIAN13,
        **pci(1, "3f00", "0x030000"),
        **kernel("6.12.117-amd64"),
        "sys/module/nouveau/refcnt": "1",
        "proc/cpuinfo": "flags\t\t: fpu vme\n",
    },
    # A host whose cards have no driver in common.
    "Volta and Blackwell": {
        "etc/os-release": UBUNTU24,
        **pci(1, "1db6"),
        **pci(2, "2bb5"),
        **kernel("6.8.0-50-generic"),
    },
    "GB200": {"etc/os-release": UBUNTU24, **pci(1, "2941"), **kernel("6.8.0-1024-nvidia-64k")},
}


def write_host(directory: Path, name: str) -> Path:
    """Write the files of a recorded host into a directory and return the directory."""
    for path, text in HOSTS[name].items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(text.encode("latin-1"))
    return directory
