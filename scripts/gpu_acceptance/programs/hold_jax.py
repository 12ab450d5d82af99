# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold memory with JAX after some work, and check its content for each line of input: `hold_jax.py GIB`."""

# mypy: ignore-errors
import json
import sys

import jax
import jax.numpy as jnp

size = int(float(sys.argv[1]) * 2**28)
if jax.devices()[0].platform != "gpu":
    sys.exit("JAX sees no GPU")
block = jnp.mod(jnp.arange(size, dtype=jnp.float32), 97).block_until_ready()
product = jax.random.normal(jax.random.PRNGKey(7), (1024, 1024))
product = (product @ product).block_until_ready()


def content():
    """Return sums over what is held."""
    return float(block[-1000000:].sum()), float(product.sum())


def report():
    """Print whether the content is as it was, and work still runs."""
    works = bool(jnp.isfinite(product @ product).all())
    print(json.dumps({"held": size * 4, "intact": content() == expected and works}), flush=True)  # noqa: T201


expected = content()
report()
for _ in sys.stdin:
    report()
