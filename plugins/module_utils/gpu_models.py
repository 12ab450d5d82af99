# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one GPU table: what a model is, which driver carries it, and what Google Cloud calls it.

Sources. Architecture, compute capability, last driver branch and kernel module flavour: NVIDIA's "CUDA toolkit, driver
and architecture matrix" and data-centre driver documentation for R580 to R620. PCI ids: the public pci.ids list, and
Debian's nvidia-detect for T4, P4, K80, H200, B200, GB200 and RTX PRO 6000. Accelerator names and memory: Google's GPU
machine type documentation as repeated by GKE's and by Cluster Toolkit's hardware table. Lowest drivers: NVIDIA's MIG
guide (A100, H200, RTX PRO 6000) and GPU operator notes (B200, GB200); for L4 and H100 the first driver of CUDA 12. None
means that every driver branch still in use carries the card.
"""

from __future__ import annotations

from dataclasses import dataclass

OPEN = "open"
PROPRIETARY = "proprietary"


@dataclass(frozen=True)
class GpuModel:
    """One GPU model; memory is per card."""

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


_EITHER = (OPEN, PROPRIETARY)

MODELS: tuple[GpuModel, ...] = (
    GpuModel("K80", "Kepler", "3.7", 12, ("10de:102d",), False, (PROPRIETARY,), None, 470, ("nvidia-tesla-k80",)),
    GpuModel(
        "P4",
        "Pascal",
        "6.1",
        8,
        ("10de:1bb3",),
        False,
        (PROPRIETARY,),
        None,
        580,
        ("nvidia-tesla-p4", "nvidia-tesla-p4-vws"),
    ),
    GpuModel(
        "P100",
        "Pascal",
        "6.0",
        16,
        ("10de:15f8", "10de:15f9"),
        False,
        (PROPRIETARY,),
        None,
        580,
        ("nvidia-tesla-p100", "nvidia-tesla-p100-vws"),
    ),
    GpuModel(
        "V100", "Volta", "7.0", 16, ("10de:1db1", "10de:1db4"), False, (PROPRIETARY,), None, 580, ("nvidia-tesla-v100",)
    ),
    GpuModel(
        "T4",
        "Turing",
        "7.5",
        16,
        ("10de:1eb8",),
        False,
        _EITHER,
        None,
        None,
        ("nvidia-tesla-t4", "nvidia-tesla-t4-vws"),
    ),
    GpuModel(
        "A100-40GB",
        "Ampere",
        "8.0",
        40,
        ("10de:20b0", "10de:20f1"),
        True,
        _EITHER,
        "450.80.02",
        None,
        ("nvidia-tesla-a100",),
    ),
    GpuModel(
        "A100-80GB",
        "Ampere",
        "8.0",
        80,
        ("10de:20b2", "10de:20b5"),
        True,
        _EITHER,
        "450.80.02",
        None,
        ("nvidia-a100-80gb",),
    ),
    GpuModel("L4", "Ada", "8.9", 24, ("10de:27b8",), False, _EITHER, "525.60.13", None, ("nvidia-l4", "nvidia-l4-vws")),
    GpuModel(
        "H100",
        "Hopper",
        "9.0",
        80,
        ("10de:2330", "10de:2331"),
        True,
        _EITHER,
        "525.60.13",
        None,
        ("nvidia-h100-80gb", "nvidia-h100-mega-80gb"),
    ),
    GpuModel("H200", "Hopper", "9.0", 141, ("10de:2335",), True, _EITHER, "550.90.07", None, ("nvidia-h200-141gb",)),
    GpuModel("B200", "Blackwell", "10.0", 180, ("10de:2901",), True, (OPEN,), "570.133.20", None, ("nvidia-b200",)),
    GpuModel("GB200", "Blackwell", "10.0", 186, ("10de:2941",), True, (OPEN,), "570.133.20", None, ("nvidia-gb200",)),
    GpuModel(
        "RTX-PRO-6000",
        "Blackwell",
        "12.0",
        96,
        ("10de:2bb5",),
        True,
        (OPEN,),
        "575.51.03",
        None,
        ("nvidia-rtx-pro-6000", "nvidia-rtx-pro-6000-vws"),
    ),
)

_BY_ACCELERATOR = {accelerator: model for model in MODELS for accelerator in model.google_accelerators}
_BY_PCI_ID = {pci_id: model for model in MODELS for pci_id in model.pci_ids}


def by_google_accelerator(name: str) -> GpuModel | None:
    """Return the model behind a Google accelerator type (the short name, not the URL), None when it is not known."""
    return _BY_ACCELERATOR.get(name)


def by_pci_id(pci_id: str) -> GpuModel | None:
    """Return the model of a PCI id such as 10de:1eb8 (case does not matter), None when it is not known."""
    return _BY_PCI_ID.get(pci_id.lower())
