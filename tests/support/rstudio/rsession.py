#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for RStudio's rsession: it runs the code of requests on its socket in a real R."""

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
OPTIONS = {"session-timeout-minutes", "r-cran-repos", "r-libs-user", "session-default-working-dir"}


class Handler(http.server.BaseHTTPRequestHandler):
    """One kind of request: {"params": [CODE]}."""

    def do_POST(self) -> None:
        """Run R."""
        code = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["params"][0]
        argv = [f"{os.environ['R_HOME']}/bin/R", "--slave", "--no-save", "-e", code]
        result = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        text = json.dumps({"result": result.stdout, "stderr": result.stderr}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def address_string(self) -> str:
        """Return the name of the client, which has no address on a socket."""
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
        if line.strip() and not line.startswith("#") and line.partition("=")[0] not in OPTIONS:
            raise SystemExit(f"unrecognised option '{line}'")
    OnSocket(f"{os.environ['RS_SESSION_TMP_DIR']}/{user}-d", Handler).serve_forever()


if __name__ == "__main__":
    main()
