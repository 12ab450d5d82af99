# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the versions of all packages of this interpreter, and those of the lock that its environment was made from."""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

installed: dict[str, str] = {}
for package in distributions():
    name = re.sub(r"[-_.]+", "-", str(package.metadata["Name"])).lower()
    installed.setdefault(name, package.version)
marker = Path(sys.prefix) / ".gpulab-release.json"
locked = json.loads(marker.read_text(encoding="utf-8"))["versions"] if marker.is_file() else {}
print(json.dumps({"installed": installed, "locked": locked, "python": sys.version.split()[0]}))  # noqa: T201
