# SPDX-License-Identifier: GPL-3.0-or-later
"""A user cannot take the place of another user's server, or open it: regression tests of earlier holes."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.hosts import as_hub, server_address, wait_for
from tests.support.hub import HubUser, Kernel, server_unit

SQUAT = """
import glob, socket, ssl, threading, time
def pages(server, context):
    while True:
        try:
            client, _ = server.accept()
            if context:
                client = context.wrap_socket(client, server_side=True)
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\n\\r\\nSQUATTE")
            client.close()
        except OSError:
            continue
import os
directory = os.environ["JUPYTER_RUNTIME_DIR"] + "/tls"
context = None
if os.path.isdir(directory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory + "/certificate.pem", directory + "/key.pem")
squatter = socket.socket()
squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for _ in range(100):
    try:
        squatter.bind(({address!r}, {port}))
        break
    except OSError:
        time.sleep(0.1)
squatter.listen()
threading.Thread(target=pages, args=(squatter, context), daemon=True).start()
print("listening")
"""
VISIT = """
import os, socket, ssl
directory = os.environ.get("JUPYTER_RUNTIME_DIR", "") + "/tls"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if {certificate}:
    context.load_cert_chain(directory + "/certificate.pem", directory + "/key.pem")
for secure in (False, True):
    try:
        client = socket.create_connection(({address!r}, {port}), timeout=20)
        if secure:
            client = context.wrap_socket(client)
        client.sendall(b"GET /user/{name}/api HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        print(client.recv(12))
    except OSError as error:
        print(type(error).__name__)
"""
ROUTE = """
import http.client, json, socket
connection = http.client.HTTPConnection("localhost", timeout=20)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/gpulab-proxy/api.sock")
token = open("/etc/gpulab/jupyterhub/proxy_token").read().strip()
headers = {{"Authorization": f"token {{token}}"}}
connection.request({method!r}, "/api/routes{path}", json.dumps({{"target": {target!r}}}), headers)
print(connection.getresponse().status)
"""


@pytest.fixture(scope="module")
def victim(neighbour: HubUser) -> str:
    """Return the name of a neighbour whose server runs."""
    neighbour.start_server()
    return neighbour.name


def test_other_user_cannot_serve_a_users_route(host: Any, kernel: Kernel, neighbour: HubUser, victim: str) -> None:
    """Even on the same address and port, with a valid certificate of an own server, the proxy rejects it."""
    address, port = server_address(host, victim)
    host.check_output("systemctl kill --kill-whom=all --signal=KILL %s", server_unit(host, victim))
    assert kernel.run(SQUAT.format(address=address, port=port)).strip() == "listening"
    try:
        answer = neighbour.web.get(f"{neighbour.base}/user/{victim}/api", timeout=60, allow_redirects=False)
        assert "SQUATTE" not in answer.text
        assert answer.status_code >= 300
    finally:
        kernel.run("squatter.close()")
        wait_for(lambda: host.run("systemctl is-active %s", server_unit(host, victim)).rc != 0)
        # The hub notices the lost server within half a minute; a stop makes it notice at once.
        neighbour.stop_server()
        neighbour.start_server()


def test_pages_of_other_users_are_not_opened(host: Any, kernel: Kernel, hub_user: HubUser, neighbour: HubUser) -> None:
    """A user's own program in the place of the server gets its own user's visits alone, whatever a link names."""
    address, port = server_address(host, hub_user.name)
    assert kernel.run(SQUAT.format(address=address, port=port + 1 if port < 60000 else port - 1)).strip() == "listening"
    page, url = f"/user/{hub_user.name}/own-page", f"https://{address}:{port + 1 if port < 60000 else port - 1}"
    assert as_hub(host, ROUTE.format(method="POST", path=page, target=url)).strip() == "201"
    try:
        assert "SQUATTE" in hub_user.web.get(f"{hub_user.base}{page}", timeout=60).text
        answer = neighbour.web.get(f"{neighbour.base}{page}", timeout=60)
        assert answer.status_code == 403
        assert "another user" in answer.text
        stranger = {"Sec-Fetch-Mode": "navigate"}
        for browser in (stranger, {"Accept": "text/html,*/*"}):
            answer = requests.get(f"{hub_user.base}{page}", headers=browser, verify=hub_user.verify, timeout=60)
            assert "/hub/login" in answer.url
        script = {**stranger, "Sec-Fetch-Mode": "cors"}
        assert neighbour.web.get(f"{neighbour.base}{page}", headers=script, timeout=60).status_code == 403
        token = {**stranger, "Authorization": "token x"}
        assert "SQUATTE" not in neighbour.web.get(f"{neighbour.base}{page}", headers=token, timeout=60).text
    finally:
        as_hub(host, ROUTE.format(method="DELETE", path=page, target=url))
        kernel.run("squatter.close()")


@pytest.mark.parametrize("with_key", [False, True])
def test_other_user_cannot_talk_to_a_users_server(host: Any, kernel: Kernel, victim: str, with_key: bool) -> None:
    """A server answers the hub and the proxy alone; an own server's certificate is not a client's."""
    address, port = server_address(host, victim)
    answers = kernel.run(VISIT.format(address=address, port=port, name=victim, certificate=with_key)).splitlines()
    assert len(answers) == 2
    assert not [line for line in answers if "HTTP" in line]


def test_key_of_a_server_is_its_users_alone(host: Any, kernel: Kernel, victim: str) -> None:
    """It is in memory that only the unit sees."""
    path = kernel.run("import os; key = os.environ['JUPYTERHUB_SSL_KEYFILE']; print(key, oct(os.stat(key).st_mode))")
    assert path.split()[1] == "0o100600"
    assert not host.file(path.split()[0]).exists
    uid = str(host.user(victim).uid)
    assert host.run("setpriv --reuid=nobody --regid=nogroup --clear-groups cat /run/gpulab/servers/%s", uid).rc == 1
    environment = host.file(f"/run/gpulab/servers/{uid}")
    assert (environment.user, environment.mode) == ("root", 0o600)
