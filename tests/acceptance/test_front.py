# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proxy accepts: bodies by sender, clients that never finish, floods, and what pages show to strangers."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import websocket

from tests.support.expected import Expected
from tests.support.hub import HubUser


class Raw:
    """One connection to the hub's proxy, for requests that no library sends."""

    def __init__(self, base: str, timeout: float = 30) -> None:
        self.url = urlsplit(base)
        self.socket: socket.socket = socket.create_connection((self.url.hostname, self.url.port), timeout)
        if self.url.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket, server_hostname=self.url.hostname)

    def send(self, line: str, headers: dict[str, str], body: bytes = b"") -> int:
        """Send the head of a request and the beginning of its body; return the status of the answer."""
        lines = [
            f"{line} HTTP/1.1",
            f"Host: {self.url.netloc}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return int(self.socket.recv(65536).split()[1])


def test_large_bodies_for_the_hub_are_rejected_before_they_are_read(hub_url: str) -> None:
    """By the length in the header: the answer comes before any of the body was sent."""
    length = {"Content-Length": str(90 << 20), "Content-Type": "application/x-www-form-urlencoded"}
    assert Raw(hub_url).send("POST /hub/login", length) == 413


def test_bodies_without_a_length_are_cut(hub_url: str) -> None:
    """They are cut as soon as they exceed the limit."""
    body = b"10000\r\n" + b"x" * 65536 + b"\r\n" + b"10\r\n" + b"x" * 16 + b"\r\n"
    assert Raw(hub_url).send("POST /hub/login", {"Transfer-Encoding": "chunked"}, body) == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "token of-nobody"},
        {"Authorization": "Bearer of-nobody"},
        {"Authorization": "Basic eDp5"},
        {"Cookie": "__Host-gpulab-server=9999999999.00"},
        {"Origin": "https://evil.example"},
    ],
)
@pytest.mark.parametrize("framing", [{"Content-Length": str(50 << 20)}, {"Transfer-Encoding": "chunked"}])
def test_strangers_bodies_do_not_reach_servers(
    hub_user: HubUser, headers: dict[str, str], framing: dict[str, str]
) -> None:
    """Without a login or with an unknown one; the answer comes before the body."""
    path = f"/user/{hub_user.name}/api/contents/verify-front"
    for query in ("", "?token=of-nobody"):
        assert Raw(hub_user.base).send(f"PUT {path}{query}", {**headers, **framing}) == 403


@pytest.fixture
def saved(hub_user: HubUser) -> Iterator[str]:
    """Return the address of a file in the user's home, which is removed at the end."""
    url = f"{hub_user.base}/user/{hub_user.name}/api/contents/verify-front.txt"
    yield url
    hub_user.web.delete(url, headers=server_headers(hub_user), timeout=60)


def server_headers(hub_user: HubUser) -> dict[str, str]:
    """Return the header by which the server's own pages prove themselves."""
    tokens = {cookie.path: str(cookie.value) for cookie in hub_user.web.cookies if cookie.name == "_xsrf"}
    return {"X-XSRFToken": tokens[f"/user/{hub_user.name}/"]}


def content(size: int) -> dict[str, str]:
    """Return a file as JupyterLab saves it."""
    return {"type": "file", "format": "text", "content": "x" * size}


def test_users_save_large_files_in_their_browser(hub_user: HubUser, saved: str) -> None:
    """In one request, as a notebook with pictures is."""
    answer = hub_user.web.put(saved, json=content(20 << 20), headers=server_headers(hub_user), timeout=120)
    assert answer.status_code in (200, 201), answer.text[:300]


def test_users_upload_by_chunks_as_jupyterlab_does(hub_user: HubUser, saved: str) -> None:
    """Larger files are sent in pieces, one request each."""
    for chunk in (1, 2, -1):
        answer = hub_user.web.put(
            saved, json={**content(1 << 20), "chunk": chunk}, headers=server_headers(hub_user), timeout=120
        )
        assert answer.status_code in (200, 201), answer.text[:300]


