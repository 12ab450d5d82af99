# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure one GPU with PyTorch: `speed_torch.py SECONDS`. Prints TFLOP/s of bf16 and fp32, and GB/s of memory."""

# mypy: ignore-errors
import json
import sys
import time

import torch

seconds = float(sys.argv[1])
torch.backends.cuda.matmul.allow_tf32 = False


def rate(work, amount):
    """Return how much of the amount per second the work does, over the given time."""
    for _ in range(5):
        work()
    torch.cuda.synchronize()
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for _ in range(10):
            work()
        torch.cuda.synchronize()
        done += 10
    return done * amount / (time.perf_counter() - begun)


def product(size, kind):
    """Return the TFLOP/s of square matrix products, written into a matrix that exists."""
    a, b = (torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2))
    c = torch.empty_like(a)
    return rate(lambda: torch.matmul(a, b, out=c), 2 * size**3 / 1e12)


free = torch.cuda.mem_get_info()[0]
size = 8192 if free > 4 * 2**30 else 4096
bytes_ = min(2**31, free // 4 // 2**20 * 2**20)
source = torch.empty(bytes_, dtype=torch.uint8, device="cuda")
target = torch.empty_like(source)
host = torch.empty(2**28, dtype=torch.uint8).pin_memory()
result = {
    "name": torch.cuda.get_device_name(0),
    "bf16": product(size, torch.bfloat16) if torch.cuda.get_device_capability(0)[0] >= 8 else None,
    "fp16": product(size, torch.float16),
    "fp32": product(size // 2, torch.float32),
    # A copy reads and writes.
    "bandwidth": rate(lambda: target.copy_(source), 2 * bytes_ / 1e9),
    "to_device": rate(lambda: target[: 2**28].copy_(host, non_blocking=True), 2**28 / 1e9),
}
print(json.dumps(result))  # noqa: T201
