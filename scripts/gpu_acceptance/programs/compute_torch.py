# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocate, multiply and convolve with PyTorch on every device, and compare with the CPU. Prints one line of JSON."""

# mypy: ignore-errors
import json

import torch

torch.manual_seed(7)
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def difference(device, a, b, x, w):
    """Return how far the results of a device are from those of double precision on the CPU, relative to the largest."""
    exact = a.double() @ b.double()
    matmul = ((a.to(device) @ b.to(device)).cpu().double() - exact).abs().max() / exact.abs().max()
    exact = torch.nn.functional.conv2d(x.double(), w.double())
    convolution = torch.nn.functional.conv2d(x.to(device), w.to(device)).cpu().double()
    return {"matmul": float(matmul), "convolution": float((convolution - exact).abs().max() / exact.abs().max())}


a, b, x, w = torch.randn(512, 512), torch.randn(512, 512), torch.randn(2, 8, 64, 64), torch.randn(16, 8, 3, 3)
result = {
    "version": torch.__version__,
    "cuda": torch.version.cuda,
    "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,
    "available": torch.cuda.is_available(),
    "count": torch.cuda.device_count(),
    "cpu": difference("cpu", a, b, x, w),
    "devices": [],
}
try:
    for number in range(result["count"]):
        device = torch.device("cuda", number)
        block = torch.zeros(2**24, dtype=torch.float32, device=device)  # 64 MiB
        block += 1
        found = {"name": torch.cuda.get_device_name(number), "allocated": float(block.sum()) == 2**24}
        result["devices"].append({**found, **difference(device, a, b, x, w)})
except RuntimeError as error:
    result["error"] = str(error).strip().splitlines()[0]
print(json.dumps(result))  # noqa: T201
