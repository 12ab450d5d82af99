# SPDX-License-Identifier: GPL-3.0-or-later
"""Open every GPU through the driver's own interface, write to its memory and read it back. Prints one line of JSON.

Needs no framework. Arguments: none, or `hold GIB`: hold so much memory on the first GPU, and check its content each
time a line comes in, until standard input ends. Calls and codes are those of NVIDIA's CUDA driver API.
"""

from __future__ import annotations

import ctypes
import json
import sys
from functools import cache
from typing import Any

PATTERN = 0x5A5A1234


class CudaError(Exception):
    """A call failed."""


@cache
def library() -> ctypes.CDLL:
    """Return the driver's library."""
    return ctypes.CDLL("libcuda.so.1")


def call(name: str, *arguments: Any) -> None:
    """Call a function; raise CudaError with the driver's name of the error."""
    code = getattr(library(), name)(*arguments)
    if code:
        text = ctypes.c_char_p()
        library().cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
        raise CudaError(f"{name}: {(text.value or b'error').decode()} ({code})")


def opened(ordinal: int) -> str:
    """Make the primary context of a GPU current, and return its name."""
    device, context, name = ctypes.c_int(), ctypes.c_void_p(), ctypes.create_string_buffer(96)
    call("cuDeviceGet", ctypes.byref(device), ordinal)
    call("cuDeviceGetName", name, 96, device)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    return name.value.decode(errors="replace")


def filled(size: int) -> ctypes.c_uint64:
    """Allocate memory of so many bytes, fill it with the pattern and return its address."""
    address = ctypes.c_uint64()
    call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
    call("cuMemsetD32_v2", address, ctypes.c_uint(PATTERN), ctypes.c_size_t(size // 4))
    call("cuCtxSynchronize")
    return address


def intact(address: ctypes.c_uint64, size: int) -> bool:
    """Return whether the first, middle and last MiB of the memory hold the pattern."""
    part = 2**20
    expected = PATTERN.to_bytes(4, "little") * (part // 4)
    block = ctypes.create_string_buffer(part)
    for offset in (0, size // 2 // part * part, size - part):
        call("cuMemcpyDtoH_v2", block, ctypes.c_uint64(address.value + offset), ctypes.c_size_t(part))
        if block.raw != expected:
            return False
    return True


def report(**values: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(values), flush=True)  # noqa: T201


def main() -> None:
    """Run the command line."""
    try:
        call("cuInit", 0)
        count = ctypes.c_int()
        call("cuDeviceGetCount", ctypes.byref(count))
        if sys.argv[1:2] == ["hold"]:
            size = int(float(sys.argv[2]) * 2**30) // 2**20 * 2**20
            opened(0)
            address = filled(size)
            report(held=size, intact=intact(address, size))
            for _ in sys.stdin:
                report(held=size, intact=intact(address, size))
            return
        devices = []
        for ordinal in range(count.value):
            name = opened(ordinal)
            address = filled(2**26)
            devices.append({"name": name, "intact": intact(address, 2**26)})
            call("cuMemFree_v2", address)
        report(count=count.value, devices=devices)
    except (CudaError, OSError) as error:
        report(count=0, devices=[], error=str(error))


main()
