"""What the role nvidia_driver costs beside a plain `apt-get install` of the same packages: time and disk, as ratios.

Both run on bare local hosts of the same image, and both really build Debian's proprietary module (minutes).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOST = "driver12"
GOAL = 1.15
WISHES = {"nvidia_driver_expected_gpus": ["1eb8"], "nvidia_driver_source": "distro"}
COMPONENTS = "sed -i 's/ main$/ main contrib non-free non-free-firmware/' /etc/apt/sources.list"


def ansible(program: str, *arguments: str) -> str:
    """Run one of Ansible's programs; stop with its last words when it fails."""
    argv = [program, "--inventory", "molecule/inventory", *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {' '.join(argv)} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.stdout


def shell(command: str) -> str:
    """Run a command on the host."""
    return ansible("ansible", HOST, "-m", "ansible.builtin.shell", "-a", command)


def megabytes() -> int:
    """Give what the system of the host takes; apt's downloads and lists do not count."""
    shell("apt-get clean")
    used = shell(
        "du --summarize --one-file-system --block-size=1M --exclude=/var/lib/apt/lists /usr /var /etc /opt /lib/modules"
    )
    return sum(int(line.split()[0]) for line in used.splitlines() if line[:1].isdigit())


def fresh() -> int:
    """Make the host anew; give what its system takes."""
    for name in ("destroy", "create"):
        ansible("ansible-playbook", f"molecule/shared/{name}.yml", "--limit", HOST)
    return megabytes()


def timed(command: list[str]) -> float:
    """Run one of Ansible's programs and give the seconds that it took."""
    begun = time.monotonic()
    ansible(*command)
    return time.monotonic() - begun


def main() -> int:
    """Print the ratios."""
    before = fresh()
    converge = ["ansible-playbook", "tests/driver/driver.yml", "--limit", HOST, "--extra-vars", json.dumps(WISHES)]
    role = timed(converge)
    second = timed(converge)
    role_disk = megabytes() - before
    record = json.loads(shell("cat /var/lib/gpulab/driver.json").partition("\n")[2])
    before = fresh()
    packages = " ".join([*record["packages"], "linux-headers-amd64"])
    plainly = (
        f"{COMPONENTS} && apt-get --quiet update && apt-get --quiet --yes --no-install-recommends install {packages}"
    )
    plain = timed(["ansible", HOST, "-m", "ansible.builtin.shell", "-a", f"DEBIAN_FRONTEND=noninteractive; {plainly}"])
    plain_disk = megabytes() - before
    ansible("ansible-playbook", "molecule/shared/destroy.yml", "--limit", HOST)
    load = os.getloadavg()[2] / (os.cpu_count() or 1)
    lines = [
        f"time, role / apt-get install: {role / plain:.2f} ({role:.0f} s / {plain:.0f} s, goal {GOAL})",
        f"disk, role / apt-get install: {role_disk / plain_disk:.2f} ({role_disk} / {plain_disk} MB, goal {GOAL})",
        f"second run: {second:.1f} s",
        f"load of this machine beside it: {load:.1f} per core",
    ]
    print("\n".join(lines))  # noqa: T201
    return 0 if role / plain <= GOAL and role_disk / plain_disk <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
