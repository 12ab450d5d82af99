# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the GPU memory of a process to the host's memory, or back: `park.py ACTION PID`. Prints one line of JSON.

ACTION is `lock`, `checkpoint`, `restore` or `unlock`: cuCheckpointProcess* of the CUDA driver API (from driver 570 on),
by NVIDIA's package cuda-core where it is installed, else by ctypes.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from typing import Any

NOT_SUPPORTED = 801
"""CUDA_ERROR_NOT_SUPPORTED."""
LOCK_MILLISECONDS = 30000


class LockArguments(ctypes.Structure):
    """CUcheckpointLockArgs."""

    _fields_ = (("milliseconds", ctypes.c_uint), ("zero", ctypes.c_uint), ("zeros", ctypes.c_uint64 * 7))


def by_package(action: str, pid: int) -> dict[str, Any]:
    """Do it by cuda-core; raise ImportError where this is not installed or older than 1.0."""
    from cuda.core import checkpoint  # type: ignore[import-not-found]

    process = checkpoint.Process(pid)
    begun = time.monotonic()
    try:
        if action == "lock":
            process.lock(timeout_ms=LOCK_MILLISECONDS)
        else:
            getattr(process, action)()
    except Exception as error:  # noqa: BLE001  # its classes differ between releases
        return {"by": "cuda-core", "error": f"{type(error).__name__}: {error}"}
    return {"by": "cuda-core", "seconds": time.monotonic() - begun}


def by_driver(action: str, pid: int) -> dict[str, Any]:
    """Do it by the driver's library."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        function = getattr(cuda, f"cuCheckpointProcess{action.capitalize()}")
    except OSError as error:
        return {"by": "libcuda", "unsupported": str(error)}
    except AttributeError:
        return {"by": "libcuda", "unsupported": "this driver does not have it; it came with driver 570"}
    code, seconds = cuda.cuInit(0), 0.0
    if not code:
        arguments = ctypes.byref(LockArguments(LOCK_MILLISECONDS)) if action == "lock" else None
        begun = time.monotonic()
        code = function(ctypes.c_int(pid), arguments)
        seconds = time.monotonic() - begun
    if code == NOT_SUPPORTED:
        return {"by": "libcuda", "unsupported": "CUDA_ERROR_NOT_SUPPORTED"}
    if code:
        name = ctypes.c_char_p()
        cuda.cuGetErrorName(ctypes.c_int(code), ctypes.byref(name))
        return {"by": "libcuda", "error": f"{(name.value or b'error').decode()} ({code})"}
    return {"by": "libcuda", "seconds": seconds}


def main() -> None:
    """Run the command line."""
    action, pid = sys.argv[1], int(sys.argv[2])
    try:
        result = by_package(action, pid)
    except ImportError:
        result = by_driver(action, pid)
    print(json.dumps(result))  # noqa: T201


main()
