# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content of the cache: raw API answers as one text, under a key of everything that affects them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.auth import fingerprint
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import Settings
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.rows import Needs, Snapshot

# Raise it when Snapshot changes: an older entry is then fetched again instead of misread.
_FORMAT = 1


def cache_key(prefix: str, settings: Settings, needs: Needs) -> str:
    """Return a key of the file, the options that shape the answer, and the identity of the requests."""
    scope = settings.scope
    shaping = {
        "projects": [scope.projects, scope.project_globs, scope.exclude_projects, sorted(scope.project_labels.items())],
        "folders": [scope.folders, scope.organization],
        "zones": scope.zones,
        "filters": scope.filters,
        "service": [
            settings.service.compute,
            settings.service.resource_manager,
            sorted(settings.service.on_error.items()),
        ],
        "needs": asdict(needs),
        "identity": fingerprint(settings.auth),
    }
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return f"{prefix}_{digest[:16]}"


def to_cache(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as a cache entry; one text, so that no cache plugin has to traverse it."""
    return {"format": _FORMAT, "snapshot": json.dumps(asdict(snapshot), separators=(",", ":"))}


def from_cache(entry: object) -> Snapshot | None:
    """Return the snapshot of a cache entry, None when it is of another format or damaged."""
    if not isinstance(entry, dict) or entry.get("format") != _FORMAT:
        return None
    try:
        return Snapshot(**json.loads(entry["snapshot"]))
    except (KeyError, TypeError, ValueError):
        return None
