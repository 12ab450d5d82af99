# SPDX-License-Identifier: GPL-3.0-or-later
"""jupyter-server-proxy for a shared host: connects to the user's own programs only, without the user's login.

Replaces the extension `jupyter_server_proxy`, which it loads with changed handlers. All of them (ports, HOST:PORT,
named servers, websockets) are subclasses of ProxyHandler, so that class is changed.
"""

from __future__ import annotations

import os
from typing import Any

import jupyter_server_proxy
from jupyter_server_proxy import handlers, rawsocket, websocket
from tornado import httputil, web
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

from gpulab_server import credentials, listeners


def own(host: str, port: int) -> tuple[str, frozenset[listeners.Listener]]:
    """Return the address and the sockets of the user's own program on a port; raise PortRejectedError for others."""
    return listeners.choose(listeners.read(), host, port, os.getuid())


class OwnListenersClient(TCPClient):  # type: ignore[misc]
    """TCP client that connects to listeners of its own uid only.

    A socket that listened before the connection and still does has accepted it: the kernel binds no second socket of
    another uid to the same address. So nothing is sent to another user who takes the port between check and connect.
    """

    async def connect(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        """Return a stream to the program; PortRejectedError before the first byte is sent."""
        address, sockets = own(host, port)
        stream = await super().connect(address, port, *arguments, **options)
        try:
            if own(host, port) != (address, sockets):
                raise listeners.PortRejectedError(f"Port {port} changed hands. Try again.", 503)
        except listeners.PortRejectedError:
            stream.close()
            raise
        return stream


class OwnListenersWebSocket(websocket.PingableWSClientConnection):  # type: ignore[misc]
    """A websocket to a program of the own uid; programs on unix sockets have a resolver of their own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if options.get("resolver") is None:
            self.tcp_client = OwnListenersClient()


class Guarded(handlers.ProxyHandler):  # type: ignore[misc]
    """Methods that replace those of ProxyHandler, from which all handlers inherit."""

    upstream_prepare = handlers.ProxyHandler.prepare
    upstream_buffered = handlers.ProxyHandler._proxy_buffered  # these get the HTTP client
    upstream_progressive = handlers.ProxyHandler._proxy_progressive
    upstream_headers = handlers.ProxyHandler.proxy_request_headers
    upstream_uri = handlers.ProxyHandler.get_client_uri

    async def prepare(self, *arguments: Any, **options: Any) -> None:
        """Check the port of the address before a body is read or a websocket is accepted."""
        await Guarded.upstream_prepare(self, *arguments, **options)
        # Named servers have no port in their address.
        if self._finished or isinstance(self, handlers.NamedLocalProxyHandler):
            return
        host = self.path_args[0] if isinstance(self, handlers.RemoteProxyHandler) else "localhost"
        try:
            own(host, int(self.path_args[-2]))
        except listeners.PortRejectedError as error:
            raise web.HTTPError(error.status, str(error)) from error

    async def _proxy_buffered(self, host: str, port: Any, path: str, body: Any, client: Any) -> Any:
        return await Guarded.upstream_buffered(self, host, port, path, body, guarded_client(self, client))

    async def _proxy_progressive(self, host: str, port: Any, path: str, body: Any, client: Any) -> Any:
        return await Guarded.upstream_progressive(self, host, port, path, body, guarded_client(self, client))

    def proxy_request_headers(self) -> httputil.HTTPHeaders:
        """Return the headers for the program, without the hub's cookies and without the token of the login."""
        headers = Guarded.upstream_headers(self)
        kept = credentials.cookies(headers.get_list("Cookie"))
        headers.pop("Cookie", None)
        if kept:
            headers["Cookie"] = kept
        if "Referer" in headers:
            page = headers["Referer"]
            headers["Referer"] = credentials.address(page, page.partition("?")[2])
        # Another token belongs to the program itself.
        if self.token_authenticated:
            headers.pop("Authorization", None)
        return headers

    def get_client_uri(self, protocol: str, host: str, port: Any, proxied_path: str) -> str:
        """Return the program's address without the token of the login."""
        uri: str = Guarded.upstream_uri(self, protocol, host, port, proxied_path)
        return credentials.address(uri, self.request.query) if self.token_authenticated else uri


def guarded_client(handler: Any, client: Any) -> Any:
    """Return the HTTP client of a request: the given one for a unix socket, else one for own listeners only."""
    if handler.unix_socket is not None:
        return client
    client = SimpleAsyncHTTPClient(force_instance=True)
    client.tcp_client = OwnListenersClient()
    return client


async def no_raw_tcp(handler: Any, protocol: Any) -> Any:
    """Connect a raw proxy to its unix socket; reject TCP ports, which no program here uses."""
    if handler.unix_socket is None:
        raise web.HTTPError(403, "Raw connections are proxied to unix sockets only.")
    return await upstream_raw(handler, protocol)


upstream_raw = rawsocket.RawSocketHandler._create_ws_connection  # the only place that connects


def guard() -> None:
    """Replace methods of all handlers of jupyter-server-proxy in this process."""
    for name in ("prepare", "_proxy_buffered", "_proxy_progressive", "proxy_request_headers", "get_client_uri"):
        setattr(handlers.ProxyHandler, name, Guarded.__dict__[name])
    websocket.PingableWSClientConnection = OwnListenersWebSocket
    rawsocket.RawSocketHandler._create_ws_connection = no_raw_tcp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "gpulab_server.proxy"}]


def _load_jupyter_server_extension(app: Any) -> None:
    guard()
    jupyter_server_proxy._load_jupyter_server_extension(app)  # Jupyter's name for it
