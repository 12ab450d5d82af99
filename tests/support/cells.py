# SPDX-License-Identifier: GPL-3.0-or-later
"""Cells that a user runs: small computations whose expected results are computed by NumPy next to them."""

PYTHON = '''
import json
import numpy as np

def convolution(image, kernel):
    """Compute a convolution as the frameworks do it (a correlation, without padding), in plain NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    return np.einsum("ijkl,kl->ij", windows, kernel)

random = np.random.default_rng(7)
a, b = random.standard_normal((64, 48), dtype="float32"), random.standard_normal((48, 32), dtype="float32")
image, kernel = random.standard_normal((28, 28), dtype="float32"), random.standard_normal((5, 5), dtype="float32")
expected = {"matmul": a @ b, "convolution": convolution(image, kernel)}

def report(devices, results):
    """Print the largest difference of each result to the expected one."""
    off = {name: float(np.abs(results[name] - expected[name]).max()) for name in expected}
    print(json.dumps({"devices": devices, "off": off}))
'''

TENSORFLOW = """
import tensorflow as tf

with tf.device(DEVICE):
    results = {
        "matmul": tf.linalg.matmul(tf.constant(a), tf.constant(b)).numpy(),
        "convolution": tf.nn.conv2d(
            tf.constant(image)[None, :, :, None], tf.constant(kernel)[:, :, None, None], strides=1, padding="VALID"
        ).numpy()[0, :, :, 0],
    }
report([device.name for device in tf.config.list_physical_devices()], results)
"""

TORCH = """
import torch

def put(array):
    return torch.from_numpy(array).to(DEVICE)

results = {
    "matmul": (put(a) @ put(b)).cpu().numpy(),
    "convolution": torch.nn.functional.conv2d(put(image)[None, None], put(kernel)[None, None]).cpu().numpy()[0, 0],
}
report(["cpu"] + [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())], results)
"""

R_NUMPY = """
library(reticulate)
np <- import("numpy")
m <- matrix(c(1.5, 2, -3, 4, 5, 6), nrow = 2)
same <- isTRUE(all.equal(np$matmul(m, t(m)), m %*% t(m)))
cat(sprintf('{"same": %s, "python": "%s"}', tolower(same), py_config()$python))
"""

R = """
library(reticulate)
tf <- import("tensorflow")
m <- matrix(c(1.5, 2, -3, 4, 5, 6), nrow = 2)
tensor <- tf$constant(m)
back <- tensor$numpy()
product <- tf$linalg$matmul(tensor, tf$transpose(tensor))$numpy()

# A line: y = 2 x + 1. Keras wants arrays; an R vector would become a list, a matrix becomes an array.
x <- matrix(seq(-1, 1, length.out = 64))
model <- tf$keras$Sequential(list(tf$keras$layers$Input(shape = tuple(1L)), tf$keras$layers$Dense(1L)))
model$compile(optimizer = tf$keras$optimizers$SGD(0.5), loss = "mse")
history <- model$fit(x, 2 * x + 1, epochs = 40L, batch_size = 64L, verbose = 0L)
weights <- vapply(model$get_weights(), function(w) as.numeric(w)[1], numeric(1))
cat(sprintf(
  '{"weights": [%.4f, %.4f], "losses": %d, "devices": %d, "python": "%s", "back": %s, "product": %s, "shape": [%s]}',
  weights[1], weights[2], length(history$history$loss),
  length(tf$config$list_physical_devices()), py_config()$python,
  tolower(isTRUE(all.equal(m, back))), tolower(isTRUE(all.equal(m %*% t(m), product))),
  paste(dim(back), collapse = ", ")
))
"""
