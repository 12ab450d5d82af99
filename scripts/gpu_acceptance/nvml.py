# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the GPUs through the driver's own library, NVML, by ctypes: no package has to be installed.

Layouts, functions and codes are those of NVIDIA's NVML API reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_char, c_int, c_uint, c_ulonglong, c_void_p
from typing import Any

from .gpus import LEVELS, Gpu, Pair, Reading, throttle_words

LIBRARY = "libnvidia-ml.so.1"
NOT_SUPPORTED = (3, 13)
"""Codes of a value or a function that this card or this driver does not have."""
LOST = 15
NVLINKS = 36
"""NVML_NVLINK_MAX_LINKS; links that a card does not have are an invalid argument."""
P2P = {
    0: "",
    1: "chipset not supported",
    2: "GPU not supported",
    3: "topology not supported",
    4: "disabled",
    5: "not supported",
}
"""nvmlGpuP2PStatus_t in words; 0 is OK."""

MEANINGS = {
    4: "no permission: this user may not open the device nodes",
    9: "the NVIDIA kernel module is not loaded",
    12: "the driver's library libnvidia-ml.so.1 is missing",
    15: "the GPU is lost: it has fallen off the bus, or was taken from it",
    18: "the driver's libraries and its loaded kernel module have different versions",
    17: "the operating system blocks the GPU (an error of its interrupt, see the kernel's log)",
    999: "unknown error",
}
"""Codes of nvmlReturn_t that an administrator can act on, in words."""
FIXES = {
    4: "Check the modes of /dev/nvidia*, and grant this user access.",
    9: "Load it (modprobe nvidia), or install a driver; `journalctl -k` has the reason.",
    12: "Install the driver's libraries.",
    15: "Restart the host. If it happens again, check power, cooling and the seat of the card.",
    18: "Restart the host, or unload and load the module.",
    17: "Read the kernel's log, then restart the host.",
}


class NvmlError(Exception):
    """A function of NVML failed; `code` is its return value."""

    def __init__(self, code: int, function: str) -> None:
        meaning = MEANINGS.get(code, f"error {code} of {function}")
        super().__init__(f"{meaning}. {FIXES[code]}" if code in FIXES else meaning)
        self.code = code


class Pci(ctypes.Structure):
    """nvmlPciInfo_t."""

    _fields_ = (
        ("legacy", c_char * 16),
        ("domain", c_uint),
        ("bus", c_uint),
        ("device", c_uint),
        ("device_id", c_uint),
        ("subsystem_id", c_uint),
        ("id", c_char * 32),
    )


class Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class Process(ctypes.Structure):
    """nvmlProcessInfo_t (version 2 and 3); the memory is all ones where it is not available."""

    _fields_ = (("pid", c_uint), ("memory", c_ulonglong), ("gpu_instance", c_uint), ("compute_instance", c_uint))


