#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the inventory plugin gpulab.core.gcp with google.cloud.gcp_compute on this machine, in one run.

Both read the same local service over TLS, in turn; what counts are the ratios, not the times. Needs
`scripts/bootstrap --test`. Usage: .venv/bin/python -m bench.inventory [--sizes 100,1000,10000] [--repeat 3]
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import processes
from tests.support.paths import ROOT

LIMIT = 900.0
"""Seconds after which a measured process is stopped."""
PARSE = """
import sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
sys.exit(not len(InventoryManager(loader=DataLoader(), sources=[sys.argv[1]]).hosts))
"""
DOWNLOAD = """
import json, sys, requests
session = requests.Session()
session.headers["Authorization"] = "Bearer good-token"
for project in sys.argv[2:]:
    token = ""
    while token is not None:
        url = f"https://compute.googleapis.com/compute/v1/projects/{project}/aggregated/instances"
        answer = session.get(url, params={"pageToken": token})
        token = json.loads(answer.content).get("nextPageToken")
"""
FLOOR = """
import json, subprocess, sys
argv = [sys.argv[1], "-i", sys.argv[2], "--list", "--export"]
listed = subprocess.run(argv, capture_output=True, timeout=900, check=True)
own = ("ansible_local", "inventory_file", "inventory_dir")
def plain(value):
    if isinstance(value, dict):
        if set(value) == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {key: plain(item) for key, item in value.items() if key not in own}
    return [plain(item) for item in value] if isinstance(value, list) else value
with open(sys.argv[3], "w") as file:
    json.dump(plain(json.loads(listed.stdout)["_meta"]["hostvars"]), file)
"""


@dataclass
class Run:
    """One measured process."""

    wall: float
    cpu: float
    memory: float
    requests: int
    connections: int
    in_flight: int


class Bench:
    """One service and the contenders that read it."""

    def __init__(self, directory: Path, instances: int, projects: int, latency: float, per_row: float) -> None:
        self.directory = directory
        command = [
            sys.executable, "-m", "tests.integration.gcp.fakecloud", "--instances", str(instances),
            "--projects", str(projects), "--latency", str(latency), "--per-row", str(per_row),
        ]  # fmt: skip
        self.service = processes.Child(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self.service.stdout is not None
        facts = json.loads(self.service.stdout.readline())
        self.projects: list[str] = facts["projects"]
        self.port = facts["port"]
        self.environment = {
            **os.environ,
            "HTTPS_PROXY": f"http://127.0.0.1:{self.port}",
            "REQUESTS_CA_BUNDLE": facts["ca"],
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_INVENTORY_PLUGINS": str(ROOT / "bench" / "inventory_plugins"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_INVENTORY_ENABLED": "auto",
            "ANSIBLE_CALLBACKS_ENABLED": "",
        }

    def file(self, name: str, **options: Any) -> Path:
        """Write an inventory file."""
        path = self.directory / f"{name}.gcp.yml"
        common = {
            "projects": self.projects,
            "auth_kind": "accesstoken",
            "access_token": "good-token",
            "hostnames": ["name"],
            "keyed_groups": [
                {"key": "zone", "prefix": "z"},
                {"key": "machineType", "prefix": "type"},
                {"key": "labels.env", "prefix": "env"},
            ],
            "compose": {"ansible_host": "networkInterfaces[0].networkIP"},
        }
        path.write_text(yaml.safe_dump({**common, **options}))
        return path

    def floor(self, name: str, source: Path) -> Path:
        """Write what a contender produced as ready-made data for the floor plugin."""
        data = self.directory / f"{name}.json"
        # In a process of its own: what a child has used at most counts from what its parent held when it was made.
        processes.run(
            [sys.executable, "-c", FLOOR, _tool("ansible-inventory"), str(source), str(data)],
            cwd=ROOT,
            env=self.environment,
            check=True,
            timeout=LIMIT,
        )
        path = self.directory / f"{name}.floor.yml"
        path.write_text(yaml.safe_dump({"plugin": "gpulab_floor", "data": str(data)}))
        return path

    def measure(self, command: list[str]) -> Run:
        """Run a process and return what it cost."""
        self._stats()
        start = time.perf_counter()
        errors = self.directory / "errors.txt"
        with errors.open("wb") as sink:
            child = processes.Child(command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=sink)
            guard = threading.Timer(LIMIT, child.kill)
            guard.start()
            _pid, status, usage = os.wait4(child.pid, 0)
            guard.cancel()
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"failed: {' '.join(command)}\n{errors.read_text()[-2000:]}")
        stats = self._stats()
        return Run(
            wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024,
            stats["requests"], stats["connections"], stats["most_in_flight"],
        )  # fmt: skip

    def _stats(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=10) as answer:
            stats: dict[str, int] = json.load(answer)
            return stats


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@contextlib.contextmanager
def bench(instances: int, projects: int, latency: float = 0.0, per_row: float = 0.0) -> Iterator[Bench]:
    """Start a service and end it."""
    with tempfile.TemporaryDirectory() as directory:
        made = Bench(Path(directory), instances, projects, latency, per_row)
        try:
            yield made
        finally:
            made.service.stop()


