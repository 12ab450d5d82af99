"""Subcommand `gpulab info`: what a person can use on this host."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

ENVIRONMENTS = Path("/opt/gpulab/envs")
GPU_NODES = Path("/proc/driver/nvidia/gpus")


class Info:
    """The subcommand."""

    help = "show the interpreters, the GPUs and the room that you have here"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def run(self, options: argparse.Namespace) -> int:
        """Print it."""
        found = look()
        if options.json:
            sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
            return 0
        for name, path in found.interpreters.items():
            sys.stdout.write(f"Python ({name}): {path}   <- PyCharm, VS Code\n")
        gpus = "\n".join(found.gpus) or "none (everything runs on the CPU)"
        sys.stdout.write(f"GPUs: {gpus}\nCores: {found.cores}\nFree in your home: {found.home_free_gb:.1f} GB\n")
        return 0


@dataclass(frozen=True)
class Facts:
    """What was found."""

    interpreters: dict[str, str]
    gpus: list[str]
    cores: int
    home_free_gb: float


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
    return Facts(interpreters, names, len(os.sched_getaffinity(0)), free)
