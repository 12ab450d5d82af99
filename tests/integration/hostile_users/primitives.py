# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions of a hostile user on the host: harmless, bounded in size and in time.

The host's own Python runs this file as the user: `python3 -I - NAME JSON`, the file on standard input. It prints
what the user sees, which must never hold a secret of another user. One file, so that it can be sent this way.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIFE = 60
"""Seconds after which background processes end by themselves."""
BYTES, FILES, CONNECTIONS, CHILDREN, OBJECTS, SHOWN = 200 * 2**20, 20_000, 400, 100, 5_000, 200_000
"""The most that one action fills, opens, starts, makes and prints."""
STUBBORN = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SHARED = "/srv/shared/hostile"
DIRECTORIES = ["~", "/tmp", "/var/tmp", "/dev/shm", "/run/user/{uid}", "/run/gpulab/jupyter/{uid}", "/run/lock", SHARED]
PLACES = {
    "login": ["~/.ssh/authorized_keys", "~/.bashrc", "~/.profile", "~/.hushlogin", "~/.pam_environment"],
    "directories": ["~/.ssh", "~/.jupyter", "~/.local", "~/.ipython", "~/.cache", "~/.config", "~/tensorboard"],
    "services": ["~/.config/systemd/user", "~/.local/share/jupyter", "/run/user/{uid}/systemd", "/run/screen/S-{name}"],
    "memory": [
        "/run/gpulab/jupyter/{uid}/tls",
        "/run/gpulab/jupyter/{uid}/runtime",
        "/dev/shm/plain",
        "/run/lock/plain",
    ],
    "shared": ["/tmp/node-compile-cache", "/tmp/.X11-unix", "/var/tmp/plain", f"{SHARED}/.ipynb_checkpoints"],
}
"""Paths that root, the hub or another user may open, in groups that are replaced at once."""
TARGETS = [
    *(
        "/root/hostile",
        "/root/hostile/closed",
        "/root/hostile/missing",
        "/etc/shadow",
        "/etc/gpulab/jupyterhub/proxy_token",
    ),
    *("/home/{victim}", "/home/{victim}/canary", "/home/{victim}/canary/open", "/home/{victim}/canary/missing"),
    *(
        "/var/lib/gpulab/jupyterhub/cookie_secret",
        "/var/lib/gpulab/jupyterhub/jupyterhub.sqlite",
        "/srv/shared",
        "/proc/1",
    ),
]
"""Paths that do not belong to the hostile user: directories, files, and files that do not exist."""
SOCKETS = [
    *("127.0.0.1:22", "127.0.0.1:443", "127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8081", "{server}", "[::1]:443"),
    *(
        "/run/gpulab-hub/hub.sock",
        "/run/gpulab-proxy/api.sock",
        "/run/gpulab/launcher.sock",
        "/run/gpulab/password.sock",
    ),
    *("/run/dbus/system_bus_socket", "/run/systemd/journal/stdout", "/run/systemd/private", "@/tmp/dbus-hostile"),
]
"""Addresses of services; {server} is the victim's server, @ begins the name of an abstract socket."""
CALLS = {
    "units": "systemctl list-units --all; systemctl status gpulab-server@{victim_uid} user-{victim_uid}.slice",
    "stop": "systemctl --no-ask-password stop gpulab-hub ssh user@{victim_uid} gpulab-server@{victim_uid}",
    "processes": "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager "
    "GetUnitProcesses s user-{victim_uid}.slice",
    "sessions": "loginctl list-sessions; loginctl user-status {victim}",
    "end sessions": "loginctl --no-ask-password terminate-user {victim}",
    "linger": "loginctl --no-ask-password enable-linger; loginctl --no-ask-password enable-linger {victim}",
    "bus": "busctl list; busctl --user list",
    "run as another": "systemd-run --no-ask-password --uid {victim} id; pkexec --disable-internal-agent id",
    "journal": "journalctl -n 200 --no-pager; last -n 50; ss -ltnxp",
}
"""Shell commands that call the system's services."""


