# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP server of the hub, with limits per account and per request, which trusts headers of the proxy only.

The configuration file replaces the class that JupyterHub uses: `HTTPServer.configure(HubServer, ...)`.
"""

from __future__ import annotations

import pwd
import socket
import time
from collections import Counter as Numbers
from collections.abc import Iterable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, ResponseStartLine
from tornado.iostream import IOStream
from tornado.netutil import bind_unix_socket
from tornado.web import OutputTransform

from gpulab_hub.failures import Counter
from gpulab_hub.helper_socket import peer_uid

UNKNOWN = "0.0.0.0"  # noqa: S104  # not an address to listen on
"""The address that tornado reports for a client of a unix socket."""
HIDDEN = ("Server", "X-JupyterHub-Version")
"""Headers that reveal versions; users' servers compare their version with the second one."""


class Excess(HTTPMessageDelegate):  # type: ignore[misc]
    """Answer to a request that exceeds the rate of an account, without any work of the hub."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def finish(self) -> None:
        """Send status 429 with the time of the next attempt, and close the connection."""
        headers = HTTPHeaders({"Content-Length": "0", "Retry-After": "1", "Connection": "close"})
        self.connection.write_headers(ResponseStartLine("HTTP/1.1", 429, "Too Many Requests"), headers)
        self.connection.finish()


class HubServer(HTTPServer):  # type: ignore[misc]
    """HTTP server on two sockets: one for all accounts, with limits, and one for the proxy only.

    The proxy's socket has its own queue of connections, which users cannot fill. X-Forwarded-For is trusted from the
    accounts in `trusted` only (the proxy, the hub's own programs, root), and these have no limits.
    """

    def initialize(
        self,
        *arguments: Any,
        trusted: Iterable[str] = (),
        proxy_socket: str = "",
        connections: int = 256,
        rate: float = 20.0,
        burst: int = 200,
        **settings: Any,
    ) -> None:
        """Add limits per account: open connections, requests per second, and requests at once."""
        super().initialize(*arguments, **settings)
        self.trusted = {pwd.getpwnam(name).pw_uid for name in trusted}
        self.proxy_socket, self.most, self.burst = proxy_socket, connections, burst
        self.uids: dict[IOStream, int] = {}
        self.open: Numbers[int] = Numbers()
        self.requests = Counter(1 / rate, time.monotonic)

    def add_socket(self, socket: socket.socket) -> None:
        """Listen on the socket of all accounts, and on the proxy's."""
        super().add_socket(socket)
        if self.proxy_socket:
            self.add_sockets([bind_unix_socket(self.proxy_socket, mode=0o660)])

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a connection, or close it where its account has too many."""
        uid = peer_uid(stream.socket)
        if uid not in self.trusted and self.open[uid] >= self.most:
            stream.close()
            return
        self.uids[stream] = uid
        self.open[uid] += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        """Remove a closed connection from the count of its account."""
        uid = self.uids.pop(server_conn.stream)
        self.open[uid] -= 1
        if not self.open[uid]:
            del self.open[uid]
        super().on_close(server_conn)

    def start_request(self, server_conn: Any, request_conn: Any) -> HTTPMessageDelegate:
        """Trust headers of the proxy only, and reject requests over the rate of an account."""
        uid = self.uids.get(server_conn.stream)
        self.xheaders = uid in self.trusted
        if not self.xheaders:
            if self.requests.count(uid) >= self.burst:
                return Excess(request_conn)
            self.requests.add(uid)
        return super().start_request(server_conn, request_conn)


class SafeHeaders(OutputTransform):  # type: ignore[misc]
    """Headers of all answers of the hub: pages, errors and static files."""

    def __init__(self, request: Any) -> None:
        # Servers of users log a warning where the hub does not report its version.
        self.hidden = HIDDEN if request.remote_ip != UNKNOWN else HIDDEN[:1]

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        finishing: bool,  # noqa: ARG002
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Remove versions; set headers against guessed content types and against referrers to other sites."""
        for name in self.hidden:
            headers.pop(name, None)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        return status_code, headers, chunk
