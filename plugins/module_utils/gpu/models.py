# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of GPU models: properties, supported drivers, and accelerator names of Google Cloud.

Sources. Architecture, compute capability, last driver branch and kernel module flavour: NVIDIA's "CUDA toolkit, driver
and architecture matrix" and data-centre driver documentation for R580 to R620. PCI ids: the public pci.ids list
(version 2025.06.09), and Debian's nvidia-detect for T4, P4, K80, H200, B200, GB200 and RTX PRO 6000. Memory of lab and
desktop cards: NVIDIA's product pages. Accelerator names and memory of cloud cards: Google's GPU machine type
documentation as repeated by GKE's and by Cluster Toolkit's hardware table. Lowest drivers: NVIDIA's MIG guide (A100,
H200, RTX PRO 6000) and GPU operator notes (B200, GB200); for Ada and H100 the first driver of CUDA 12; for desktop
Blackwell the first driver that lists it. None means that every driver branch still in use (470 and up) supports it.
"""

from __future__ import annotations

from dataclasses import dataclass

OPEN = "open"
PROPRIETARY = "proprietary"


@dataclass(frozen=True)
class GpuModel:
    """One GPU model; memory is per card, the smallest where one id serves several sizes."""

    name: str
    architecture: str
    compute_capability: str
    memory_gb: int
    pci_ids: tuple[str, ...]
    mig_capable: bool
    kernel_modules: tuple[str, ...]
    min_driver: str | None
    last_driver_branch: int | None
    google_accelerators: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """Properties that all GPUs of one architecture share."""

    kernel_modules: tuple[str, ...]
    last_driver_branch: int | None
    min_driver: str | None = None


_EITHER = (OPEN, PROPRIETARY)

ARCHITECTURES = {
    "Kepler": Architecture((PROPRIETARY,), 470),
    "Maxwell": Architecture((PROPRIETARY,), 580),
    "Pascal": Architecture((PROPRIETARY,), 580),
    "Volta": Architecture((PROPRIETARY,), 580),
    "Turing": Architecture(_EITHER, None),
    "Ampere": Architecture(_EITHER, None),
    "Ada": Architecture(_EITHER, None, "525.60.13"),
    "Hopper": Architecture(_EITHER, None, "525.60.13"),
    "Blackwell": Architecture((OPEN,), None, "570.86.15"),
}


def _model(
    name: str,
    architecture: str,
    compute_capability: str,
    memory_gb: int,
    ids: str,
    *,
    mig: bool = False,
    min_driver: str | None = None,
    google: tuple[str, ...] = (),
) -> GpuModel:
    """Return a row of the table; values that are not given come from the architecture."""
    common = ARCHITECTURES[architecture]
    return GpuModel(
        name=name,
        architecture=architecture,
        compute_capability=compute_capability,
        memory_gb=memory_gb,
        pci_ids=tuple(f"10de:{number}" for number in ids.split()),
        mig_capable=mig,
        kernel_modules=common.kernel_modules,
        min_driver=min_driver or common.min_driver,
        last_driver_branch=common.last_driver_branch,
        google_accelerators=google,
    )


_DATA_CENTRE = (
    _model("K10", "Kepler", "3.0", 4, "118f"),
    _model("K20", "Kepler", "3.5", 5, "1021 1022 1026 1028"),
    _model("K40", "Kepler", "3.5", 12, "1023 1024 1027 1029 102a"),
    _model("K80", "Kepler", "3.7", 12, "102d", google=("nvidia-tesla-k80",)),
    _model("M4", "Maxwell", "5.2", 4, "1431"),
    _model("M6", "Maxwell", "5.2", 8, "13f3"),
    _model("M10", "Maxwell", "5.0", 8, "13bd"),
    _model("M40", "Maxwell", "5.2", 12, "17fd"),
    _model("M60", "Maxwell", "5.2", 8, "13f2"),
    _model("P4", "Pascal", "6.1", 8, "1bb3", google=("nvidia-tesla-p4", "nvidia-tesla-p4-vws")),
    _model("P6", "Pascal", "6.1", 16, "1bb4"),
    _model("P40", "Pascal", "6.1", 24, "1b38"),
    _model("P100-12GB", "Pascal", "6.0", 12, "15f7"),
    _model("P100", "Pascal", "6.0", 16, "15f8 15f9", google=("nvidia-tesla-p100", "nvidia-tesla-p100-vws")),
    _model("V100", "Volta", "7.0", 16, "1db1 1db3 1db4", google=("nvidia-tesla-v100",)),
    _model("V100-32GB", "Volta", "7.0", 32, "1db5 1db6 1db7 1db8 1df6"),
    _model("T4", "Turing", "7.5", 16, "1eb8", google=("nvidia-tesla-t4", "nvidia-tesla-t4-vws")),
    _model("T10", "Turing", "7.5", 16, "1e37"),
    _model("A2-A16", "Ampere", "8.6", 16, "25b6"),
    _model("A10", "Ampere", "8.6", 24, "2236"),
    _model("A10G", "Ampere", "8.6", 24, "2237"),
    _model("A30", "Ampere", "8.0", 24, "20b7", mig=True, min_driver="450.80.02"),
    _model("A40", "Ampere", "8.6", 48, "2235"),
    _model(
        "A100-40GB",
        "Ampere",
        "8.0",
        40,
        "20b0 20f1",
        mig=True,
        min_driver="450.80.02",
        google=("nvidia-tesla-a100",),
    ),
    _model(
        "A100-80GB", "Ampere", "8.0", 80, "20b2 20b5", mig=True, min_driver="450.80.02", google=("nvidia-a100-80gb",)
    ),
    _model("A800", "Ampere", "8.0", 80, "20f3 20f5", mig=True, min_driver="450.80.02"),
    _model("L4", "Ada", "8.9", 24, "27b8", google=("nvidia-l4", "nvidia-l4-vws")),
    _model("L20", "Ada", "8.9", 48, "26ba"),
    _model("L40", "Ada", "8.9", 48, "26b5"),
    _model("L40S", "Ada", "8.9", 48, "26b9"),
    _model("H100", "Hopper", "9.0", 80, "2330 2331", mig=True, google=("nvidia-h100-80gb", "nvidia-h100-mega-80gb")),
    _model("H100-94GB", "Hopper", "9.0", 94, "2321 2339", mig=True),
    _model("H800", "Hopper", "9.0", 80, "2322 2324", mig=True),
    _model("H20", "Hopper", "9.0", 96, "2329", mig=True, min_driver="535.161.07"),
    _model("H200", "Hopper", "9.0", 141, "2335", mig=True, min_driver="550.90.07", google=("nvidia-h200-141gb",)),
    _model("H200-NVL", "Hopper", "9.0", 141, "233b", mig=True, min_driver="565.57.01"),
    _model("GH200", "Hopper", "9.0", 96, "2342", mig=True, min_driver="535.104.05"),
    _model("GH200-144GB", "Hopper", "9.0", 144, "2348", mig=True, min_driver="555.42.02"),
    _model("B200", "Blackwell", "10.0", 180, "2901", mig=True, min_driver="570.133.20", google=("nvidia-b200",)),
    _model("GB200", "Blackwell", "10.0", 186, "2941", mig=True, min_driver="570.133.20", google=("nvidia-gb200",)),
    _model(
        "RTX-PRO-6000",
        "Blackwell",
        "12.0",
        96,
        "2bb5",
        mig=True,
        min_driver="575.51.03",
        google=("nvidia-rtx-pro-6000", "nvidia-rtx-pro-6000-vws"),
    ),
)

_WORKSTATION = (
    _model("Quadro-K6000", "Kepler", "3.5", 12, "103a"),
    _model("Quadro-M5000", "Maxwell", "5.2", 8, "13f0"),
    _model("Quadro-M6000", "Maxwell", "5.2", 12, "17f0"),
    _model("Quadro-M6000-24GB", "Maxwell", "5.2", 24, "17f1"),
    _model("Quadro-P2000", "Pascal", "6.1", 5, "1c30"),
    _model("Quadro-P5000", "Pascal", "6.1", 16, "1bb0"),
    _model("Quadro-P6000", "Pascal", "6.1", 24, "1b30"),
    _model("Quadro-GP100", "Pascal", "6.0", 16, "15f0"),
    _model("Quadro-GV100", "Volta", "7.0", 32, "1dba"),
    _model("Quadro-RTX-4000", "Turing", "7.5", 8, "1eb1"),
    _model("Quadro-RTX-5000", "Turing", "7.5", 16, "1eb0"),
    _model("Quadro-RTX-6000-8000", "Turing", "7.5", 24, "1e30 1e36 1e78"),
    _model("RTX-A2000", "Ampere", "8.6", 6, "2531"),
    _model("RTX-A2000-12GB", "Ampere", "8.6", 12, "2571", min_driver="510.47.03"),
    _model("RTX-A4000", "Ampere", "8.6", 16, "24b0"),
    _model("RTX-A5000", "Ampere", "8.6", 24, "2231"),
    _model("RTX-A6000", "Ampere", "8.6", 48, "2230"),
    _model("RTX-2000-Ada", "Ada", "8.9", 16, "28b0", min_driver="550.54.14"),
    _model("RTX-4000-Ada", "Ada", "8.9", 20, "27b0 27b2", min_driver="535.54.03"),
    _model("RTX-4500-Ada", "Ada", "8.9", 24, "27b1", min_driver="535.98"),
    _model("RTX-5000-Ada", "Ada", "8.9", 32, "26b2", min_driver="535.98"),
    _model("RTX-6000-Ada", "Ada", "8.9", 48, "26b1"),
    _model("RTX-PRO-5000-Blackwell", "Blackwell", "12.0", 48, "2bb3", min_driver="570.144"),
    _model("RTX-PRO-6000-Blackwell-Workstation", "Blackwell", "12.0", 96, "2bb1", mig=True, min_driver="575.51.03"),
)

_DESKTOP = (
    _model("GTX-TITAN", "Kepler", "3.5", 6, "1001 1005 100c"),
    _model("GTX-960", "Maxwell", "5.2", 2, "1401"),
    _model("GTX-970", "Maxwell", "5.2", 4, "13c2"),
    _model("GTX-980", "Maxwell", "5.2", 4, "13c0"),
    _model("GTX-980-Ti", "Maxwell", "5.2", 6, "17c8"),
    _model("GTX-TITAN-X", "Maxwell", "5.2", 12, "17c2"),
    _model("GTX-1050", "Pascal", "6.1", 2, "1c81"),
    _model("GTX-1050-Ti", "Pascal", "6.1", 4, "1c82"),
    _model("GTX-1060", "Pascal", "6.1", 3, "1c02 1c03 1c04 1c06"),
    _model("GTX-1070", "Pascal", "6.1", 8, "1b81 1b82"),
    _model("GTX-1080", "Pascal", "6.1", 8, "1b80"),
    _model("GTX-1080-Ti", "Pascal", "6.1", 11, "1b06"),
    _model("TITAN-X-Pascal", "Pascal", "6.1", 12, "1b00 1b02"),
    _model("TITAN-V", "Volta", "7.0", 12, "1d81"),
    _model("GTX-1650", "Turing", "7.5", 4, "1f82 2187 2188"),
    _model("GTX-1660", "Turing", "7.5", 6, "2182 2184 21c4"),
    _model("RTX-2060", "Turing", "7.5", 6, "1f08 1e89"),
    _model("RTX-2060-12GB", "Turing", "7.5", 12, "1f03"),
    _model("RTX-2060-SUPER", "Turing", "7.5", 8, "1f06 1f42 1f47"),
    _model("RTX-2070", "Turing", "7.5", 8, "1f02 1f07 1e84 1ec2 1ec7"),
    _model("RTX-2080", "Turing", "7.5", 8, "1e81 1e82 1e87"),
    _model("RTX-2080-Ti", "Turing", "7.5", 11, "1e04 1e07"),
    _model("TITAN-RTX", "Turing", "7.5", 24, "1e02"),
    _model("RTX-3050", "Ampere", "8.6", 6, "2507 2582 2584", min_driver="510.47.03"),
    _model("RTX-3060", "Ampere", "8.6", 12, "2503 2504"),
    _model("RTX-3060-Ti", "Ampere", "8.6", 8, "2414 2486 2489 24c9"),
    _model("RTX-3070", "Ampere", "8.6", 8, "2484 2488"),
    _model("RTX-3070-Ti", "Ampere", "8.6", 8, "2482"),
    _model("RTX-3080", "Ampere", "8.6", 10, "2206 2216"),
    _model("RTX-3080-12GB", "Ampere", "8.6", 12, "220a", min_driver="510.47.03"),
    _model("RTX-3080-Ti", "Ampere", "8.6", 12, "2208"),
    _model("RTX-3090", "Ampere", "8.6", 24, "2204"),
    _model("RTX-3090-Ti", "Ampere", "8.6", 24, "2203", min_driver="510.60.02"),
    _model("RTX-4060", "Ada", "8.9", 8, "2882"),
    _model("RTX-4060-Ti", "Ada", "8.9", 8, "2803 2805"),
    _model("RTX-4070", "Ada", "8.9", 12, "2786"),
    _model("RTX-4070-SUPER", "Ada", "8.9", 12, "2783", min_driver="550.54.14"),
    _model("RTX-4070-Ti", "Ada", "8.9", 12, "2782"),
    _model("RTX-4070-Ti-SUPER", "Ada", "8.9", 16, "2705", min_driver="550.54.14"),
    _model("RTX-4080", "Ada", "8.9", 16, "2704"),
    _model("RTX-4080-SUPER", "Ada", "8.9", 16, "2702", min_driver="550.54.14"),
    _model("RTX-4090", "Ada", "8.9", 24, "2684"),
    _model("RTX-5060", "Blackwell", "12.0", 8, "2d05"),
    _model("RTX-5060-Ti", "Blackwell", "12.0", 8, "2d04"),
    _model("RTX-5070", "Blackwell", "12.0", 12, "2f04"),
    _model("RTX-5070-Ti", "Blackwell", "12.0", 16, "2c05"),
    _model("RTX-5080", "Blackwell", "12.0", 16, "2c02"),
    _model("RTX-5090", "Blackwell", "12.0", 32, "2b85 2b87"),
)


@dataclass(frozen=True)
class DisplayCard:
    """A small card for screens, often next to cards that compute."""

    name: str
    compute_capability: str
    pci_ids: tuple[str, ...]


def _display(name: str, compute_capability: str, ids: str) -> DisplayCard:
    """Return a row of the table of display cards."""
    return DisplayCard(name, compute_capability, tuple(f"10de:{number}" for number in ids.split()))


DISPLAY_CARDS: tuple[DisplayCard, ...] = (
    _display("GT-610", "2.1", "0de7 0f03 104a"),
    _display("GT-630", "3.5", "1284"),
    _display("GT-640", "3.0", "0fc0 0fc1"),
    _display("GT-710", "3.5", "1281 1289 128b"),
    _display("GT-720", "3.5", "1286 1288"),
    _display("GT-730", "3.5", "1287"),
    _display("GT-730-GK107", "3.0", "0fc9"),
    _display("GT-730-GF108", "2.1", "0f02 0f06"),
    _display("GT-740", "3.0", "0fc8 11c5 11cb"),
    _display("GT-1010", "6.1", "1d02"),
    _display("GT-1030", "6.1", "1d01"),
    _display("NVS-310-315", "2.1", "107c 107d"),
    _display("NVS-510", "3.0", "0ffd"),
    _display("NVS-810", "5.0", "13b9"),
    _display("Quadro-K420", "3.0", "0ff3"),
    _display("Quadro-K600", "3.0", "0ffa"),
    _display("Quadro-K620", "5.0", "13bb"),
    _display("Quadro-K1200", "5.0", "13bc"),
    _display("Quadro-P400", "6.1", "1cb3"),
    _display("Quadro-P600", "6.1", "1cb2"),
    _display("Quadro-P620", "6.1", "1cb6"),
    _display("Quadro-P1000", "6.1", "1cb1 1cfb"),
    _display("T400", "7.5", "1fb2 1ff2"),
    _display("T600", "7.5", "1fb1"),
    # One id for both; DGX Display is the card for the screen of a DGX Station A100.
    _display("T1000-or-DGX-Display", "7.5", "1fb0 1ff0"),
)
"""Usual display cards. They are not in MODELS: the driver is chosen for the cards that compute.

