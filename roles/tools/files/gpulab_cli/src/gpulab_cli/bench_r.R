# SPDX-License-Identifier: GPL-3.0-or-later
# A small convolutional network from R: IMAGES EPOCHS DEVICE. Prints the seconds of the fastest epoch after the first.
arguments <- commandArgs(trailingOnly = TRUE)
images <- as.integer(arguments[1])
epochs <- as.integer(arguments[2])
suppressMessages(library(reticulate))
tf <- import("tensorflow")
device <- toupper(arguments[3])
if (length(tf$config$list_physical_devices(device)) == 0) stop(paste("TensorFlow has no device of type", device))
layers <- tf$keras$layers
set.seed(7)
# Arrays of R: the transfer to TensorFlow is part of the measurement.
x <- np_array(array(runif(images * 28 * 28), c(images, 28L, 28L, 1L)), dtype = "float32")
y <- np_array(matrix(sample(0:9, images, replace = TRUE)), dtype = "int32")
net <- tf$keras$Sequential(list(
  layers$Input(shape = tuple(28L, 28L, 1L)), layers$Conv2D(32L, 3L, activation = "relu"),
  layers$Conv2D(64L, 3L, activation = "relu"), layers$MaxPooling2D(), layers$Flatten(), layers$Dense(10L)
))
net$compile(optimizer = "adam", loss = tf$keras$losses$SparseCategoricalCrossentropy(from_logits = TRUE))
times <- vapply(seq_len(epochs), function(epoch) {
  start <- proc.time()[["elapsed"]]
  net$fit(x, y, batch_size = 128L, epochs = 1L, verbose = 0L)
  proc.time()[["elapsed"]] - start
}, numeric(1))
cat(sprintf('{"seconds": %.4f}\n', min(if (epochs > 1) times[-1] else times)))
