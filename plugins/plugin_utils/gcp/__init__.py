"""Google Cloud inventory, in layers: options, auth, client, fetch, cache, build, expressions, populate."""
