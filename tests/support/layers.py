# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages in the layers that unit tests make."""

from __future__ import annotations

import sys
from pathlib import Path

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def install(layer: Path, name: str, version: str = "1.0", requires: tuple[str, ...] = (), source: str = "") -> None:
    """Install a package into a layer; with a source, its module counts as compiled."""
    site = layer / "lib" / f"python{layer.name}" / "site-packages"
    module = name.replace("-", "_")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    (site / module).mkdir(exist_ok=True)
    (site / module / "__init__.py").write_text(source)
    (info / "RECORD").write_text(f"{module}/__init__.py,,\n" + f"{module}/core.so,,\n" * bool(source))
