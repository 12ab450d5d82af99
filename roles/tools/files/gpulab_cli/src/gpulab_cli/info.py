# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab info`: the resources of this host and the user's limits."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from gpulab_cli import broker, paths, top

LINKS = Path("/etc/gpulab/links.d")
SYSTEMCTL_SECONDS = 10
BROKER_SECONDS = 2.0


class Info:
    """The subcommand."""

    help = "show links, interpreters, GPUs, your resource limits, the free space in your home, and active users"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Print the facts."""
        facts = read_facts()
        sys.stdout.write(json.dumps(asdict(facts), indent=1) + "\n" if options.json else as_text(facts))
        return 0


@dataclass(frozen=True)
class Facts:
    """Facts about the host and the user."""

    interpreters: dict[str, str]
    gpus: list[str]
    cores: int
    home_free_gb: float
    links: dict[str, str]
    limits: dict[str, str]
    users: list[str]
    sharing: str = ""


def read_facts(environments: Path = paths.ENVIRONMENTS, driver: Path = paths.DRIVER, home: Path | None = None) -> Facts:
    """Read the environments, the GPUs of the loaded driver, the free space in the home, links, limits and users."""
    return Facts(
        interpreters={each.name: str(each.python) for each in paths.environments(environments)},
        gpus=paths.gpu_names(driver),
        cores=len(os.sched_getaffinity(0)),
        home_free_gb=shutil.disk_usage(home or Path.home()).free / 1e9,
        links=links(),
        limits=limits(slice_properties()),
        users=active_users(),
        sharing=sharing(),
    )


def as_text(facts: Facts) -> str:
    """Return the facts as lines for a terminal."""
    lines = [f"{name}: {link}" for name, link in facts.links.items()]
    lines += [f"Python ({name}): {path}   (for PyCharm, VS Code)" for name, path in facts.interpreters.items()]
    if facts.interpreters:
        lines.append(
            "Packages of your own: pip install NAME, %pip install NAME in notebooks; `gpulab env list` shows them"
        )
    lines.append("GPUs: " + ("\n".join(facts.gpus) or "none (all programs run on the CPU)"))
    if facts.sharing:
        lines.append(f"GPU sharing: {facts.sharing}")
    lines.append(f"Cores: {facts.cores}")
    lines.append(f"Free space in your home: {facts.home_free_gb:.1f} GB")
    limits_text = ", ".join(f"{resource} {amount}" for resource, amount in facts.limits.items())
    lines.append(f"Your limits for all sessions together: {limits_text or 'none'}")
    lines.append(f"Active users: {', '.join(facts.users) or 'none'}")
    return "\n".join(lines) + "\n"


def sharing() -> str:
    """Return one line about the shared GPUs, empty on a host without a broker."""
    try:
        return top.login_line(broker.call("GET", "/v1/state", seconds=BROKER_SECONDS))
    except broker.BrokerError:
        return ""


def links(directory: Path = LINKS) -> dict[str, str]:
    """Return the addresses of the host's pages by name, from the files that the roles write."""
    addresses: dict[str, str] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            addresses.update(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return addresses


def slice_properties() -> str:
    """Return the properties of the user's slice as systemctl prints them, empty without systemd."""
    argv = ["systemctl", "show", f"user-{os.getuid()}.slice"]
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SYSTEMCTL_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def limits(properties: str) -> dict[str, str]:
    """Return the limits and the use of resources, from the properties of a slice."""
    values = dict(line.partition("=")[::2] for line in properties.splitlines())
    result = {}
    quota = values.get("CPUQuotaPerSecUSec", "infinity")
    if quota != "infinity":
        spans = re.findall(r"([\d.]+)(ms|s|min)", quota)
        result["cores"] = f"{sum(float(n) * {'ms': 0.001, 's': 1, 'min': 60}[unit] for n, unit in spans):g}"
    maximum, current = values.get("MemoryMax", ""), values.get("MemoryCurrent", "")
    if maximum.isdigit():
        limit = f"{int(maximum) / 2**30:.1f} GB"
        result["memory"] = f"{int(current) / 2**30:.1f} of {limit}" if current.isdigit() else limit
    if values.get("TasksMax", "").isdigit():
        result["tasks"] = f"{values.get('TasksCurrent', '?')} of {values['TasksMax']}"
    return result


def active_users(cgroups: Path = Path("/sys/fs/cgroup")) -> list[str]:
    """Return the names of the users who run processes: those with a slice."""
    roots = [cgroups / "user.slice", *cgroups.glob("*/user.slice")]
    uids = {
        int(match[1])
        for root in roots
        if root.is_dir()
        for path in root.iterdir()
        if (match := re.fullmatch(r"user-(\d+)\.slice", path.name))
    }
    names = []
    for uid in sorted(uids - {0}):
        try:
            names.append(pwd.getpwuid(uid).pw_name)
        except KeyError:
            continue
    return names
