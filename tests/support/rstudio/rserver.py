#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for RStudio Server: rserver's command line, configuration, rejections and HTTP, without an IDE.

Its behaviour is taken from the vendor's sources (src/cpp/server/server-options.json, ServerOptions.cpp,
SecureKeyFile.cpp, core/system/PosixSystem.cpp, core/http/CSRFToken.cpp) and from jupyter-rsession-proxy.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import pwd
import secrets
import socket
import socketserver
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path("/usr/lib/rstudio-server/bin")
CONFIG = Path("/etc/rstudio/rserver.conf")
KEY = Path("/var/lib/rstudio-server/session-rpc-key")
DEFAULTS = {
    "server-working-dir": "/",
    "server-user": "rstudio-server",
    "server-daemonize": "",
    "server-pid-file": "/var/run/rstudio-server.pid",
    "server-set-umask": "1",
    "secure-cookie-key-file": "",
    "server-data-dir": "/var/run/rstudio-server",
    "server-add-header": "",
    "www-address": "0.0.0.0",
    "www-port": "8787",
    "www-socket": "",
    "www-root-path": "/",
    "www-local-path": "www",
    "www-thread-pool-size": "2",
    "www-proxy-localhost": "1",
    "www-verify-user-agent": "1",
    "www-same-site": "",
    "www-frame-origin": "none",
    "www-enable-origin-check": "0",
    "www-allow-origin": "",
    "rsession-which-r": "",
    "rsession-path": "rsession",
    "rldpath-path": "r-ldpath",
    "rsession-ld-library-path": "",
    "rsession-config-file": "",
    "rsession-proxy-max-wait-secs": "10",
    "database-config-file": "",
    "auth-none": "",
    "auth-validate-users": "",
    "auth-stay-signed-in-days": "30",
    "auth-timeout-minutes": "60",
    "auth-encrypt-password": "1",
    "auth-required-user-group": "",
    "auth-minimum-user-id": "auto",
    "auth-cookies-force-secure": "0",
    "monitor-interval-seconds": "60",
}
PASSED_ON = ("PATH", "MANPATH", "LANG", "SHELL")
"""The variables of rserver that a session gets, in addition to the account's names and rserver's own variables."""


class StartError(Exception):
    """rserver does not start."""


def options(argv: list[str], config: Path = CONFIG) -> dict[str, str]:
    """Return the options; the command line overrides the configuration, and unknown options are rejected."""
    lines = config.read_text(encoding="utf-8").splitlines() if config.is_file() else []
    given = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    result = dict(DEFAULTS)
    for text in [*given, *(word.removeprefix("--") for word in argv)]:
        name, mark, value = text.partition("=")
        if name not in DEFAULTS or not mark:
            raise StartError(f"unrecognised option '{name}'")
        result[name] = value
    return result


def key(path: Path, reject_empty: bool = True) -> str:
    """Read a secret, or create it for the own account only."""
    if path.exists():
        text = path.read_text(encoding="ascii")
        if reject_empty and not text:
            raise StartError(f"system error 2 (No such file or directory) [path: {path}]")
        return text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(16), encoding="ascii")
    return path.read_text(encoding="ascii")


def session_key() -> None:
    """Read the key between rserver and its sessions: the system's if it exists, else the account's own."""
    as_root = os.geteuid() == 0
    key(KEY if as_root or KEY.exists() else Path.home() / ".cache/rstudio" / KEY.name)


def database(config: str) -> None:
    """Create the database of the configuration."""
    text = Path(config or "/etc/rstudio/database.conf").read_text(encoding="utf-8")
    settings = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
    if settings.get("provider") != "sqlite":
        raise StartError("this stand-in supports only the provider sqlite")
    Path(settings["directory"], "rstudio-os.sqlite").touch(mode=0o600)


