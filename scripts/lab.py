# SPDX-License-Identifier: GPL-3.0-or-later
"""`make lab` and `make down`: a whole lab on this machine, from nothing to a login page."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import processes
from tests.support.paths import ROOT

INVENTORY = "inventory/local"
HOST = "lab"
PASSWORDS = ROOT / "build" / "passwords" / "local"
LOCK = ROOT / "build" / "lab.lock"
STARTED = ROOT / "build" / "lab-started"
"""Digest of everything that describes the host, written when it was started."""
DESCRIPTION = ("molecule/shared", "inventory/local", "tests/support/rstudio", "plugins/lookup")
STOPPED = (99, 130, -2)
"""Exit codes of programs that Ctrl-C stopped: ansible-playbook, a shell, a signal."""
CREATE, CONVERGE, SMOKE_CHECK = 1800, 5400, 300
"""Seconds that a step may take: the first builds an image from packages, the second installs everything."""


class StepFailed(Exception):
    """A step ended with an error that it has explained already."""


def show(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201


def run(argv: list[str], limit: float) -> None:
    """Run a program in the checkout with its output shown; raise StepFailed when it fails or takes too long."""
    try:
        done = processes.run(argv, cwd=ROOT, timeout=limit, capture=False)
    except processes.TimeLimitExceeded as error:
        raise StepFailed(f"{argv[0]} did not end within {limit:.0f} s and was stopped") from error
    if done.returncode in STOPPED:
        raise KeyboardInterrupt
    if done.returncode:
        raise StepFailed(f"{argv[0]} ended with {done.returncode}")


def playbook(name: str, *options: str, limit: float) -> None:
    """Run a playbook on the local inventory."""
    run(["ansible-playbook", "--inventory", INVENTORY, name, *options], limit)


@contextmanager
def exclusive() -> Iterator[None]:
    """Fail when another `make lab` or `make down` of this checkout is running."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepFailed("another `make lab` or `make down` of this checkout is running: wait for it") from error
        yield


def steps(chosen: list[tuple[str, Callable[[], None]]]) -> None:
    """Run steps one after the other, and print the name and the time of each."""
    begun = time.monotonic()
    for number, (name, action) in enumerate(chosen, start=1):
        show(f"\n==> [{number}/{len(chosen)}] {name}")
        started = time.monotonic()
        action()
        show(f"==> [{number}/{len(chosen)}] done in {time.monotonic() - started:.0f} s")
    show(f"\n==> all done in {time.monotonic() - begun:.0f} s")


def variables() -> dict[str, Any]:
    """Return the local host's variables as the inventory has them."""
    argv = ["ansible-inventory", "--inventory", INVENTORY, "--host", HOST]
    return dict(json.loads(processes.run(argv, cwd=ROOT, timeout=120, check=True).stdout))


def instructions(host: dict[str, Any], show_passwords: bool) -> str:
    """Return where to log in, with which users, and how to connect an editor."""
    address, ssh_port, _ = host["local_host_ports"]["ssh"].split(":")
    hub_port = host["local_host_ports"]["hub"].split(":")[1]
    known_hosts = f"build/ssh/known_hosts-{HOST}"
    lines = [
        "",
        f"JupyterHub   https://localhost:{hub_port}/   (the browser warns once: the certificate was made on the host)",
        "",
    ]
    for user in host["gpulab_users"]:
        path = PASSWORDS / user["name"]
        password = f"(first word of {path.relative_to(ROOT)})"
        if show_passwords:
            password = path.read_text(encoding="utf-8").split()[0]
        lines.append(f"  user {user['name']:<8} password {password}{'   administrator' if user.get('admin') else ''}")
    first = host["gpulab_users"][0]["name"]
    lines += [
        "",
        f"SSH          ssh -p {ssh_port} -o UserKnownHostsFile={known_hosts} {first}@{address}",
        f"as root      ssh -p {ssh_port} -o UserKnownHostsFile={known_hosts} -i build/ssh/id_ed25519 root@{address}",
        "PyCharm, VS Code: remote interpreter /opt/gpulab/envs/ml/current/bin/python",
        "",
        "make verify INVENTORY=inventory/local   runs the whole acceptance suite",
        "make down                               removes the lab",
    ]
    return "\n".join(lines)


def up() -> None:
    """Create the host, converge it, check that users can work, and print where to log in."""
    steps(
        [
            ("Start the local host (the first time, its image is built from distribution packages)", start),
            ("Converge it: ansible-playbook site.yml", lambda: playbook("site.yml", limit=CONVERGE)),
            ("Check it: log in, start a server, compute in Python and in R", smoke_check),
        ]
    )
    # A terminal is for a user's eyes; anything else may be a log, and passwords stay out of logs.
    show(instructions(variables(), show_passwords=sys.stdout.isatty()))


def smoke_check() -> None:
    """Run the tests of the acceptance suite that are marked so; scripts/verify would check the connection first."""
    argv = ["pytest", "tests/acceptance/test_session.py", "-q", "-p", "no:cacheprovider", "-m", "smoke"]
    argv += [f"--hosts=ansible://{HOST}", f"--ansible-inventory={INVENTORY}", "--passwords", str(PASSWORDS)]
    run(argv, SMOKE_CHECK)


def digest() -> str:
    """Return a digest of the files and the environment variable that describe the host."""
    state = hashlib.sha256(os.environ.get("DISTRO", "").encode())
    for path in sorted(path for directory in DESCRIPTION for path in (ROOT / directory).rglob("*") if path.is_file()):
        if "__pycache__" not in path.parts:
            state.update(f"{path}\0".encode() + path.read_bytes())
    return state.hexdigest()


def answers() -> bool:
    """Return whether the host that was started with this description runs and lets Ansible log in."""
    if not STARTED.is_file() or STARTED.read_text(encoding="ascii") != digest():
        return False
    argv = ["ansible", "--inventory", INVENTORY, HOST, "--module-name", "ansible.builtin.raw", "--args", "true"]
    try:
        return processes.run(argv, cwd=ROOT, timeout=60).returncode == 0
    except processes.TimeLimitExceeded:
        return False


def start() -> None:
    """Start the local host, if it does not run as it is described."""
    PASSWORDS.mkdir(parents=True, exist_ok=True)
    PASSWORDS.chmod(0o700)
    if answers():
        show("It runs already.")
        return
    playbook("molecule/shared/create.yml", limit=CREATE)
    STARTED.write_text(digest(), encoding="ascii")


def down() -> None:
    """Remove what `up` made; what it installed on this machine (Podman and the like) stays."""
    steps([("Remove the local host, its image, its cache, its keys and its passwords", remove)])


def remove() -> None:
    """Remove the local host and everything that belongs to it."""
    STARTED.unlink(missing_ok=True)
    playbook("molecule/shared/destroy.yml", "--extra-vars", json.dumps({"local_host_purge": True}), limit=600)
    for path in sorted(PASSWORDS.glob("*")):
        path.unlink()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    chosen = {"up": up, "down": down}[parser.parse_args().command]
    # A child process is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.setdefault("ANSIBLE_FORCE_COLOR", "1" if sys.stdout.isatty() else "0")
    try:
        with exclusive():
            chosen()
    except StepFailed as error:
        show(f"\nlab: {error}. The error is explained above; the same command continues from there.")
        return 1
    except KeyboardInterrupt:
        show("\nlab: stopped. The same command continues from there; `make down` removes what exists.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
