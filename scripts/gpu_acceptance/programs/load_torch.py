# SPDX-License-Identifier: GPL-3.0-or-later
"""Multiply on the first GPU for so many seconds, from a line of input on: `load_torch.py SECONDS`. Prints the rate."""

# mypy: ignore-errors
import json
import sys
import time

import torch

seconds = float(sys.argv[1])
a = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)
b, c = torch.randn_like(a), torch.empty_like(a)
for _ in range(20):
    torch.matmul(a, b, out=c)
torch.cuda.synchronize()
print(json.dumps({"ready": True}), flush=True)  # noqa: T201
sys.stdin.readline()
count, begun = 0, time.perf_counter()
while time.perf_counter() - begun < seconds:
    for _ in range(20):
        torch.matmul(a, b, out=c)
    torch.cuda.synchronize()
    count += 20
print(json.dumps({"per_second": count / (time.perf_counter() - begun)}), flush=True)  # noqa: T201
