# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a small convolutional network with PyTorch: `epoch_torch.py IMAGES DEVICE`. Prints the seconds of an epoch."""

# mypy: ignore-errors
import json
import sys
import time

import torch
from torch import nn

images, device = int(sys.argv[1]), sys.argv[2]
torch.manual_seed(7)
x, y = torch.rand(images, 1, 28, 28, device=device), torch.randint(0, 10, (images,), device=device)
layers = (
    nn.Conv2d(1, 32, 3),
    nn.ReLU(),
    nn.Conv2d(32, 64, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(9216, 10),
)
net = nn.Sequential(*layers).to(device)
optimizer, loss = torch.optim.Adam(net.parameters()), nn.CrossEntropyLoss()
times = []
# The first epoch is a warm-up.
for _ in range(2):
    begun = time.perf_counter()
    for start in range(0, images, 128):
        optimizer.zero_grad()
        value = loss(net(x[start : start + 128]), y[start : start + 128])
        value.backward()
        optimizer.step()
    value.item()  # waits for the device
    times.append(time.perf_counter() - begun)
print(json.dumps({"seconds": times[-1]}))  # noqa: T201
