# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients without an account: floods of wrong passwords, large requests, connections, and what answers reveal."""

from __future__ import annotations

import json
import shlex
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.accounts import Account
from tests.support.expected import Expected
from tests.support.paths import ROOT
from tests.support.shell import Shell

FLOOD = ROOT / "tests" / "support" / "flood.py"
SOCKET = "/run/gpulab-hub/hub.sock"
CONNECTIONS = 256
"""Connections that one account may have to the hub (jupyterhub_config.py)."""
PATIENCE = 30.0
"""Most seconds that a right login may take in a flood; on a quiet host it takes less than three."""
UNIX = f"""
import http.client, re, socket, urllib.parse
class Hub(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect({SOCKET!r})
"""


def flood(host: Any, **task: Any) -> dict[str, Any]:
    """Run flood.py on the host."""
    text = json.dumps({"names": ["root"], "sources": ["127.0.0.100"], "rate": 0, "seconds": 0, "logins": [], **task})
    program = FLOOD.read_text(encoding="utf-8")
    script = f"python3 -c \"$(cat <<'PROGRAM'\n{program}\nPROGRAM\n)\" <<'TASK'\n{text}\nTASK"
    result: dict[str, Any] = json.loads(host.check_output(script))
    return result


def other_work(host: Any) -> float:
    """Return how many times fewer logins this host can check, because it does other things than run this test."""
    load = float(host.check_output("cut -d ' ' -f 1 /proc/loadavg")) / int(host.check_output("nproc"))
    return min(8, max(1, 2 * load))


@pytest.fixture(scope="module")
def port(expected: Expected) -> int:
    """Return the hub's port, where it is open to all loopback addresses and the host is disposable."""
    if not expected.disposable or expected.hub["address"] != "0.0.0.0" or expected.hub["tls"] == "none":
        pytest.skip("needs a disposable host whose hub listens on all addresses with TLS")
    return int(expected.hub["port"])


@pytest.mark.parametrize("number", [1, 50], ids=["one address", "fifty addresses"])
def test_right_login_gets_in_during_a_flood(host: Any, port: int, account: Account, number: int) -> None:
    """50 wrong passwords a second, for her name too, keep no right login out that comes from another address."""
    # The loopback, in the network of the flood and in another one, and the host's own address.
    own = host.check_output("hostname -I").split()[0]
    logins = [["127.0.0.1", "127.0.0.99"], ["127.0.0.1", "127.77.0.1"], [own, own]]
    right = [[*each, account.name, account.word, 2 * place] for place, each in enumerate(logins, 1)]
    rate = int(50 / other_work(host))
    sources = [f"127.0.{number}.{last}" for last in range(1, number + 1)]
    names = [account.name, "root", "verify-nobody"]
    result = flood(host, port=port, sources=sources, names=names, rate=rate, seconds=8, logins=right)
    assert [status for status, _ in result["logins"]] == [302] * 3, (rate, result)
    assert max(taken for _, taken in result["logins"]) <= PATIENCE, (rate, result)
    # The flood was one, and was not checked: it was rejected.
    assert sum(result["wrong"].values()) >= 6 * rate, (rate, result)
    assert set(result["wrong"]) <= {"403", "429", "503"}, result
    assert result["wrong"].get("403", 0) <= 200, result


def test_wrong_passwords_are_answered_with_the_time_to_wait(host: Any, port: int, account: Account) -> None:
    """The sixth one of an address for a name; other names, other addresses and the account itself are free."""
    wrong = [["127.0.0.1", "127.5.0.1", account.name, f"wrong-{place}", 0] for place in range(8)]
    statuses = [status for status, _ in flood(host, port=port, logins=wrong)["logins"]]
    assert sorted(statuses) == [403] * 5 + [429] * 3
    right = [["127.0.0.1", source, account.name, account.word, 0] for source in ("127.5.0.1", "127.5.0.2")]
    assert [status for status, _ in flood(host, port=port, logins=right)["logins"]] == [429, 302]
    journal = host.check_output("journalctl --no-pager --output=cat --unit=gpulab-hub --since=-2min")
    assert f"Login failed ('{account.name}'@127.5.0.1): wrong" in journal
    assert "Logins from 127.5.0.1 are rejected: Too many wrong passwords for this name" in journal
    assert f"Login of {account.name} from 127.5.0.2" in journal


def test_class_behind_one_address_gets_in(host: Any, port: int, account: Account) -> None:
    """Forty right logins within a second, from an address without earlier logins; fewer on a busy host."""
    number = int(40 / other_work(host))
    logins = [["127.0.0.1", "127.6.0.1", account.name, account.word, place / 40] for place in range(number)]
    found = flood(host, port=port, logins=logins)["logins"]
    assert [status for status, _ in found] == [302] * number, found


