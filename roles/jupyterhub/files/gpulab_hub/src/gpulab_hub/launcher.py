# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop users' servers for the hub, which runs without root.

systemd starts one process of this program for each connection to a socket that only the hub may use
(gpulab-launcher.socket). It can start and stop instances of gpulab-server@.service, for uids that the role users has
listed, and nothing else. The unit, not the request, decides what a server may do.

The request is one line of JSON, and so is the answer: {"ok": true} or {"error": "..."}.

    {"action": "start", "uid": 1001, "environment": {"NAME": "value"}}
    {"action": "stop", "uid": 1001}

Only the standard library is imported: a start waits for this program.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from gpulab_hub.helper_socket import BadRequest, check_peer, read_request

USERS = Path("/etc/gpulab/users")
"""Directory with a file UID.OWNER for every user who may have a server."""
DIRECTORY = Path("/run/gpulab/servers")
"""Directory of the environment files of the servers."""
LEAST_UID = 1000
LARGEST = 256 * 1024
"""Largest request in bytes, for the largest environment (execve(2) limits one string to 128 KiB)."""
PATIENCE = {"start": 60, "stop": 60}
"""Seconds that systemctl may take; the unit's own limits are shorter."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def unit(uid: int) -> str:
    """Return the name of a user's server unit."""
    return f"gpulab-server@{uid}.service"


def is_users_uid(value: Any) -> TypeGuard[int]:
    """Return whether a value is a uid that is not one of a system account."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= LEAST_UID


def listed_uid(value: Any, users: Path = USERS) -> int:
    """Return a uid that may have a server; raise BadRequest for every other value."""
    if not is_users_uid(value):
        raise BadRequest(f"uid {value!r} may not have a server: it belongs to the system")
    if not any(users.glob(f"{value}.*")):
        raise BadRequest(f"uid {value} is not listed in {users}: apply the role gpulab.core.users")
    return value


def environment_file(environment: Mapping[str, Any]) -> str:
    """Return the text of an environment file of systemd.exec(5); raise BadRequest for variables that it cannot hold."""
    lines = []
    for name, value in sorted(environment.items()):
        if not NAME.match(name):
            raise BadRequest(f"{name!r} cannot be the name of an environment variable")
        if not isinstance(value, str) or "\0" in value:
            raise BadRequest(f"the environment variable {name} is not a text")
        escaped = re.sub(r'(["\\$`])', r"\\\1", value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)


def write_environment(path: Path, text: str) -> None:
    """Replace a file in a directory that only root can write."""
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
    temporary.replace(path)


def systemctl(action: str, uid: int) -> None:
    """Start or stop the unit and wait for it; raise BadRequest with what systemctl printed."""
    argv = ["systemctl", "--no-ask-password", action, unit(uid)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE[action], check=False
        )
    except subprocess.TimeoutExpired:
        raise BadRequest(f"systemctl {action} {unit(uid)} took longer than {PATIENCE[action]} s") from None
    if done.returncode:
        raise BadRequest(f"systemctl {action} {unit(uid)}: {done.stderr.strip()[-500:]}")


def start(uid: int, environment: Mapping[str, Any], directory: Path = DIRECTORY) -> None:
    """Stop the server in any state, then start it with this environment."""
    text = environment_file(environment)
    # While a process of the previous server exists, its user can run code in the unit.
    systemctl("stop", uid)
    reset_failed(uid)
    write_environment(directory / str(uid), text)
    systemctl("start", uid)


def stop(uid: int, directory: Path = DIRECTORY) -> None:
    """Stop the server, or clean up after one that has ended; remove its environment, which holds a token."""
    systemctl("stop", uid)
    reset_failed(uid)
    (directory / str(uid)).unlink(missing_ok=True)


def reset_failed(uid: int) -> None:
    """Reset the failed state of the unit, where it has one."""
    subprocess.run(["systemctl", "--quiet", "reset-failed", unit(uid)], capture_output=True, timeout=10, check=False)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a request and return the answer; raise BadRequest where it is rejected."""
    action = request.get("action")
    if action == "start":
        environment = request.get("environment")
        if not isinstance(environment, dict):
            raise BadRequest("environment is missing")
        start(listed_uid(request.get("uid")), environment)
    elif action == "stop":
        uid = request.get("uid")
        # The server of a user who has been removed from the list can still be stopped.
        if not is_users_uid(uid):
            raise BadRequest(f"uid {uid!r} has no server: it belongs to the system")
        stop(uid)
    else:
        raise BadRequest(f"{action!r} is not an action: use start or stop")
    return {"ok": True}


def main() -> int:
    """Answer the connection on standard input."""
    parser = argparse.ArgumentParser(description="Start and stop users' servers for the hub.")
    parser.add_argument("--account", default="gpulab-hub", help="the account that may use the socket")
    account = parser.parse_args().account
    with socket.socket(fileno=0) as connection:
        try:
            check_peer(connection, ["root", account])
            result = answer(read_request(connection, LARGEST, 10))
        except BadRequest as error:
            result = {"error": str(error)}
        except Exception as error:  # noqa: BLE001  # the hub gets an answer; the journal gets no environment
            result = {"error": f"{type(error).__name__} in the launcher"}
        if "error" in result:
            sys.stderr.write(f"{result['error']}\n")
        connection.settimeout(10)
        connection.sendall(json.dumps(result).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
