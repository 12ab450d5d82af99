# SPDX-License-Identifier: GPL-3.0-or-later
"""Google Cloud inventory, in layers: options, auth, client, fetch, cache, build, expressions, populate."""
