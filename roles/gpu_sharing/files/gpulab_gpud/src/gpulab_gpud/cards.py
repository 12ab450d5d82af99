# SPDX-License-Identifier: GPL-3.0-or-later
"""The GPUs of the host and their device nodes: from NVML, or from a list of nodes on a host without a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

DEV = Path("/dev")
PCI = Path("/sys/bus/pci/devices")
COMMON = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
"""Nodes that every user of any GPU opens."""


PARAMETERS = Path("/proc/driver/nvidia/params")


def opens_nodes(parameters: Path = PARAMETERS) -> bool:
    """Return whether the loaded driver opens its device nodes to all users whenever a CUDA program starts."""
    try:
        text = parameters.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "DeviceFileMode: 432\n" not in text


class Unreadable(Exception):
    """The GPUs cannot be read now. What is known about them stays."""


@dataclass(frozen=True)
class Card:
    """A GPU with its device nodes. `problem` is why it cannot be used, or empty."""

    uuid: str
    name: str
    nodes: tuple[Path, ...]
    problem: str = ""


class Cards(Protocol):
    """A source of GPUs."""

    def read(self) -> list[Card]:
        """Return the GPUs, ordered by their address on the bus; raises Unreadable."""

    def common(self) -> list[Path]:
        """Return the nodes that users of all GPUs open."""


class NodeCards:
    """Device nodes that count as GPUs, for tests on a host without one."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = [Path(node) for node in nodes]

    def read(self) -> list[Card]:
        """Return the nodes; one that does not exist is a lost GPU."""
        return [
            Card(f"TEST-{node.name}", f"{node.name} (test)", (node,), "" if node.exists() else "its node is missing")
            for node in self._nodes
        ]

    def common(self) -> list[Path]:
        """Return the common nodes next to the first one."""
        directory = self._nodes[0].parent if self._nodes else DEV
        return [directory / name for name in COMMON if (directory / name).exists()]


class NvmlCards:
    """The GPUs that NVIDIA's management library shows."""

    def __init__(self, dev: Path = DEV, pci: Path = PCI) -> None:
        self._dev, self._pci = dev, pci

    def read(self) -> list[Card]:
        """Return the GPUs; one that does not answer has a problem, and one that the driver has lost is missing."""
        import pynvml  # only hosts with a driver have the library that it loads

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise Unreadable(f"NVIDIA's driver does not answer: {error}") from error
        try:
            indexes = [index for index in range(pynvml.nvmlDeviceGetCount()) if not is_lost(pynvml, index)]
            cards = [self._card(pynvml, index) for index in indexes]
        except pynvml.NVMLError as error:
            raise Unreadable(f"the GPUs cannot be read: {error}") from error
        finally:
            pynvml.nvmlShutdown()
        return [card for _address, card in sorted(cards, key=lambda pair: pair[0])]

    def _card(self, nvml: Any, index: int) -> tuple[str, Card]:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        address = _text(nvml.nvmlDeviceGetPciInfo(handle).busId)
        minor = int(nvml.nvmlDeviceGetMinorNumber(handle))
        problem = ""
        try:
            nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError as error:
            problem = f"it does not answer ({error}): restart the host"
        nodes = [self._dev / f"nvidia{minor}", *self.render_nodes(address)]
        return address, Card(uuid, name, tuple(nodes), problem)

    def render_nodes(self, address: str) -> list[Path]:
        """Return the render nodes of the card at an address on the PCI bus, such as 00000000:04:00.0."""
        domain, _separator, rest = address.lower().partition(":")
        names = sorted((self._pci / f"{domain[-4:]}:{rest}" / "drm").glob("renderD*"))
        return [self._dev / "dri" / name.name for name in names]

    def common(self) -> list[Path]:
        """Return the common nodes that exist."""
        return [self._dev / name for name in COMMON if (self._dev / name).exists()]


def is_lost(nvml: Any, index: int) -> bool:
    """Return whether the driver has lost a GPU, as one that has fallen off the bus."""
    try:
        nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError_GpuIsLost:
        return True
    return False


def source(devices: Sequence[str]) -> Cards:
    """Return the source of GPUs of this host."""
    return NodeCards(devices) if devices else NvmlCards()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
