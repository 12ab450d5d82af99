# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the broker of GPUs: HTTP and JSON over its unix socket."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SOCKET = Path("/run/gpulab/gpu.sock")
SECONDS = 20.0
"""Time limit of a request."""
WAIT_SECONDS = 45
"""Time for which the broker keeps a request that waits for a change."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class BrokerError(OSError):
    """A request that failed. The message is for the user."""


class NoBroker(BrokerError):
    """The broker cannot be reached."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(
    method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = SECONDS, at: Path | None = None
) -> dict[str, Any]:
    """Send a request and return the answer; raises BrokerError with its message, NoBroker without one."""
    connection = _Connection(at or SOCKET, seconds)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NoBroker(
            "this host shares no GPUs, or the broker does not run (systemctl status gpulab-gpud)."
        ) from error
    except TimeoutError as error:
        raise NoBroker(f"the broker did not answer within {seconds:.0f} s (journalctl -u gpulab-gpud).") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoBroker(f"the broker closed the connection: {error or 'too many connections'}") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise BrokerError(answer.get("error", f"the broker answered {response.status}"))
    return answer


def wait(request: dict[str, Any], report: Callable[[str], None], *, at: Path | None = None) -> dict[str, Any]:
    """Wait until a request is granted, report each change of its place, and return the confirmed grant.

    A restart of the broker is waited for, too: it keeps the request. Raises BrokerError when the request is over.
    """
    reported = ""
    while request["status"] == "waiting":
        text = place(request)
        if text != reported:
            report(text)
            reported = text
        try:
            path = f"/v1/requests/{request['id']}?wait={WAIT_SECONDS}"
            request = call("GET", path, seconds=WAIT_SECONDS + SECONDS, at=at)
        except NoBroker:
            time.sleep(2)
    if request["status"] == "over":
        raise BrokerError(f"request {request['id']} is over: {request['reason']}")
    return call("POST", f"/v1/requests/{request['id']}/confirm", {}, at=at)


def place(request: Mapping[str, Any]) -> str:
    """Return the place of a waiting request in the queue as a sentence."""
    start = request["starts_at"]
    estimate = f", expected start {clock_time(start)} or earlier" if start else ""
    return f"request {request['id']} waits at position {request['position']}: {request['reason']}{estimate}"


def held(grant: Mapping[str, Any]) -> str:
    """Return a grant as a sentence."""
    gpus = ", ".join(f"GPU {gpu['index']}" for gpu in grant["gpus"])
    return f"request {grant['id']} holds {gpus} until {clock_time(grant['until'])}, longer while no other user waits"


def clock_time(at: float, now: float | None = None) -> str:
    """Return a time on the wall clock, with the day where it is not today."""
    local, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M" if local[:3] == today[:3] else "%a %d %b %H:%M", local)


def duration(text: str) -> float:
    """Return the seconds of a text such as 2h, 30m or 1h30m; raises ValueError with a message."""
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        raise ValueError(f"{text!r} is not a time; write 30m, 2h, 1h30m or 1d")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", text))
