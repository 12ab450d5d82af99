# SPDX-License-Identifier: GPL-3.0-or-later
# Multiply with TensorFlow from R on every device, and compare with R's own product. Prints one line of JSON.
suppressMessages(library(reticulate))
tf <- import("tensorflow")
tf$config$set_soft_device_placement(FALSE)
set.seed(7)
a <- matrix(rnorm(256 * 256), 256)
b <- matrix(rnorm(256 * 256), 256)
exact <- a %*% b
difference <- function(device) {
  with(tf$device(device), {
    product <- tf$linalg$matmul(tf$constant(a, dtype = "float64"), tf$constant(b, dtype = "float64"))
  })
  max(abs(as.array(product$numpy()) - exact)) / max(abs(exact))
}
gpus <- tf$config$list_logical_devices("GPU")
devices <- vapply(gpus, function(gpu) sprintf('{"name": "%s", "allocated": true, "matmul": %.3e}', gpu$name, difference(gpu$name)), "")
cat(sprintf(
  '{"version": "%s", "cuda": "", "available": %s, "count": %d, "cpu": {"matmul": %.3e}, "devices": [%s], "r": "%s"}\n',
  tf$`__version__`, if (length(gpus)) "true" else "false", length(gpus), difference("/CPU:0"),
  paste(devices, collapse = ", "), as.character(getRversion())
))