def expanded(text: str, names: dict[str, str]) -> Path:
    """Return a path with its names filled in."""
    return Path(text.format(**names)).expanduser()


def background(work: Callable[[], Any], seconds: int = LIFE) -> str:
    """Run work without its parent for some seconds, ignoring signals that can be ignored; return the process id."""
    child = os.fork()
    if child:
        return f"{child} goes on"
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    for number in STUBBORN:
        signal.signal(number, signal.SIG_IGN)
    signal.alarm(seconds)
    with contextlib.suppress(Exception):
        work()
    os._exit(0)


def link(places: str, to: str, kind: str, **names: str) -> str:
    """Replace paths by links to another user's files; existing entries are renamed."""
    make, made = os.symlink if kind == "symbolic" else os.link, []
    for place in PLACES[places]:
        path = expanded(place, names)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):
                path.rename(f"{path}.{uuid.uuid4().hex}")
            make(to.format(**names), path)
            made.append(str(path))
    return f"linked {made}"


def address(where: str, names: dict[str, str]) -> tuple[int, Any]:
    """Return the family and the address of a socket."""
    text = where.format(**names)
    if text.startswith(("/", "@")):
        return socket.AF_UNIX, text.replace("@", "\0", 1) if text.startswith("@") else text
    host, _, port = text.rpartition(":")
    return (socket.AF_INET6 if "[" in host else socket.AF_INET), (host.strip("[]"), int(port))


def bind(where: str, **names: str) -> str:
    """Listen on a service's address for a while, and store what clients send in the home."""
    family, place = address(where, names)

    def serve() -> None:
        while True:
            with socket.socket(family) as server, contextlib.suppress(OSError):
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(place)
                server.listen()
                client = server.accept()[0]
                client.settimeout(2)
                with Path("~/received").expanduser().open("ab") as file:
                    file.write(client.recv(65536))
            time.sleep(0.2)

    return background(serve)


def connect(where: str, send: str, **names: str) -> str:
    """Open many connections, send the beginning of a request, and hold them."""
    family, place = address(where, names)

    def hold() -> None:
        held = []
        for _ in range(CONNECTIONS):
            client = socket.socket(family)
            client.settimeout(1)
            with contextlib.suppress(OSError):
                client.connect(place)
                client.sendall(send.encode())
                held.append(client)
        signal.pause()

    return background(hold)


