# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP server of the local mirror."""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import requests

if TYPE_CHECKING:
    from tests.support.mirror import Mirror

PASSED_ON = ("Content-Type", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified")


def handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers requests."""
    session = requests.Session()
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=32))
    remote = {"apt": mirror.upstream.apt, "apt-security": mirror.upstream.apt_security}

    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
            """Print nothing."""

        def do_GET(self) -> None:
            """Answer with an own page, or with the source's answer."""
            mirror.requested.append(self.path)
            fails = bool(mirror.broken) and mirror.broken in unquote(self.path)
            if fails and mirror.how == "500":
                self.page(b"the mirror is out of order", "text/plain", 500)
                return
            kind, _, rest = self.path.lstrip("/").partition("/")
            if kind in remote:
                self.pass_on(f"{remote[kind].rstrip('/')}/{rest}", half=fails)
            elif kind == "file":
                scheme, _, place = rest.partition("/")
                self.pass_on(f"{scheme}://{place}", half=fails)
            elif kind == "pip":
                self.index(rest.partition("/")[2])
            elif kind == "npm":
                self.packument(rest)
            elif kind == "wheels":
                self.wheels(unquote(rest))
            else:
                self.page(b"", "text/plain", 404)

        def do_HEAD(self) -> None:
            """Answer as to GET, without the body."""
            self.do_GET()

        def page(self, body: bytes, content_type: str, status: int = 200) -> None:
            """Send a short answer."""
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def pass_on(self, url: str, half: bool = False) -> None:
            """Send the source's answer, or the first half of it."""
            headers = {
                name: self.headers[name] for name in ("Range", "Accept", "If-None-Match") if name in self.headers
            }
            answer = session.request(
                self.command, url, headers={"Accept-Encoding": "identity", **headers}, stream=True, timeout=120
            )
            with answer:
                self.send_response(answer.status_code)
                size = answer.headers.get("Content-Length")
                for name in PASSED_ON:
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header(*(("Content-Length", size) if size else ("Connection", "close")))
                self.end_headers()
                left = int(size or 0) // 2
                for chunk in answer.iter_content(1 << 18) if self.command == "GET" else ():
                    self.wfile.write(chunk[:left] if half else chunk)
                    left -= len(chunk)
                    if half and left <= 0:
                        break
            self.close_connection = half or not size

        def index(self, name: str) -> None:
            """Send a page of the simple index in the source's format, with files that point back to the mirror."""
            if not name:
                self.page(b"<!DOCTYPE html>", "text/html")
                return
            url = urljoin(mirror.upstream.pip.rstrip("/") + "/", name)
            answer = session.get(url, headers={"Accept": self.headers.get("Accept", "text/html")}, timeout=120)
            kind = answer.headers.get("Content-Type", "text/html")
            if "json" in kind and answer.status_code == 200:
                page = answer.json()
                for entry in page["files"]:
                    entry["url"] = here(urljoin(url, entry["url"]))
                text = json.dumps(page)
            else:
                text = re.sub(r'href="([^"]*)"', lambda found: f'href="{here(urljoin(url, found[1]))}"', answer.text)
            self.page(text.encode(), kind, answer.status_code)

        def packument(self, name: str) -> None:
            """Send the npm registry's page of a package, with archives that point back to the mirror."""
            if not name:
                self.page(b"{}", "application/json")
                return
            url = mirror.upstream.npm.rstrip("/") + "/" + name
            answer = session.get(url, headers={"Accept": self.headers.get("Accept", "*/*")}, timeout=120)
            if answer.status_code != 200:
                self.page(b"{}", "application/json", answer.status_code)
                return
            page = answer.json()
            for version in page.get("versions", {}).values():
                version["dist"]["tarball"] = mirror.address + here(version["dist"]["tarball"])
            self.page(json.dumps(page).encode(), answer.headers["Content-Type"])

        def wheels(self, name: str) -> None:
            """Send the page of wheels, or one of them."""
            if not name:
                names = [path.name for directory in mirror.upstream.wheels for path in sorted(directory.glob("*.whl"))]
                body = "".join(f'<a href="{quote(name)}">{name}</a>\n' for name in names)
                self.page(body.encode(), "text/html")
                return
            path = next(
                (directory / name for directory in mirror.upstream.wheels if (directory / name).is_file()), None
            )
            if path is None or "/" in name:
                self.page(b"", "text/plain", 404)
                return
            self.page(path.read_bytes(), "application/octet-stream")

    return Handler


class Server(ThreadingHTTPServer):
    """A server that prints no error when a client closes its connection early."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report every other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def here(url: str) -> str:
    """Return the mirror's path of a file."""
    parts = urlsplit(url)
    return f"/file/{parts.scheme}/{parts.netloc}{parts.path}" + (f"#{parts.fragment}" if parts.fragment else "")
