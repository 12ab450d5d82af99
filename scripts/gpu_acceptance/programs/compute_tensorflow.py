# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocate, multiply and convolve with TensorFlow on every device, compare with the CPU. Prints one line of JSON."""

# mypy: ignore-errors
import json

import numpy
import tensorflow as tf

tf.config.experimental.enable_tensor_float_32_execution(False)
tf.config.set_soft_device_placement(False)
random = numpy.random.default_rng(7)
a, b = (random.standard_normal((512, 512)).astype("float32") for _ in range(2))
x = random.standard_normal((2, 64, 64, 8)).astype("float32")
w = random.standard_normal((3, 3, 8, 16)).astype("float32")
exact = a.astype("float64") @ b.astype("float64")
# The convolution by its definition, in double precision.
places = [(row, column) for row in range(3) for column in range(3)]
expected = sum(x[:, i : i + 62, j : j + 62, :].astype("float64") @ w[i, j].astype("float64") for i, j in places)


def difference(device):
    """Return how far the results of a device are from those in double precision, relative to the largest."""
    with tf.device(device):
        matmul = tf.linalg.matmul(tf.constant(a), tf.constant(b)).numpy()
        convolution = tf.nn.conv2d(tf.constant(x), tf.constant(w), 1, "VALID").numpy()
    return {
        "matmul": float(abs(matmul - exact).max() / abs(exact).max()),
        "convolution": float(abs(convolution - expected).max() / abs(expected).max()),
    }


build = tf.sysconfig.get_build_info()
gpus = tf.config.list_logical_devices("GPU")
result = {
    "version": tf.__version__,
    "cuda": build.get("cuda_version") if build.get("is_cuda_build") else None,
    "available": bool(gpus),
    "count": len(gpus),
    "cpu": difference("/CPU:0"),
    "devices": [],
}
try:
    for gpu in gpus:
        with tf.device(gpu.name):
            allocated = float(tf.reduce_sum(tf.ones((2**24,)) / 2**24)) == 1.0
        result["devices"].append({"name": gpu.name, "allocated": allocated, **difference(gpu.name)})
except (tf.errors.OpError, RuntimeError) as error:
    result["error"] = str(error).strip().splitlines()[0]
print(json.dumps(result))  # noqa: T201
