# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of the proxy for slow clients, many connections and port 80, on a second proxy with low limits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.support.expected import Expected

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
    until = time.monotonic() + 60
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
    assert float(second_proxy(code + "print(time.monotonic() - began)")) < 25


def test_bodies_that_do_not_end_are_closed(second_proxy: Callable[[str], str]) -> None:
    """When less arrives than the least rate."""
    head = 'b"POST /hub/login HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 1000\\r\\n\\r\\nusername"'
    code = f"c = client()\nc.sendall({head})\nc.settimeout(30)\nbegan = time.monotonic()\n"
    status, seconds = second_proxy(code + "print(answer(c), time.monotonic() - began, sep=';')").split(";")
    assert "408" in status
    assert float(seconds) < 25


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
