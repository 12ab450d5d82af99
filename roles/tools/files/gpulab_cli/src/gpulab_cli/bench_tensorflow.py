# SPDX-License-Identifier: GPL-3.0-or-later
"""A small convolutional network in TensorFlow: IMAGES EPOCHS DEVICE. Prints the seconds of an epoch."""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
import time

import tensorflow as tf

images, epochs, device = int(sys.argv[1]), int(sys.argv[2]), {"cpu": "/CPU:0", "gpu": "/GPU:0"}[sys.argv[3]]
tf.config.set_soft_device_placement(enabled=False)
if not tf.config.list_physical_devices(sys.argv[3].upper()):
    raise SystemExit(f"TensorFlow has no {sys.argv[3].upper()} device")
tf.random.set_seed(7)
layers = tf.keras.layers
with tf.device(device):
    x, y = tf.random.uniform((images, 28, 28, 1)), tf.random.uniform((images,), 0, 10, tf.int32)
    parts = [layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D()]
    net = tf.keras.Sequential([layers.Input((28, 28, 1)), *parts, layers.Flatten(), layers.Dense(10)])
    net.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        net.fit(x, y, batch_size=128, epochs=1, verbose=0, shuffle=False)
        times.append(time.perf_counter() - start)
print(json.dumps({"seconds": min(times[1:] or times)}))  # noqa: T201
