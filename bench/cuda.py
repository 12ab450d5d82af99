# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the role cuda with plain installs of the same packages (apt-get and uv): time and disk, as ratios.

Both run on bare local hosts of the same image that have the role tools, with the same lock and download cache.
"""

from __future__ import annotations

import json
import sys

from bench.hosts import Hosts, report
from tests.support.paths import ROOT

HOST = Hosts("cuda")
GOAL = 1.15
VERSION = "13.0"
LOCK = ROOT / "roles" / "cuda" / "files" / "locks" / f"toolkit-{VERSION}.txt"
CACHE = "UV_CACHE_DIR=/var/cache/gpulab/uv UV_LINK_MODE=hardlink"


def variables(*versions: str) -> tuple[str, str]:
    """Return the options of ansible-playbook for these versions."""
    return "--extra-vars", json.dumps({"cuda_versions": versions, "cuda_default_version": ""})


def bare() -> int:
    """Create the host again, with the tools and no toolkit; return the size of its system in megabytes."""
    HOST.fresh()
    HOST.playbook("molecule/cuda/converge.yml", *variables())
    return HOST.megabytes("/var/cache")


def main() -> int:
    """Print the ratios."""
    apply = ("molecule/cuda/apply.yml", *variables(VERSION))
    bare()
    HOST.playbook(*apply)  # fills the download cache that both share
    before = bare()
    first, _ = HOST.playbook(*apply)
    second, _ = HOST.playbook(*apply)
    disk = HOST.megabytes("/var/cache") - before
    before = bare()
    HOST.module("copy", f"src={LOCK} dest=/root/lock.txt mode=0644")
    uv = "/opt/gpulab/tools/current/bin/uv"
    steps = [
        "export DEBIAN_FRONTEND=noninteractive",
        "set -a; . /etc/gpulab/sources.env; set +a",
        "apt-get --quiet update",
        "apt-get --quiet --yes --no-install-recommends install g++-12 environment-modules",
        f"{uv} venv --quiet --python /usr/bin/python3 /opt/plain",
        f"{CACHE} {uv} pip sync --quiet --python /opt/plain/bin/python --require-hashes /root/lock.txt",
    ]
    plain, _ = HOST.module("shell", " && ".join(steps))
    plain_disk = HOST.megabytes("/var/cache") - before
    HOST.remove()
    ratios = {"time": first / plain, "disk": disk / plain_disk}
    return report(ratios, "plain installs", second / first, GOAL)


if __name__ == "__main__":
    sys.exit(main())
