"""What the proxy accepts: bodies by sender, clients that never finish, floods, and what pages show to strangers."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import websocket

from tests.support.expected import Expected
from tests.support.hub import HubUser

UNIT = "verify-proxy"
TOTAL = 40
"""Most connections of a second proxy: a quarter of the files that it may open."""
PORT, REDIRECT = 18443, 18080
LIMITS = {
    "upload": 1 << 20,
    "hub_body": 65536,
    "connections": 5,
    "header_seconds": 2,
    "body_rate": 10,
    "body_seconds": 2,
}
"""Of a second proxy, which the tests start with low limits."""
CLIENT = """
import socket, ssl, sys, time
def client(address="127.0.0.1", port={port}, tls=True):
    plain = socket.create_connection((address, port), 20)
    if not tls:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname="localhost")
def answer(connection):
    '''Return the status line, or nothing where the connection was closed without one.'''
    try:
        return connection.recv(65536).split(b"\\r\\n")[0].decode()
    except OSError:
        return ""
"""


class Raw:
    """One connection to the hub's proxy, for requests that no library sends."""

    def __init__(self, base: str, timeout: float = 30) -> None:
        self.url = urlsplit(base)
        self.socket: socket.socket = socket.create_connection((self.url.hostname, self.url.port), timeout)
        if self.url.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket, server_hostname=self.url.hostname)

    def ask(self, line: str, headers: dict[str, str], body: bytes = b"") -> int:
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
    assert Raw(hub_url).ask("POST /hub/login", length) == 413


def test_bodies_without_a_length_are_cut(hub_url: str) -> None:
    """They are cut as soon as they exceed the limit."""
    body = b"10000\r\n" + b"x" * 65536 + b"\r\n" + b"10\r\n" + b"x" * 16 + b"\r\n"
    assert Raw(hub_url).ask("POST /hub/login", {"Transfer-Encoding": "chunked"}, body) == 413


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
        assert Raw(hub_user.base).ask(f"PUT {path}{query}", {**headers, **framing}) == 403


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
    assert Raw(hub_user.base).ask(f"PUT {path}", length) == 413
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


@pytest.fixture(scope="module")
def second_proxy(host: Any, expected: Expected) -> Iterator[Callable[[str], str]]:
    """Start a second proxy with low limits, and return what runs a client's program on the host."""
    if not expected.disposable or expected.hub["tls"] == "none":
        pytest.skip("this host is live or has no TLS: no second proxy is started on it")
    text = host.file("/etc/gpulab/jupyterhub/proxy.mjs").content_string
    for pattern, new in (
        (r"^const limits = .*$", f"const limits = {json.dumps(LIMITS)};"),
        (r"^const hasOwnCertificate = .*$", "const hasOwnCertificate = true;"),
        (r"^const redirectPort = .*$", f"const redirectPort = {REDIRECT};"),
        (r"(listening\(proxy\.proxyServer, )\d+", rf"\g<1>{PORT}"),
    ):
        text, number = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert number == 1, pattern
    host.run("printf %%s %s > /run/verify-proxy.mjs", text)
    node = "/opt/gpulab/hub/current/node"
    options = f"--quiet --property LimitNOFILE={4 * TOTAL} --unit {UNIT}"
    host.check_output(f"systemd-run {options} {node} /run/verify-proxy.mjs /run/verify-proxy.sock")
    until = time.monotonic() + 20
    while not host.socket(f"tcp://0.0.0.0:{REDIRECT}").is_listening:
        assert time.monotonic() < until, host.check_output("journalctl -u %s -n 20", UNIT)
        time.sleep(0.2)
    yield lambda code: str(host.check_output("/usr/bin/python3 -c %s", CLIENT.format(port=PORT) + code)).strip()
    host.run("systemctl stop %s; rm -f /run/verify-proxy.*", UNIT)


@pytest.mark.parametrize("sent", ['b""', 'b"GET /hub/login HTTP/1.1\\r\\nHost: x\\r\\n"'])
@pytest.mark.parametrize("tls", [True, False])
def test_requests_that_do_not_begin_are_closed(second_proxy: Callable[[str], str], sent: str, tls: bool) -> None:
    """After some seconds for the TLS handshake, the head of a request, or nothing at all."""
    code = f"c = client(tls={tls})\nc.sendall({sent})\nc.settimeout(30)\nbegan = time.monotonic()\nanswer(c)\n"
    assert float(second_proxy(code + "print(time.monotonic() - began)")) < 10


