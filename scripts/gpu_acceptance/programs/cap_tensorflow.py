# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocate with TensorFlow in blocks of 256 MiB until an error or a limit: `cap_tensorflow.py GIB`. Prints the GiB."""

# mypy: ignore-errors
import json
import sys

import tensorflow as tf

limit, blocks = float(sys.argv[1]), []
stopped = False
try:
    with tf.device("/GPU:0"):
        while len(blocks) / 4 < limit:
            blocks.append(tf.zeros((2**28,), dtype=tf.uint8))
except tf.errors.ResourceExhaustedError:
    stopped = True
print(json.dumps({"got": len(blocks) / 4, "stopped": stopped}))  # noqa: T201