def guess(**names: str) -> str:
    """Try wrong passwords for the victim with su."""
    command = f"for i in $(seq 20); do echo wrong | setsid su {names['victim']} -c true & done"
    subprocess.Popen(command, shell=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S602
    return "20 wrong passwords"


def owned() -> Iterator[tuple[int, int]]:
    """Return number and parent of each other own process."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if path.stat().st_uid == os.getuid() and int(path.name) != os.getpid():
                yield int(path.name), int((path / "stat").read_text().rpartition(")")[2].split()[1])


def stop(**names: str) -> str:
    """For a while, stop each new own process that a component of root has started."""

    def watch() -> None:
        before = {pid for pid, _ in owned()}
        while True:
            for pid, parent in owned():
                if pid not in before and not Path(f"/proc/{parent}").exists():
                    os.kill(pid, signal.SIGSTOP)

    return background(watch, 20)


def kill(number: str, **names: str) -> str:
    """Send a signal to all process ids except the own one and its parents."""
    spared, parent = {os.getpid()}, os.getppid()
    parents = dict(owned())
    while parent in parents:
        spared.add(parent)
        parent = parents[parent]
    last, reached = int(Path("/proc/loadavg").read_text().split()[-1]), 0
    for pid in range(1, last + 1):
        if pid not in spared:
            with contextlib.suppress(OSError):
                os.kill(pid, getattr(signal, number))
                reached += 1
    return f"{reached} processes reached"


def fill(place: str, what: str, **names: str) -> str:
    """Fill a directory with bytes or files up to a limit of size and time."""
    directory = expanded(place, names) / f"filled-{uuid.uuid4().hex}"
    directory.mkdir(parents=True)
    end, count = time.monotonic() + 10, 0
    with contextlib.suppress(OSError), (directory / "large").open("wb", buffering=0) as file:
        while count < (BYTES if what == "bytes" else FILES) and time.monotonic() < end:
            if what == "bytes":
                count += file.write(b"x" * 2**20)
            else:
                (directory / str(count)).touch()
                count += 1
    return f"{count} {what}"


def spawn(how: str, **names: str) -> str:
    """Start processes that outlive their parent."""
    if how == "stubborn":
        return " ".join(background(lambda: time.sleep(LIFE)) for _ in range(CHILDREN))
    program, units = Path("~/stubborn").expanduser(), Path("~/.config/systemd/user").expanduser()
    program.write_text("#!/bin/sh\ntrap '' TERM HUP INT\nsleep 150\nsleep 150\n")
    program.chmod(0o755)
    units.mkdir(parents=True, exist_ok=True)
    (units / "hostile.service").write_text(f"[Service]\nExecStart={program}\n[Install]\nWantedBy=default.target\n")
    command = {
        "cron": f"echo '* * * * * {program}' | crontab -; crontab -l",
        "at": f"echo {program} | at now",
        "unit": "systemctl --user daemon-reload; systemctl --user enable --now --no-block hostile.service",
        "scope": f"systemd-run --user --no-block {program}",
        "session": f"setsid {program} >/dev/null 2>&1 &",
    }
    return shell(command[how], **names)


def leave(what: str, **names: str) -> str:
    """Create objects or files that outlive the user."""
    libc = ctypes.CDLL(None)
    if what in ("shmget", "semget", "msgget"):
        arguments = {"shmget": (4096, 0o1666), "semget": (1, 0o1666), "msgget": (0o1666,)}[what]
        return f"{sum(getattr(libc, what)(0, *arguments) >= 0 for _ in range(OBJECTS))} made"
    if what == "mqueue":
        flags = os.O_CREAT | os.O_RDWR
        return f"{sum(libc.mq_open(b'/hostile-%d' % each, flags, 0o666, None) >= 0 for each in range(300))} made"
    path = Path(SHARED) / f"left-{uuid.uuid4().hex}"
    if what == "fifo":
        os.mkfifo(path, 0o666)
    elif what == "directory":
        path.mkdir()
        path.chmod(0o7777)
    else:
        shutil.copy("/bin/true", path)
        path.chmod(0o6755)
    return f"{path} made"


def shell(command: str, **names: str) -> str:
    """Run a line of shell and return all that it printed."""
    runtime = {**os.environ, "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    argv = ["timeout", "8", "sh", "-c", command.format(**names)]
    done = subprocess.run(argv, env=runtime, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def call(what: str, **names: str) -> str:
    """Call the system's services for objects of other users."""
    return shell(CALLS[what], **names)


def read(**names: str) -> str:
    """Read what is readable of other users: their processes and all targets, with the files in them."""
    paths = [path for pid in Path("/proc").glob("[0-9]*") for path in (pid / "cmdline", pid / "environ")]
    paths = [path for path in paths if os.path.lexists(path) and path.stat().st_uid != os.getuid()]
    for place in (*TARGETS, *DIRECTORIES[1:], "/run/gpulab/servers/{victim_uid}", "/home/{victim}/.bashrc"):
        path = expanded(place, names)
        with contextlib.suppress(OSError):
            paths += list(path.iterdir())[:50] if path.is_dir() else [path]
    text = ""
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_file():
                text += f"{path}: {path.read_bytes()[:4000].decode(errors='replace')}\n"
    return text


if __name__ == "__main__":
    try:
        result = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    except OSError as error:
        result = type(error).__name__
    print(result[:SHOWN], flush=True)  # noqa: T201
