# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the role cuda with plain installs of the same packages (apt-get and uv): time and disk, as ratios.

Both run three times in turn on one local host that has the role tools, with the same lock and download cache; in
between, everything is removed. The ratios are those of the medians, because the load of a machine changes.
"""

from __future__ import annotations

import json
import sys
from statistics import median

from bench.hosts import Hosts, report
from tests.support.paths import ROOT

HOST = Hosts("cuda")
GOAL = 1.15
ROUNDS = 3
VERSION = "13.0"
LOCK = ROOT / "roles" / "cuda" / "files" / "locks" / f"toolkit-{VERSION}.txt"
CACHE = "UV_CACHE_DIR=/var/cache/gpulab/uv UV_LINK_MODE=hardlink"
UV = "/opt/gpulab/tools/current/bin/uv"
PACKAGES = "g++-12 environment-modules"
APT = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes"
INSTALL = (
    "set -a; . /etc/gpulab/sources.env; set +a",
    "apt-get --quiet update",
    f"{APT} --no-install-recommends install {PACKAGES}",
    f"{UV} venv --quiet --python /usr/bin/python3 /opt/plain",
    f"{CACHE} {UV} pip sync --quiet --python /opt/plain/bin/python --require-hashes /root/lock.txt",
)
REMOVE = (f"{APT} purge {PACKAGES}", f"{APT} autoremove --purge", "apt-get clean", "rm -rf /opt/plain")


def apply(*versions: str) -> float:
    """Apply the role with these versions and return the seconds."""
    variables = json.dumps({"cuda_versions": versions, "cuda_default_version": ""})
    return HOST.playbook("molecule/cuda/apply.yml", "--extra-vars", variables)[0]


def shell(*steps: str) -> float:
    """Run steps on the host and return the seconds."""
    return HOST.module("shell", " && ".join(steps))[0]


def size() -> int:
    """Return the size of the host's system in megabytes, without the download cache."""
    return HOST.megabytes("/var/cache")


def main() -> int:
    """Print the ratios."""
    HOST.fresh()
    HOST.playbook("molecule/cuda/converge.yml", "--extra-vars", json.dumps({"cuda_versions": []}))
    HOST.module("copy", f"src={LOCK} dest=/root/lock.txt mode=0644")
    apply(VERSION)  # fills the download cache that both share
    first, second, plain, disk, plain_disk = [], [], [], 0, 0
    for _round in range(ROUNDS):
        apply()
        shell(*REMOVE)
        before = size()
        plain.append(shell(*INSTALL))
        plain_disk = size() - before
        shell(*REMOVE)
        first.append(apply(VERSION))
        disk = size() - before
        second.append(apply(VERSION))
    HOST.remove()
    ratios = {"time": median(first) / median(plain), "disk": disk / plain_disk}
    return report(ratios, "plain installs", median(second) / median(first), GOAL)


if __name__ == "__main__":
    sys.exit(main())
