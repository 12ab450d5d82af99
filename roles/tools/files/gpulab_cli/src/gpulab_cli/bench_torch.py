# SPDX-License-Identifier: GPL-3.0-or-later
"""A small convolutional network in PyTorch: IMAGES EPOCHS DEVICE. Prints the seconds of an epoch."""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
import time

import torch
from torch import nn

images, epochs, device = int(sys.argv[1]), int(sys.argv[2]), {"cpu": "cpu", "gpu": "cuda"}[sys.argv[3]]
torch.manual_seed(7)
x, y = torch.rand(images, 1, 28, 28, device=device), torch.randint(0, 10, (images,), device=device)
net = nn.Sequential(
    nn.Conv2d(1, 32, 3),
    nn.ReLU(),
    nn.Conv2d(32, 64, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(64 * 144, 10),
).to(device)
optimizer, loss = torch.optim.Adam(net.parameters()), nn.CrossEntropyLoss()
times = []
for _ in range(epochs):
    start = time.perf_counter()
    for batch, target in zip(x.split(128), y.split(128), strict=True):
        optimizer.zero_grad()
        value = loss(net(batch), target)
        value.backward()
        optimizer.step()
    value.item()  # waits for the device
    times.append(time.perf_counter() - start)
print(json.dumps({"seconds": min(times[1:] or times), "device": str(value.device)}))  # noqa: T201