def test_bodies_that_do_not_end_are_closed(second_proxy: Callable[[str], str]) -> None:
    """When less arrives than the least rate."""
    head = 'b"POST /hub/login HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 1000\\r\\n\\r\\nusername"'
    code = f"c = client()\nc.sendall({head})\nc.settimeout(30)\nbegan = time.monotonic()\n"
    status, seconds = second_proxy(code + "print(answer(c), time.monotonic() - began, sep=';')").split(";")
    assert "408" in status
    assert float(seconds) < 8


def test_slow_honest_bodies_arrive(second_proxy: Callable[[str], str]) -> None:
    """Longer than any other limit of time, at a rate that is enough."""
    head = 'b"POST /hub/login HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 280\\r\\n\\r\\n"'
    code = f"c = client()\nc.sendall({head})\nfor _ in range(14):\n    c.sendall(b'x' * 20)\n    time.sleep(0.5)\n"
    status = second_proxy(code + "print(answer(c))")
    assert "403" in status or "400" in status  # the hub's own answer to a form without its token


def test_connections_of_one_address_are_limited(host: Any, second_proxy: Callable[[str], str]) -> None:
    """Closed connections free their place; the host's own, which may be SSH tunnels of many users, do not count."""
    address = host.check_output("hostname -I").split()[0]
    code = f"""
head = b"HEAD /hub/health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
def try_all(address, number):
    answers, kept = [], []
    for _ in range(number):
        try:
            kept.append(client(address))
        except OSError:
            answers.append("closed")
    for c in kept:
        c.sendall(head)
    answers = [answer(c)[9:12] for c in kept] + answers
    for c in kept:
        c.close()
    time.sleep(0.5)
    return answers
print(try_all("{address}", 7), try_all("{address}", 2), try_all("127.0.0.1", 8), sep=";")
"""
    first, second, own = (re.findall(r"\w+", part) for part in second_proxy(code).split(";"))
    assert first == ["200"] * 5 + ["closed"] * 2
    assert second == ["200"] * 2
    assert own == ["200"] * 8


def test_connections_are_limited_in_total(second_proxy: Callable[[str], str]) -> None:
    """So that files for the hub and the servers remain."""
    code = f"""
kept = []
for _ in range({TOTAL} + 3):
    try:
        kept.append(client())
    except OSError:
        pass
kept[0].sendall(b"HEAD /hub/health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
print(len(kept), answer(kept[0])[9:12])
"""
    assert second_proxy(code) == f"{TOTAL} 200"


def test_clients_do_not_choose_the_address_in_the_log(host: Any, hub_url: str, certificate: str | bool) -> None:
    """Where a header of theirs did, a ban could be dodged or aimed at others."""
    name = f"verify-{time.time_ns()}"
    head = {"X-Real-IP": "192.0.2.7", "Content-Type": "application/x-www-form-urlencoded"}
    requests.get(f"{hub_url}/hub/{name}", headers=head, verify=certificate, timeout=60)
    logged = host.check_output("journalctl -u gpulab-hub --since -1min --no-pager | grep %s", name)
    assert "192.0.2.7" not in logged


def test_port_80_redirects_to_https_alone(second_proxy: Callable[[str], str], expected: Expected) -> None:
    """To the host that the browser named; nothing else is answered there."""
    code = f"""
for line, name in (("GET /hub/login?next=x", "lab.example:80"), ("GET //evil.example", "[::1]"),
                   ("POST /hub/login", "lab.example"), ("GET http://evil.example/", "lab.example"),
                   ("GET /", "evil.example/x")):
    c = client(port={REDIRECT}, tls=False)
    c.sendall((line + " HTTP/1.1\\r\\nHost: " + name + "\\r\\n\\r\\n").encode())
    text = c.recv(65536).decode().split("\\r\\n\\r\\n")[0]
    print(text.split()[1], *[each[10:] for each in text.split("\\r\\n") if each.lower().startswith("location")])
"""
    port = "" if expected.hub["port"] == 443 else f":{expected.hub['port']}"
    assert second_proxy(code).splitlines() == [
        f"308 https://lab.example{port}/hub/login?next=x",
        f"308 https://[::1]{port}//evil.example",
        *["400"] * 3,
    ]


def test_hsts_is_sent_with_a_real_certificate_alone(
    second_proxy: Callable[[str], str], hub_url: str, certificate: str | bool, expected: Expected
) -> None:
    """Where a browser once accepted a generated one, it would lock its user out."""
    code = 'c = client()\nc.sendall(b"GET /hub/login HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")\nprint(c.recv(65536).decode())'
    assert "Strict-Transport-Security: max-age=31536000" in second_proxy(code)
    answer = requests.get(f"{hub_url}/hub/login", verify=certificate, timeout=60)
    assert ("Strict-Transport-Security" in answer.headers) == (expected.hub["tls"] == "own")


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
