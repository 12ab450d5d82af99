# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of GPUs that the checks of the hardware read, whichever reader they come from."""

from __future__ import annotations

from dataclasses import dataclass, field

THROTTLE_REASONS = {
    0x1: "idle",
    0x2: "clocks set by an administrator",
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "synchronised boost",
    0x20: "temperature, by software",
    0x40: "temperature, by hardware",
    0x80: "power brake of the host",
    0x100: "clocks of the display",
}
"""Bits of nvmlClocksEventReasons (NVML API reference)."""
SLOWDOWN = frozenset(
    ("hardware slowdown", "temperature, by software", "temperature, by hardware", "power brake of the host")
)
"""Reasons that show a fault of cooling or power."""

LEVELS = {
    0: "same board",
    10: "one PCIe switch",
    20: "several PCIe switches",
    30: "one PCIe host bridge",
    40: "one NUMA node",
    50: "across NUMA nodes",
}
"""nvmlGpuTopologyLevel_t: what lies between two GPUs."""


@dataclass
class Gpu:
    """One GPU; a value that the driver or the card does not offer is None."""

    index: int
    name: str = ""
    uuid: str = ""
    bus_id: str = ""
    minor: int | None = None
    memory_bytes: int | None = None
    compute_capability: str = ""
    mig: bool | None = None
    ecc: bool | None = None
    ecc_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    throttle: list[str] | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    pcie_generation: int | None = None
    pcie_generation_max: int | None = None
    nvlinks: int = 0
    nvlinks_active: int = 0
    temperature: int | None = None
    error: str = ""


@dataclass
class Pair:
    """Two GPUs: what lies between them, and whether each can read the other's memory (None: not known)."""

    first: int
    second: int
    between: str
    peer: bool | None = None
    reason: str = ""


@dataclass
class Reading:
    """What a reader returns: its name, versions, GPUs and pairs; `error` says why it could not read."""

    reader: str
    driver: str = ""
    cuda: str = ""
    gpus: list[Gpu] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    error: str = ""

    @property
    def mock(self) -> bool:
        """Whether the devices are those of a mock, which proves nothing about computing."""
        return any("(MOCK)" in gpu.name for gpu in self.gpus)


def throttle_words(bits: int) -> list[str]:
    """Return the reasons that hold clocks down, in words; unknown bits as a number."""
    words = [text for bit, text in THROTTLE_REASONS.items() if bits & bit]
    unknown = bits & ~sum(THROTTLE_REASONS)
    return words + ([f"reason {unknown:#x}"] if unknown else [])