Ids and chips: the public pci.ids list (version 2023.04.10) and, for T400, T600, T1000 and DGX Display, the list of
supported GPUs in NVIDIA's open-gpu-kernel-modules (README.md). Compute capabilities: those of the chips (GF108, GF119:
2.1; GK106, GK107: 3.0; GK208: 3.5; GM107: 5.0; GP107, GP108: 6.1; TU117: 7.5; NVIDIA's list of CUDA GPUs).
"""

MODELS: tuple[GpuModel, ...] = (*_DATA_CENTRE, *_WORKSTATION, *_DESKTOP)

_BY_ACCELERATOR = {accelerator: model for model in MODELS for accelerator in model.google_accelerators}
_BY_PCI_ID = {pci_id: model for model in MODELS for pci_id in model.pci_ids}


def by_google_accelerator(name: str) -> GpuModel | None:
    """Return the model of a Google accelerator type (its short name, not the URL), None when the table lacks it."""
    return _BY_ACCELERATOR.get(name)


def by_pci_id(pci_id: str) -> GpuModel | None:
    """Return the model of a PCI id such as 10de:1eb8 (in any case), None when the table lacks it."""
    return _BY_PCI_ID.get(pci_id.lower())


_DISPLAY_BY_PCI_ID = {pci_id: card for card in DISPLAY_CARDS for pci_id in card.pci_ids}


def display_card(pci_id: str) -> DisplayCard | None:
    """Return the display card of a PCI id such as 10de:128b (in any case), None when the table lacks it."""
    return _DISPLAY_BY_PCI_ID.get(pci_id.lower())
