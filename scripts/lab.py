"""`make lab` and `make down`: a whole lab on this machine, from nothing to a login page."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INVENTORY = "inventory/local"
HOST = "lab"
PASSWORDS = ROOT / "build" / "passwords" / "local"
LOCK = ROOT / "build" / "lab.lock"


STOPPED = (99, 130, -2)
"""How programs end that Ctrl-C stopped: ansible-playbook, a shell, a signal."""


class StepFailed(Exception):
    """A step ended with an error that it has explained already."""


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201


def run(argv: list[str]) -> None:
    """Run a program in the checkout with its output shown; raise StepFailed when it fails."""
    done = subprocess.run(argv, cwd=ROOT, check=False)
    if done.returncode in STOPPED:
        raise KeyboardInterrupt
    if done.returncode:
        raise StepFailed(f"{argv[0]} ended with {done.returncode}")


def playbook(name: str, *options: str) -> None:
    """Run a playbook on the local inventory."""
    run(["ansible-playbook", "--inventory", INVENTORY, name, *options])


@contextmanager
def only_one() -> Iterator[None]:
    """Refuse to run next to another `make lab` or `make down` of this checkout."""
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepFailed("another `make lab` or `make down` of this checkout is at work: wait for it") from error
        yield


def steps(chosen: list[tuple[str, Callable[[], None]]]) -> None:
    """Do one thing after the other, each with its name and time."""
    begun = time.monotonic()
    for number, (name, action) in enumerate(chosen, start=1):
        say(f"\n==> [{number}/{len(chosen)}] {name}")
        started = time.monotonic()
        action()
        say(f"==> [{number}/{len(chosen)}] done in {time.monotonic() - started:.0f} s")
    say(f"\n==> all done in {time.monotonic() - begun:.0f} s")


def variables() -> dict[str, Any]:
    """Give the local host's variables as the inventory has them."""
    argv = ["ansible-inventory", "--inventory", INVENTORY, "--host", HOST]
    return dict(json.loads(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout))


def farewell(host: dict[str, Any], show_passwords: bool) -> str:
    """Say where to log in, as whom, and how to come in from an editor."""
    address, ssh_port, _ = host["local_host_ports"]["ssh"].split(":")
    hub_port = host["local_host_ports"]["hub"].split(":")[1]
    known = f"build/ssh/known_hosts-{HOST}"
    lines = ["", f"JupyterHub   https://localhost:{hub_port}/   (its certificate is its own: the browser will ask)", ""]
    for user in host["gpulab_users"]:
        path = PASSWORDS / user["name"]
        word = (
            path.read_text(encoding="utf-8").split()[0]
            if show_passwords
            else f"(first word of {path.relative_to(ROOT)})"
        )
        lines.append(f"  user {user['name']:<8} password {word}{'   administrates' if user.get('admin') else ''}")
    first = host["gpulab_users"][0]["name"]
    lines += [
        "",
        f"SSH          ssh -p {ssh_port} -o UserKnownHostsFile={known} {first}@{address}",
        f"as root      ssh -p {ssh_port} -o UserKnownHostsFile={known} -i build/ssh/id_ed25519 root@{address}",
        "PyCharm, VS Code: remote interpreter /opt/gpulab/envs/ml/current/bin/python",
        "",
        "make verify INVENTORY=inventory/local   proves it again",
        "make down                               removes it",
    ]
    return "\n".join(lines)


def up() -> None:
    """Build, converge, prove, and say where to log in."""
    steps(
        [
            ("Start the local host (the first time, its image is built from distribution packages)", start),
            ("Converge it: ansible-playbook site.yml", lambda: playbook("site.yml")),
            (
                "Prove it: log in, start a server, compute in Python and in R",
                lambda: run(["scripts/verify", INVENTORY, "-q"]),
            ),
        ]
    )
    # A terminal is for a user's eyes; anything else may be a log, and passwords stay out of logs.
    say(farewell(variables(), show_passwords=sys.stdout.isatty()))


def start() -> None:
    """Start the local host."""
    PASSWORDS.mkdir(parents=True, exist_ok=True)
    PASSWORDS.chmod(0o700)
    playbook("molecule/shared/create.yml")


def down() -> None:
    """Remove what `up` made; what it installed on this machine for everybody (Podman and the like) stays."""
    steps([("Remove the local host, its image, its cache, its keys and its passwords", remove)])


def remove() -> None:
    """Remove the local host and everything that belongs to it."""
    playbook("molecule/shared/destroy.yml", "--extra-vars", json.dumps({"local_host_purge": True}))
    for path in sorted(PASSWORDS.glob("*")):
        path.unlink()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    chosen = {"up": up, "down": down}[parser.parse_args().command]
    os.environ.setdefault("ANSIBLE_FORCE_COLOR", "1" if sys.stdout.isatty() else "0")
    try:
        with only_one():
            chosen()
    except StepFailed as error:
        say(f"\nlab: {error}. What went wrong is said above; the same command goes on from there.")
        return 1
    except KeyboardInterrupt:
        say("\nlab: stopped. The same command goes on from there; `make down` removes what there is.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
