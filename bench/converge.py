"""How long a converge takes, as ratios from one run on one machine.

Three things are timed on bare local hosts of the same image with empty caches: site.yml, bench/by_hand.sh (the same
installs one after another with apt and pip, nothing configured), and site.yml a second time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INVENTORY, HOST, CACHE = "molecule/inventory", "bench", "gpulab-bench-cache"
LOCKS = [
    *(f"roles/jupyterhub/files/{name}" for name in ("locks/hub.txt", "locks/server.txt")),
    *(f"roles/jupyterhub/files/proxy/{name}" for name in ("package.json", "package-lock.json")),
    "roles/frameworks/files/locks/cpu-py311.txt",
    "roles/tools/files/locks/tools.txt",
]


def ansible(program: str, *arguments: str) -> None:
    """Run one of Ansible's programs on the bench's host; stop with its last words when it fails."""
    argv = [program, "--inventory", INVENTORY, *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {' '.join(argv)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def playbook(name: str, *options: str) -> float:
    """Run a playbook on the bench's host and give the seconds that it took."""
    begun = time.monotonic()
    ansible("ansible-playbook", name, "--limit", HOST, "--extra-vars", f"local_host_cache={CACHE}", *options)
    return time.monotonic() - begun


def fresh() -> None:
    """Make the host anew, with an empty cache."""
    playbook("molecule/shared/destroy.yml")
    subprocess.run(["podman", "volume", "rm", CACHE], capture_output=True, check=False)
    playbook("molecule/shared/create.yml")


def by_hand() -> float:
    """Install the same things by hand and give the seconds that it took; the sources are set up before the clock."""
    playbook("site.yml", "--tags", "sources")
    with tempfile.TemporaryDirectory() as folder:
        for path in LOCKS:
            shutil.copy(ROOT / path, folder)
        shutil.copy(ROOT / "bench" / "by_hand.sh", folder)
        ansible(
            "ansible", HOST, "-m", "ansible.builtin.copy", "-a", f"src={folder}/ dest=/srv/by-hand-locks/ mode=0755"
        )
    prepare = "mkdir -p /srv/by-hand /etc/gpulab-bench && cp /etc/gpulab/sources.env /etc/gpulab-bench/"
    ansible("ansible", HOST, "-m", "ansible.builtin.shell", "-a", prepare)
    begun = time.monotonic()
    ansible(
        "ansible", HOST, "-m", "ansible.builtin.command", "-a", "sh /srv/by-hand-locks/by_hand.sh /srv/by-hand-locks"
    )
    return time.monotonic() - begun


def main() -> int:
    """Print the ratios."""
    fresh()
    hand = by_hand()
    fresh()
    first = playbook("site.yml")
    second = playbook("site.yml")
    playbook("molecule/shared/destroy.yml")
    subprocess.run(["podman", "volume", "rm", CACHE], capture_output=True, check=False)
    load = os.getloadavg()[2] / (os.cpu_count() or 1)
    print(f"site.yml on a bare host / the same installs by hand: {first / hand:.2f} (goal: 0.5 or less)")  # noqa: T201
    print(f"second site.yml / first site.yml:                    {second / first:.2f} (goal: 0.2 or less)")  # noqa: T201
    print(f"cores: {os.cpu_count()}, load per core over the last 15 minutes: {load:.1f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
