# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocate, multiply and convolve with JAX on every device, and compare with the CPU. Prints one line of JSON."""

# mypy: ignore-errors
import json
from importlib.metadata import distributions

import jax
import numpy

random = numpy.random.default_rng(7)
a, b = (random.standard_normal((512, 512)).astype("float32") for _ in range(2))
x = random.standard_normal((2, 8, 64, 64)).astype("float32")
w = random.standard_normal((16, 8, 3, 3)).astype("float32")
exact = a.astype("float64") @ b.astype("float64")


def results(device):
    """Return the matrix product and the convolution of a device."""
    with jax.default_matmul_precision("highest"):
        one, two, three, four = (jax.device_put(value, device) for value in (a, b, x, w))
        convolution = jax.lax.conv_general_dilated(three, four, (1, 1), "VALID")
        return numpy.asarray(one @ two), numpy.asarray(convolution)


# The convolution by its definition, in double precision.
expected = sum(
    numpy.einsum("nchw,oc->nohw", x[:, :, i : i + 62, j : j + 62].astype("float64"), w[:, :, i, j].astype("float64"))
    for i in range(3)
    for j in range(3)
)


def difference(device):
    """Return how far the results of a device are from those in double precision, relative to the largest."""
    matmul, convolution = results(device)
    return {
        "matmul": float(abs(matmul - exact).max() / abs(exact).max()),
        "convolution": float(abs(convolution - expected).max() / abs(expected).max()),
    }


plugins = sorted(str(each.metadata["Name"]) for each in distributions() if "cuda" in str(each.metadata["Name"]).lower())
plugin = next((name for name in plugins if name.startswith("jax")), "")
gpus = [device for device in jax.devices() if device.platform == "gpu"]
result = {
    "version": jax.__version__,
    "cuda": "".join(filter(str.isdigit, plugin)) or None,
    "available": bool(gpus),
    "count": len(gpus),
    "cpu": difference(jax.devices("cpu")[0]),
    "devices": [],
}
try:
    for gpu in gpus:
        block = jax.device_put(numpy.ones(2**24, dtype="float32"), gpu)
        found = {"name": gpu.device_kind, "allocated": float((block / 2**24).sum()) == 1.0}
        result["devices"].append({**found, **difference(gpu)})
except RuntimeError as error:
    result["error"] = str(error).strip().splitlines()[0]
print(json.dumps(result))  # noqa: T201