def test_browser_is_told_when_to_try_again(hub_url: str, certificate: str | bool, host: Any, port: int) -> None:
    """Retry-After, and a sentence on the login page."""
    script = f"""
import json, sys
sys.argv = ["flood"]
exec(open("/dev/stdin").read().split("def main")[0])
for number in range(7):
    browser = Browser("127.0.0.1", "127.8.0.1", {port})
    browser.open_page()
    form = {{"username": "verify-nobody", "password": "wrong", "_xsrf": browser.token}}
    headers = {{"Cookie": "; ".join(f"{{name}}={{value}}" for name, value in browser.cookies.items())}}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    browser.connection.request("POST", "/hub/login", urllib.parse.urlencode(form), headers)
    answer = browser.connection.getresponse()
    text = answer.read().decode()
print(json.dumps([answer.status, answer.headers["Retry-After"], text]))
"""
    program = FLOOD.read_text(encoding="utf-8")
    output = host.check_output(f"python3 -c \"$(cat <<'A'\n{script}\nA\n)\" <<'B'\n{program}\nB")
    status, retry, text = json.loads(output)
    assert status == 429
    assert 1 <= int(retry) <= 60
    assert f"try again in {retry} seconds" in text


def test_headers_of_a_users_program_are_not_believed(host: Any, ssh: Shell) -> None:
    """Only the proxy names the address of a client; a ban cannot be aimed at others."""
    code = f"""{UNIX}
hub = Hub("localhost")
hub.request("GET", "/hub/login")
page = hub.getresponse()
token = re.search(r'name="_xsrf"\\s+value="([^"]+)"', page.read().decode())[1]
form = urllib.parse.urlencode({{"username": "verify-forged", "password": "wrong", "_xsrf": token}})
cookie = page.headers["Set-Cookie"].partition(";")[0]
hub.request("POST", "/hub/login", form, {{"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded",
    "X-Forwarded-For": "8.8.8.8", "X-Real-IP": "8.8.8.8"}})
print(hub.getresponse().status)
"""
    assert ssh.python(code).stdout.strip() in ("403", "429")
    journal = host.check_output("journalctl --no-pager --output=cat --unit=gpulab-hub --since=-2min")
    assert "8.8.8.8" not in journal
    assert "'verify-forged'@0.0.0.0" in journal or "Logins from 0.0.0.0" in journal


def test_connections_of_one_account_are_limited(host: Any, hub_url: str, certificate: str | bool, ssh: Shell) -> None:
    """A user who opens as many as possible blocks no other user and uses up no files of the hub."""
    code = f"""{UNIX}
import select, sys, time
held = []
for number in range(700):
    hub = Hub("localhost")
    try:
        hub.connect()
    except OSError:
        continue
    held.append(hub.sock)
time.sleep(2)
print(sum(not select.select([each], [], [], 0)[0] for each in held), flush=True)
sys.stdin.read()
"""
    shell = ssh.start(f"python3 -c {shlex.quote(code)}")
    assert shell.stdin
    assert shell.stdout
    try:
        assert int(shell.stdout.readline()) <= CONNECTIONS
        assert requests.get(f"{hub_url}/hub/login", verify=certificate, timeout=PATIENCE).status_code == 200
        files = host.check_output("ls /proc/$(systemctl show -P MainPID gpulab-hub)/fd | wc -l")
        assert int(files) < CONNECTIONS + 100
    finally:
        shell.stdin.close()
        shell.wait(30)


def test_requests_of_one_account_are_limited(ssh: Shell) -> None:
    """More than 20 a second are answered without work, and soon after it is served again."""
    code = f"""{UNIX}
import concurrent.futures, time
def status(_):
    hub = Hub("localhost")
    hub.request("GET", "/hub/api/")
    code = hub.getresponse().status
    hub.close()
    return code
with concurrent.futures.ThreadPoolExecutor(10) as threads:
    statuses = list(threads.map(status, range(600)))
print(statuses.count(429), set(statuses))
time.sleep(2)
hub = Hub("localhost")
hub.request("GET", "/hub/api/")
print(hub.getresponse().status)
"""
    first, last = ssh.python(code).stdout.splitlines()
    assert first.split(maxsplit=1)[1] in ("{200, 429}", "{429, 200}"), first
    assert last == "200"


def test_hub_ends_before_users_work(host: Any) -> None:
    """Limits of the hub's unit, and journald's for it: more lines than the hub writes in a flood."""
    names = "MemoryMax,MemoryHigh,TasksMax,LogRateLimitBurst,LogRateLimitIntervalUSec,Restart"
    shown = host.check_output("systemctl show gpulab-hub --property=%s", names)
    assert dict(line.split("=", 1) for line in shown.splitlines()) == {
        "Restart": "on-failure",
        "MemoryHigh": str(768 * 2**20),
        "MemoryMax": str(2**30),
        "TasksMax": "256",
        "LogRateLimitIntervalUSec": "30s",
        "LogRateLimitBurst": "20000",
    }


def test_large_requests_are_rejected_before_they_are_read(hub_url: str) -> None:
    """90 MB from a stranger: answered after the header, so that nothing fills the hub's memory."""
    parts = urlsplit(hub_url)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((str(parts.hostname), int(parts.port or 443)), timeout=30) as plain:
        client = context.wrap_socket(plain) if parts.scheme == "https" else plain
        head = "POST /hub/login HTTP/1.1\r\nHost: hub\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        client.sendall(f"{head}Content-Length: 94371840\r\n\r\n".encode() + b"x" * 1000)
        answer = client.recv(4096).decode()
    assert answer.split()[1] in ("400", "413", "503"), answer
