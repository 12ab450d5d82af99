# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the role cuda with plain installs of the same packages (apt-get and uv): time and disk, as ratios.

`python -m bench.cuda wheels` for the small toolkit from wheels, `distro` for the distribution's, of 2 GB. Both ways run
in turn on one local host that has the role tools, with the same lock and the same download caches; in between, all
of it is removed. The ratios are those of the medians, because the load of a machine changes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from statistics import median

from bench.hosts import Hosts, report
from tests.support.paths import ROOT

HOST = Hosts("cuda")
GOAL = 1.15
CACHE = "UV_CACHE_DIR=/var/cache/gpulab/uv UV_LINK_MODE=hardlink"
UV = "/opt/gpulab/tools/current/bin/uv"
APT = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes"
LISTS = "/etc/apt/sources.list.d"


@dataclass(frozen=True)
class Toolkit:
    """A toolkit: its version, the packages of the distribution that the role installs for it, and the rest of it."""

    version: str
    packages: str
    rounds: int
    further: tuple[str, ...] = ()

    def install(self) -> tuple[str, ...]:
        """Return the steps of a plain install."""
        return (
            "set -a; . /etc/gpulab/sources.env; set +a",
            "apt-get --quiet update",
            f"{APT} --no-install-recommends install {self.packages}",
            *self.further,
        )

    def remove(self) -> tuple[str, ...]:
        """Return the steps that remove all of it; the download caches stay."""
        return (f"{APT} purge {self.packages}", f"{APT} autoremove --purge", "rm -rf /opt/plain")


TOOLKITS = {
    "wheels": Toolkit(
        "13.0",
        "g++-12 environment-modules",
        3,
        (
            f"{UV} venv --quiet --python /usr/bin/python3 /opt/plain",
            f"{CACHE} {UV} pip sync --quiet --python /opt/plain/bin/python --require-hashes /root/lock.txt",
        ),
    ),
    # One round: it takes minutes, in which the time of the role's own steps counts little.
    "distro": Toolkit("11.8", "nvidia-cuda-toolkit g++-11 environment-modules", 1),
}
LOCK = ROOT / "roles" / "cuda" / "files" / "locks" / f"toolkit-{TOOLKITS['wheels'].version}.txt"


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


def prepare(toolkit: Toolkit) -> None:
    """Make the host, and fill the download caches that both ways share."""
    HOST.fresh()
    HOST.playbook("molecule/cuda/converge.yml", "--extra-vars", json.dumps({"cuda_versions": []}))
    HOST.module("copy", f"src={LOCK} dest=/root/lock.txt mode=0644")
    shell("echo 'Binary::apt::APT::Keep-Downloaded-Packages \"true\";' > /etc/apt/apt.conf.d/zz-keep")
    apply(toolkit.version)
    # The site's own list of the archive's components, for both ways.
    shell(f"if [ -e {LISTS}/gpulab-cuda-archive.list ]; then cp {LISTS}/gpulab-cuda-archive.list {LISTS}/site.list; fi")


def main(arguments: list[str]) -> int:
    """Print the ratios for one toolkit."""
    if len(arguments) != 1 or arguments[0] not in TOOLKITS:
        sys.stderr.write(f"bench.cuda: name a toolkit: {' or '.join(TOOLKITS)}\n")
        return 2
    toolkit = TOOLKITS[arguments[0]]
    prepare(toolkit)
    first, second, plain, disk, plain_disk = [], [], [], 0, 0
    for _round in range(toolkit.rounds):
        apply()
        shell(*toolkit.remove())
        before = size()
        plain.append(shell(*toolkit.install()))
        plain_disk = size() - before
        shell(*toolkit.remove())
        first.append(apply(toolkit.version))
        disk = size() - before
        second.append(apply(toolkit.version))
    HOST.remove()
    ratios = {"time": median(first) / median(plain), "disk": disk / plain_disk}
    return report(ratios, f"plain installs ({arguments[0]})", median(second) / median(first), GOAL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