class Session:
    """The session of the account, an rsession, started by the first request of a browser."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        self.user = pwd.getpwuid(os.geteuid())
        self.socket = Path(settings["server-data-dir"], "rstudio-rsession", f"{self.user.pw_name}-d")
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the session."""
        which = self.settings["rsession-which-r"] or "R"
        home = subprocess.run([which, "RHOME"], check=True, capture_output=True, text=True, timeout=60).stdout.strip()
        own = {"USER": self.user.pw_name, "LOGNAME": self.user.pw_name, "HOME": self.user.pw_dir}
        own |= {"R_HOME": home, "RS_SESSION_TMP_DIR": str(self.socket.parent), "RSTUDIO_DEFAULT_R_VERSION_HOME": home}
        own |= {"LD_LIBRARY_PATH": f"{home}/lib"}
        return {**{name: os.environ[name] for name in PASSED_ON if name in os.environ}, **own}

    def start(self) -> None:
        """Start the session unless it runs."""
        if self.process and self.process.poll() is None:
            return
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        program = HOME / self.settings["rsession-path"]
        argv = [str(program), "-u", self.user.pw_name, "--session-root-path", self.settings["www-root-path"]]
        self.process = subprocess.Popen(argv, env=self.environment(), close_fds=True)
        deadline = time.monotonic() + float(self.settings["rsession-proxy-max-wait-secs"])
        while not self.socket.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("the session does not answer")
            time.sleep(0.05)

    def request(self, body: bytes) -> bytes:
        """Send a request to the session and return the answer."""
        connection = http.client.HTTPConnection("localhost", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request("POST", "/rpc", body)
        return connection.getresponse().read()


class Handler(http.server.BaseHTTPRequestHandler):
    """The first pages of RStudio."""

    session: Session
    settings: dict[str, str]
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, text: str, kind: str = "application/json", **headers: str) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(text.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        """Send the page, or the address of the login page if users must log in."""
        if self.settings["auth-none"] != "1" and not self.path.startswith("/auth-sign-in"):
            self.answer(302, "", Location=f"{self.settings['www-root-path']}auth-sign-in")
            return
        cookie = f"rs-csrf-token={secrets.token_hex(16)}; Path={self.settings['www-root-path']}"
        self.answer(200, "<html><title>RStudio Server</title>stand-in</html>", "text/html", **{"Set-Cookie": cookie})

    def do_POST(self) -> None:
        """Start the session and send it the request; a request without the token comes from another page."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        cookies = dict(each.strip().partition("=")[::2] for each in self.headers.get("Cookie", "").split(";"))
        token = cookies.get("rs-csrf-token")
        if not token or self.headers.get("X-RS-CSRF-Token") != token:
            self.answer(200, json.dumps({"error": {"code": 2, "message": "Unauthorized"}}))
            return
        try:
            self.session.start()
            is_start = self.path == "/rpc/client_init"
            self.answer(200, json.dumps({"result": {}}) if is_start else self.session.request(body).decode())
        except OSError as error:
            self.answer(200, json.dumps({"error": {"code": 1, "message": str(error)}}))

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def address_string(self) -> str:
        """Return the name of the client, which has no address on a socket."""
        return "-"


class OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server on a socket."""


def serve(settings: dict[str, str]) -> None:
    """Serve until killed."""
    Handler.settings, Handler.session = settings, Session(settings)
    if path := settings["www-socket"]:
        server: socketserver.BaseServer = OnSocket(path, Handler)
        # The worst case: only the mode of the directory protects the socket.
        Path(path).chmod(0o777)
    else:
        server = http.server.ThreadingHTTPServer((settings["www-address"], int(settings["www-port"])), Handler)
    server.serve_forever()


def main(argv: list[str]) -> int:
    """Start like rserver."""
    if argv == ["--help"]:
        print("command-line options:\n" + "".join(f"  --{name} arg (={value})\n" for name, value in DEFAULTS.items()))  # noqa: T201
        return 0
    try:
        settings = options(argv)
        account = pwd.getpwuid(os.geteuid())
        if os.geteuid() and settings["server-user"] != account.pw_name:
            raise StartError(
                f"Attempt to run server as user '{settings['server-user']}' from account '{account.pw_name}' without "
                "privilege, which is required to run as a different uid"
            )
        settings["auth-none"] = settings["auth-none"] or str(int(os.geteuid() != 0))
        os.umask(0o022)
        data = Path(settings["server-data-dir"])
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o777)
        session_key()
        key(Path(settings["secure-cookie-key-file"] or KEY.with_name("secure-cookie-key")))
        database(settings["database-config-file"])
        serve(settings)
    except (StartError, OSError) as error:
        print(f"[rserver] ERROR {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
