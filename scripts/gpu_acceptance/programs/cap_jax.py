# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocate with JAX in blocks of 256 MiB until an error or a limit: `cap_jax.py GIB`. Prints the GiB."""

# mypy: ignore-errors
import json
import sys

import jax
import jax.numpy as jnp

limit, blocks = float(sys.argv[1]), []
device = jax.devices("gpu")[0]
stopped = False
try:
    while len(blocks) / 4 < limit:
        with jax.default_device(device):
            blocks.append(jnp.zeros(2**28, dtype=jnp.uint8).block_until_ready())
except Exception as error:  # the class differs between releases
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise
    stopped = True
print(json.dumps({"got": len(blocks) / 4, "stopped": stopped}))  # noqa: T201