class Nvml:
    """An open NVML; use it as a context."""

    def __init__(self, library: str = "") -> None:
        try:
            self.library = ctypes.CDLL(library or LIBRARY)
        except OSError as error:
            raise NvmlError(12, "dlopen") from error

    def __enter__(self) -> Nvml:
        """Begin the block."""
        self.call(("nvmlInit_v2", "nvmlInit"))
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the block."""
        self.optional(("nvmlShutdown",))

    def call(self, names: Sequence[str], *arguments: Any) -> None:
        """Call the first of the functions that the library has; raise NvmlError for its code."""
        for name in names:
            try:
                function = getattr(self.library, name)
            except AttributeError:
                continue
            function.restype = c_int
            code = function(*arguments)
            if code:
                raise NvmlError(code, name)
            return
        raise NvmlError(13, names[0])

    def optional(self, names: Sequence[str], *arguments: Any) -> bool:
        """Call a function that a card or a driver need not have; return whether it worked; a lost GPU is an error."""
        try:
            self.call(names, *arguments)
        except NvmlError as error:
            if error.code == LOST:
                raise
            return False
        return True

    def number(self, handle: c_void_p, *names: str, kind: Any = c_uint) -> int | None:
        """Return a number of a GPU, None where it does not have it."""
        value = kind()
        return int(value.value) if self.optional(names, handle, byref(value)) else None

    def text(self, function: str, *before: Any) -> str:
        """Return a text of up to 96 characters, empty where there is none."""
        value = ctypes.create_string_buffer(96)
        return value.value.decode(errors="replace") if self.optional((function,), *before, value, c_uint(96)) else ""

    def handle(self, index: int) -> c_void_p:
        """Return the handle of a GPU."""
        handle = c_void_p()
        self.call(("nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"), c_uint(index), byref(handle))
        return handle

    def count(self) -> int:
        """Return the number of GPUs, those included that this user may not open."""
        value = c_uint()
        self.call(("nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"), byref(value))
        return value.value

    def gpu(self, index: int) -> Gpu:
        """Return the facts of a GPU; its `error` says why there are none."""
        gpu = Gpu(index)
        try:
            handle = self.handle(index)
            self.describe(gpu, handle)
            self.state(gpu, handle)
        except NvmlError as error:
            gpu.error = str(error)
        return gpu

    def describe(self, gpu: Gpu, handle: c_void_p) -> None:
        """Fill in what does not change."""
        gpu.name, gpu.uuid = self.text("nvmlDeviceGetName", handle), self.text("nvmlDeviceGetUUID", handle)
        pci, memory, major, minor = Pci(), Memory(), c_int(), c_int()
        if self.optional(("nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2"), handle, byref(pci)):
            gpu.bus_id = pci.id.decode(errors="replace").lower()
        if self.optional(("nvmlDeviceGetMemoryInfo",), handle, byref(memory)):
            gpu.memory_bytes = int(memory.total)
        if self.optional(("nvmlDeviceGetCudaComputeCapability",), handle, byref(major), byref(minor)):
            gpu.compute_capability = f"{major.value}.{minor.value}"
        gpu.minor = self.number(handle, "nvmlDeviceGetMinorNumber")
        gpu.pcie_width_max = self.number(handle, "nvmlDeviceGetMaxPcieLinkWidth")
        gpu.pcie_generation_max = self.number(handle, "nvmlDeviceGetMaxPcieLinkGeneration")

    def state(self, gpu: Gpu, handle: c_void_p) -> None:
        """Fill in what may change."""
        now, later, total = c_uint(), c_uint(), c_ulonglong()
        if self.optional(("nvmlDeviceGetMigMode",), handle, byref(now), byref(later)):
            gpu.mig = bool(now.value)
        if self.optional(("nvmlDeviceGetEccMode",), handle, byref(now), byref(later)):
            gpu.ecc = bool(now.value)
            # Uncorrected errors (1) since the driver was loaded (0).
            if self.optional(("nvmlDeviceGetTotalEccErrors",), handle, c_int(1), c_int(0), byref(total)):
                gpu.ecc_uncorrected = int(total.value)
        rows = [c_uint() for _ in range(4)]
        if self.optional(("nvmlDeviceGetRemappedRows",), handle, *(byref(row) for row in rows)):
            gpu.remap_pending, gpu.remap_failed = bool(rows[2].value), bool(rows[3].value)
        gpu.pcie_width = self.number(handle, "nvmlDeviceGetCurrPcieLinkWidth")
        gpu.pcie_generation = self.number(handle, "nvmlDeviceGetCurrPcieLinkGeneration")
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        reasons = self.number(handle, *names, kind=c_ulonglong)
        gpu.throttle = None if reasons is None else throttle_words(reasons)
        celsius = c_uint()
        if self.optional(("nvmlDeviceGetTemperature",), handle, c_int(0), byref(celsius)):
            gpu.temperature = int(celsius.value)
        for link in range(NVLINKS):
            if not self.optional(("nvmlDeviceGetNvLinkState",), handle, c_uint(link), byref(now)):
                break
            gpu.nvlinks += 1
            gpu.nvlinks_active += now.value == 1

    def pairs(self, gpus: Sequence[Gpu]) -> list[Pair]:
        """Return what lies between any two GPUs, and whether they can read each other's memory."""
        working = [(gpu.index, self.handle(gpu.index)) for gpu in gpus if not gpu.error]
        result = []
        for place, (first, one) in enumerate(working):
            for second, other in working[place + 1 :]:
                value = c_int()
                between = "unknown"
                if self.optional(("nvmlDeviceGetTopologyCommonAncestor",), one, other, byref(value)):
                    between = LEVELS.get(value.value, f"level {value.value}")
                pair = Pair(first, second, between)
                # Reading (0); a status of 0 is OK.
                if self.optional(("nvmlDeviceGetP2PStatus",), one, other, c_int(0), byref(value)):
                    pair.peer, pair.reason = value.value == 0, P2P.get(value.value, f"status {value.value}")
                result.append(pair)
        return result

    def used_gib(self, index: int) -> float:
        """Return how much memory of a GPU is in use, in GiB."""
        memory = Memory()
        self.call(("nvmlDeviceGetMemoryInfo",), self.handle(index), byref(memory))
        return float(memory.used) / 2**30

    def processes(self, index: int) -> dict[int, int | None]:
        """Return the memory in bytes of each process that computes on a GPU, None where NVML does not name it."""
        names = ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2")
        room = 256
        count, listed = c_uint(room), (Process * room)()
        self.call(names, self.handle(index), byref(count), listed)
        unknown = 2**64 - 1
        return {int(each.pid): None if each.memory == unknown else int(each.memory) for each in listed[: count.value]}

    def read(self) -> Reading:
        """Return everything about all GPUs."""
        version = c_int()
        reading = Reading("NVML", driver=self.text("nvmlSystemGetDriverVersion"))
        names = ("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion")
        if self.optional(names, byref(version)):
            reading.cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
        reading.gpus = [self.gpu(index) for index in range(self.count())]
        reading.pairs = self.pairs(reading.gpus)
        return reading


def read(library: str = "") -> Reading:
    """Return what NVML reads; `error` says why it reads nothing."""
    try:
        with Nvml(library) as nvml:
            return nvml.read()
    except NvmlError as error:
        return Reading("NVML", error=str(error))