def compare(made: Bench, title: str, repeat: int, *, floors: bool) -> dict[str, dict[str, Run]]:
    """Measure all contenders in turn and print the ratios."""
    anchor = made.file("anchor", plugin="google.cloud.gcp_compute")
    ours = made.file("ours", plugin="gpulab.core.gcp")
    same = made.file("same", plugin="gpulab.core.gcp", hostvars="compute")
    files = {"gcp_compute": anchor, "ours": ours, "ours, same variables": same}
    if floors:
        files["floor, our variables"] = made.floor("ours", ours)
        files["floor, same variables"] = made.floor("same", same)
    commands = {}
    for name, path in files.items():
        commands[f"{name}|--list"] = [_tool("ansible-inventory"), "-i", str(path), "--list"]
        commands[f"{name}|parse"] = [sys.executable, "-c", PARSE, str(path)]
    if floors:
        commands["download + json.loads|parse"] = [sys.executable, "-c", DOWNLOAD, "-", *made.projects]
    # Once before, so that the service's pages and the disk's files are warm for all.
    made.measure(commands["ours|parse"])
    made.measure(commands["ours, same variables|parse"])
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _round in range(repeat):
        for name, command in commands.items():
            runs[name].append(made.measure(command))
    result: dict[str, dict[str, Run]] = {}
    for name, measured in runs.items():
        contender, mode = name.split("|")
        result.setdefault(mode, {})[contender] = Run(
            *(statistics.median(getattr(run, key) for run in measured) for key in Run.__dataclass_fields__)
        )
    _print(title, result)
    return result


def _print(title: str, result: dict[str, dict[str, Run]]) -> None:
    out = sys.stdout.write
    out(
        f"\n{title}\n\n| what | contender | wall | CPU | memory | requests | connections | in flight |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    for mode, contenders in result.items():
        base = result["parse" if "gcp_compute" not in contenders else mode]["gcp_compute"]
        for name, run in contenders.items():
            if name == "gcp_compute":
                ratios = f"1 ({run.wall:.2f} s) | 1 ({run.cpu:.2f} s) | 1 ({run.memory:.0f} MiB)"
            else:
                ratios = f"{base.wall / run.wall:.1f}x faster | {base.cpu / run.cpu:.1f}x less"
                ratios += f" | {run.memory / base.memory:.2f}x"
            out(f"| {mode} | {name} | {ratios} | {run.requests:.0f} | {run.connections:.0f} | {run.in_flight:.0f} |\n")
    parse = result["parse"]
    for kind, name in (("our", "ours"), ("same", "ours, same variables")):
        if floor := parse.get(f"floor, {kind} variables"):
            out(f"\nparse, {name}: {parse[name].cpu / floor.cpu:.2f}x the CPU of set_variable alone\n")
    sys.stdout.flush()


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--latency", action=argparse.BooleanOptionalAction, default=True, help="also many projects, 400 ms away"
    )
    arguments = parser.parse_args()
    stamp = datetime.datetime.now(datetime.timezone.utc).date()
    sys.stdout.write(f"{stamp}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    for size in (int(text) for text in arguments.sizes.split(",") if text):
        repeat = arguments.repeat if size < 5000 else min(arguments.repeat, 2)
        with bench(size, 2) as made:
            compare(made, f"{size} instances, 2 projects, 20 zones", repeat, floors=True)
    if arguments.latency:
        with bench(1000, 10, 0.4, 0.001) as made:
            compare(made, "1000 instances, 10 projects, 400 ms per request", 2, floors=False)


if __name__ == "__main__":
    main()
