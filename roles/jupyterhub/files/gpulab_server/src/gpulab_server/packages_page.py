# SPDX-License-Identifier: GPL-3.0-or-later
"""Serve a page about the user's own packages on a unix socket: python packages_page.py --socket PATH."""

from __future__ import annotations

import argparse
import html
import socketserver
import subprocess
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

LIST_SECONDS = 60
REQUEST_SECONDS = 120
COMMANDS = (
    ("In a notebook", "%pip install NAME"),
    ("In a terminal", "pip install NAME"),
    ("In a terminal, quicker", "uv pip install NAME"),
    ("In R", 'install.packages("NAME")'),
    ("In R, for Python", 'reticulate::py_install("NAME")'),
    ("Check and repair them, in a terminal", "gpulab env repair"),
    ("Remove all of them, in a terminal", "gpulab env reset"),
)
"""Where, and what to type."""


def listing() -> str:
    """Return what `gpulab env list` prints, or why it prints nothing."""
    argv = ["gpulab", "env", "list"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIST_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"gpulab env list printed nothing within {LIST_SECONDS} seconds: your home may not answer."
    except OSError as error:
        return f"gpulab: {error.strerror}"
    return done.stdout or done.stderr


def page(listed: str) -> str:
    """Return the page as HTML."""
    rows = "".join(
        f"<tr><td>{html.escape(where)}</td><td><code>{html.escape(what)}</code></td></tr>" for where, what in COMMANDS
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Your packages</title>
<style>body {{ font: 16px/1.6 sans-serif; margin: 2em auto; max-width: 50em }}
td {{ padding-right: 2em }} pre {{ background: #f4f4f4; padding: 1em; white-space: pre-wrap }}</style></head>
<body><h1>Your packages</h1>
<p>You can install packages on top of the lab's environments. The lab's own libraries stay as they are, and other users
do not see your packages.</p>
<table>{rows}</table>
<h2>Installed now</h2>
<pre>{html.escape(listed)}</pre></body></html>
"""


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the page."""

    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Send the page."""
        body = page(listing()).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        """Return the name of the client: a unix socket has no address."""
        return "user"


class Server(socketserver.ThreadingUnixStreamServer):
    """A server on a unix socket."""

    daemon_threads = True


def main() -> int:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True)
    with Server(parser.parse_args().socket, Handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
