# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocate with PyTorch in blocks of 256 MiB until an error or a limit: `cap_torch.py GIB`. Prints the GiB."""

# mypy: ignore-errors
import json
import sys

import torch

limit, blocks = float(sys.argv[1]), []
total = torch.cuda.get_device_properties(0).total_memory / 2**30
stopped = False
try:
    while len(blocks) / 4 < limit:
        blocks.append(torch.empty(2**28, dtype=torch.uint8, device="cuda"))
except torch.cuda.OutOfMemoryError:
    stopped = True
print(json.dumps({"got": len(blocks) / 4, "total": total, "stopped": stopped}))  # noqa: T201
