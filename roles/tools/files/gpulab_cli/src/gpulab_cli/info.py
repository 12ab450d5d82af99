"""Subcommand `gpulab info`: what a user can use on this host."""

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

ENVIRONMENTS = Path("/opt/gpulab/envs")
LINKS = Path("/etc/gpulab/links.d")
GPU_NODES = Path("/proc/driver/nvidia/gpus")


class Info:
    """The subcommand."""

    help = "show links, interpreters, GPUs, your limits, the room in your home, and who is at work"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Print it."""
        found = look()
        if options.json:
            sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
            return 0
        for name, link in found.links.items():
            sys.stdout.write(f"{name}: {link}\n")
        for name, path in found.interpreters.items():
            sys.stdout.write(f"Python ({name}): {path}   <- PyCharm, VS Code\n")
        gpus = "\n".join(found.gpus) or "none (everything runs on the CPU)"
        sys.stdout.write(f"GPUs: {gpus}\nCores: {found.cores}\nFree in your home: {found.home_free_gb:.1f} GB\n")
        limits_text = ", ".join(f"{kind} {amount}" for kind, amount in found.limits.items())
        sys.stdout.write(f"Yours in all sessions together: {limits_text or 'no limits'}\n")
        sys.stdout.write(f"At work here: {', '.join(found.users) or 'nobody'}\n")
        return 0


@dataclass(frozen=True)
class Facts:
    """What was found."""

    interpreters: dict[str, str]
    gpus: list[str]
    cores: int
    home_free_gb: float
    links: dict[str, str]
    limits: dict[str, str]
    users: list[str]


def look(environments: Path = ENVIRONMENTS, gpus: Path = GPU_NODES, home: Path | None = None) -> Facts:
    """Read the environments, the GPUs that the loaded driver names, and the room in the home."""
    interpreters = {path.parents[2].name: str(path) for path in sorted(environments.glob("*/current/bin/python"))}
    names = [
        line.partition(":")[2].strip()
        for node in (sorted(gpus.iterdir()) if gpus.is_dir() else [])
        for line in (node / "information").read_text(encoding="utf-8").splitlines()
        if line.startswith("Model:")
    ]
    free = shutil.disk_usage(home or Path.home()).free / 1e9
    return Facts(interpreters, names, len(os.sched_getaffinity(0)), free, links(), limits(shown()), at_work())


def links(directory: Path = LINKS) -> dict[str, str]:
    """Read what the roles say about their pages: files with a name and an address."""
    found: dict[str, str] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            found.update(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return found


def shown() -> str:
    """Ask systemd for the user's slice; nothing where there is no systemd."""
    argv = ["systemctl", "show", f"user-{os.getuid()}.slice"]
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def limits(text: str) -> dict[str, str]:
    """Say what is used of what may be used, from `systemctl show` of a slice."""
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    found = {}
    quota = values.get("CPUQuotaPerSecUSec", "infinity")
    if quota != "infinity":
        spans = re.findall(r"([\d.]+)(ms|s|min)", quota)
        found["cores"] = f"{sum(float(n) * {'ms': 0.001, 's': 1, 'min': 60}[unit] for n, unit in spans):g}"
    most, now = values.get("MemoryMax", ""), values.get("MemoryCurrent", "")
    if most.isdigit():
        found["memory"] = f"{int(now or 0) / 2**30:.1f} of {int(most) / 2**30:.1f} GB" if now.isdigit() else most
    if values.get("TasksMax", "").isdigit():
        found["tasks"] = f"{values.get('TasksCurrent', '?')} of {values['TasksMax']}"
    return found


def at_work(slices: Path = Path("/sys/fs/cgroup")) -> list[str]:
    """Name the users who run something: their slices are there."""
    roots = [slices / "user.slice", *slices.glob("*/user.slice")]
    uids = {
        int(found[1]) for root in roots if root.is_dir() for path in root.iterdir()
        if (found := re.fullmatch(r"user-(\d+)\.slice", path.name))
    }  # fmt: skip
    names = []
    for uid in sorted(uids - {0}):
        try:
            names.append(pwd.getpwuid(uid).pw_name)
        except KeyError:
            continue
    return names
