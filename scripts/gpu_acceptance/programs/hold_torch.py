# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold memory with PyTorch after some work, and check its content for each line of input: `hold_torch.py GIB`."""

# mypy: ignore-errors
import json
import sys

import torch

size = int(float(sys.argv[1]) * 2**28)
block = torch.arange(size, dtype=torch.float32, device="cuda").remainder_(97)
product = torch.randn(1024, 1024, device="cuda")
product = product @ product


def content():
    """Return sums over what is held."""
    return float(block[-1000000:].double().sum()), float(product.double().sum())


def report():
    """Print whether the content is as it was, and work still runs."""
    works = bool(torch.isfinite(product @ product).all())
    print(json.dumps({"held": size * 4, "intact": content() == expected and works}), flush=True)  # noqa: T201


expected = content()
report()
for _ in sys.stdin:
    report()