def test_programs_with_a_token_save_files(hub_user: HubUser, saved: str) -> None:
    """Without a browser and its cookies, with a length and without."""
    url = f"{hub_user.base}/hub/api/users/{hub_user.name}/tokens"
    token = hub_user.web.post(url, json={"expires_in": 300}, headers=hub_user._xsrf(), timeout=60).json()
    try:
        program = {"Authorization": f"token {token['token']}"}
        for data in (json.dumps(content(1 << 20)).encode(), iter([json.dumps(content(10)).encode()])):
            answer = requests.put(saved, data=data, headers=program, verify=hub_user.verify, timeout=60)
            assert answer.status_code in (200, 201), answer.text[:300]
    finally:
        hub_user.web.delete(f"{url}/{token['id']}", headers=hub_user._xsrf(), timeout=60)


def test_more_than_the_limit_is_rejected_for_users_too(host: Any, hub_user: HubUser) -> None:
    """What a server would keep in memory is bounded, and the server itself has the same bound."""
    path = f"/user/{hub_user.name}/api/contents/verify-front"
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in hub_user.web.cookies)
    length = {"Content-Length": str(limits(host)["upload"] + 1), "Cookie": cookies}
    assert Raw(hub_user.base).send(f"PUT {path}", length) == 413
    config = host.file("/etc/gpulab/jupyterhub/jupyterhub_config.py").content_string
    for option in ("max_body_size", "max_buffer_size"):
        assert f"--ServerApp.{option}={limits(host)['upload']}" in config


def limits(host: Any) -> dict[str, int]:
    """Return the limits that the running proxy was started with."""
    text = host.file("/etc/gpulab/jupyterhub/proxy.mjs").content_string
    found = re.search(r"^const limits = (\{.*\});$", text, re.MULTILINE)
    assert found
    return dict(json.loads(found[1]))


def test_memory_of_the_proxy_is_bounded(host: Any) -> None:
    """Restarting it ends no user's server."""
    shown = host.check_output("systemctl show --property MemoryMax,Restart gpulab-proxy")
    assert dict(line.split("=") for line in shown.splitlines()) == {"MemoryMax": str(2 << 30), "Restart": "always"}


def test_clients_do_not_choose_the_address_in_the_log(host: Any, hub_url: str, certificate: str | bool) -> None:
    """Where a header of theirs did, a ban could be dodged or aimed at others."""
    name = f"verify-{time.time_ns()}"
    head = {"X-Real-IP": "192.0.2.7", "Content-Type": "application/x-www-form-urlencoded"}
    requests.get(f"{hub_url}/hub/{name}", headers=head, verify=certificate, timeout=60)
    logged = host.check_output("journalctl -u gpulab-hub --since -1min --no-pager | grep %s", name)
    assert "192.0.2.7" not in logged


PAGES = (
    *("hub/login", "hub/home", "hub/token", "hub/api", "hub/no-such-page", "no-such-page", "hub/health", "hub/logo"),
    *(
        "user/{name}/lab",
        "user/{name}/api",
        "user/{name}/api/contents/none",
        "user/{name}/no-such-page",
        "user/nobody/",
    ),
)


@pytest.mark.parametrize("page", PAGES)
def test_headers_of_pages(hub_user: HubUser, expected: Expected, page: str) -> None:
    """For users and strangers, redirects and errors too: no versions, no guessed types, cookies for this host alone."""
    url = f"{hub_user.base}/{page.format(name=hub_user.name)}"
    browser = {"Accept": "text/html"}
    for answer in (
        hub_user.web.get(url, allow_redirects=False, headers=browser, timeout=60),
        requests.get(url, allow_redirects=False, headers=browser, verify=hub_user.verify, timeout=60),
        requests.post(url, allow_redirects=False, headers=browser, verify=hub_user.verify, timeout=60),
    ):
        assert not {"Server", "X-Powered-By", "X-JupyterHub-Version"} & set(answer.headers), answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Referrer-Policy" in answer.headers
        for cookie in answer.raw.headers.getlist("Set-Cookie"):
            assert "samesite=" in cookie.lower()
            assert "secure" in cookie.lower() or expected.hub["tls"] == "none"


def test_headers_of_rejected_websockets(hub_user: HubUser) -> None:
    """They are written by another part of the proxy."""
    url = f"{hub_user.base}/user/{hub_user.name}/api/kernels/0/channels".replace("http", "ws", 1)
    with pytest.raises(websocket.WebSocketBadStatusException) as rejected:
        websocket.create_connection(url, timeout=60, sslopt={"cert_reqs": 0}, suppress_origin=True)
    assert rejected.value.status_code in (403, 404)
    assert not {"server", "x-jupyterhub-version"} & set(rejected.value.resp_headers or {})
