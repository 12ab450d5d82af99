# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the stand-in for RStudio Server's package: package.py FILE; FILE.sha256 holds its digest."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CONTROL = """Package: rstudio-server
Version: 2026.09.0+174
Architecture: all
Maintainer: The gpulab team <gpulab@example.org>
Depends: psmisc, python3
Section: devel
Priority: optional
Description: stand-in for RStudio Server
 Has its command line and answers HTTP on its socket, for tests. Contains no RStudio.
"""
FILES = {
    "rserver.py": ("usr/lib/rstudio-server/bin/rserver", 0o755),
    "rsession.py": ("usr/lib/rstudio-server/bin/rsession", 0o755),
    "rstudio-server.service": ("usr/lib/rstudio-server/extras/systemd/rstudio-server.service", 0o644),
    "postinst": ("DEBIAN/postinst", 0o755),
}


def build(target: Path) -> str:
    """Build the package and return its digest."""
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory, "tree")
        for name, (destination, mode) in FILES.items():
            path = tree / destination
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(HERE / name, path)
            path.chmod(mode)
        (tree / "DEBIAN" / "control").write_text(CONTROL, encoding="utf-8")
        for path in [tree, *tree.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        argv = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), f"{directory}/made.deb"]
        subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=120)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(f"{directory}/made.deb", target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


if __name__ == "__main__":
    file = Path(sys.argv[1])
    Path(f"{file}.sha256").write_text(build(file) + "\n", encoding="ascii")
