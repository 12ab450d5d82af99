# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the role nvidia_driver with a plain `apt-get install` of the same packages: time and disk, as ratios.

Both run on bare local hosts of the same image, and both really build Debian's proprietary module (minutes).
"""

from __future__ import annotations

import json
import sys

from bench.hosts import Hosts, report

HOST = Hosts("driver12")
GOAL = 1.15
VARIABLES = {"nvidia_driver_expected_gpus": ["1eb8"], "nvidia_driver_source": "distro"}
COMPONENTS = "sed -i 's/ main$/ main contrib non-free non-free-firmware/' /etc/apt/sources.list"


def bare() -> int:
    """Create the host again; return the size of its system in megabytes."""
    HOST.fresh()
    return HOST.megabytes()


def main() -> int:
    """Print the ratios."""
    before = bare()
    converge = ("tests/integration/driver/driver.yml", "--extra-vars", json.dumps(VARIABLES))
    first, _ = HOST.playbook(*converge)
    second, _ = HOST.playbook(*converge)
    disk = HOST.megabytes() - before
    record = json.loads(HOST.module("command", "cat /var/lib/gpulab/driver.json")[1].partition("\n")[2])
    before = bare()
    packages = " ".join([*record["packages"], "linux-headers-amd64"])
    install = f"apt-get --quiet --yes --no-install-recommends install {packages}"
    plain, _ = HOST.module(
        "shell", f"export DEBIAN_FRONTEND=noninteractive; {COMPONENTS} && apt-get --quiet update && {install}"
    )
    plain_disk = HOST.megabytes() - before
    HOST.remove()
    ratios = {"time": first / plain, "disk": disk / plain_disk}
    return report(ratios, "apt-get install", second / first, GOAL)


if __name__ == "__main__":
    sys.exit(main())
