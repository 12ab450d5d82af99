#!/usr/bin/python3
"""A stand-in for RStudio's rsession: it answers on its socket by letting a real R run what it is sent."""

from __future__ import annotations

import argparse
import http.server
import json
import os
import socketserver
import subprocess
from pathlib import Path
from typing import Any

CONFIG = Path("/etc/rstudio/rsession.conf")
KNOWN = {"session-timeout-minutes", "r-cran-repos", "r-libs-user", "session-default-working-dir"}


class Handler(http.server.BaseHTTPRequestHandler):
    """One kind of request: {"params": [CODE]}."""

    def do_POST(self) -> None:
        """Run R."""
        code = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["params"][0]
        argv = [f"{os.environ['R_HOME']}/bin/R", "--slave", "--no-save", "-e", code]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        text = json.dumps({"result": done.stdout, "stderr": done.stderr}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""

    def address_string(self) -> str:
        """Name the client; on a socket it has no address."""
        return "-"


class OnSocket(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A server on a socket."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-u", required=True)
    parser.add_argument("--session-root-path", required=True)
    user = parser.parse_args().u
    for line in CONFIG.read_text(encoding="utf-8").splitlines() if CONFIG.is_file() else []:
        if line.strip() and not line.startswith("#") and line.partition("=")[0] not in KNOWN:
            raise SystemExit(f"unrecognised option '{line}'")
    OnSocket(f"{os.environ['RS_SESSION_TMP_DIR']}/{user}-d", Handler).serve_forever()


if __name__ == "__main__":
    main()
