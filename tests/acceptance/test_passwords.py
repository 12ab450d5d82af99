# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords are checked by a root helper that only the hub reaches; a changed password ends the sessions it opened."""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.accounts import REFRESH, Account
from tests.support.expected import Expected
from tests.support.hosts import main_pid, wait_for
from tests.support.hub import HubUser, server_unit
from tests.support.shell import Shell

SOCKET = "/run/gpulab/password.sock"
EXPOSURE = 2.5
"""Most that `systemd-analyze security` may print for the helper (systemd 252)."""
CONNECT = f"""
import socket
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(30)
    try:
        client.connect({SOCKET!r})
        client.sendall(b'{{"action": "status"}}' + bytes([10]))
        print(client.makefile().readline())
    except OSError as error:
        print(type(error).__name__)
"""


def attempt(hub_url: str, certificate: str | bool, name: str, word: str) -> tuple[int, str, float]:
    """Try to log in; return the status (302: logged in), the page's message and the seconds that it took."""
    with requests.Session() as web:
        web.verify, web.trust_env = certificate, False
        page = web.get(f"{hub_url}/hub/login", timeout=60)
        token = re.search(r'name="_xsrf"\s+value="([^"]+)"', page.text)
        form = {"username": name, "password": word, "_xsrf": token[1] if token else ""}
        start = time.monotonic()
        answer = web.post(f"{hub_url}/hub/login", data=form, allow_redirects=False, timeout=120)
        taken = time.monotonic() - start
    message = re.search(r'class="login_error">(.*?)</p>', answer.text, re.DOTALL)
    return answer.status_code, message[1].strip() if message else "", taken


def logged_in(hub_user: HubUser) -> bool:
    """Return whether the hub takes the cookies of a login."""
    home = hub_user.web.get(f"{hub_user.base}/hub/home", allow_redirects=False, timeout=60)
    return home.status_code == 200


def ended(hub_user: HubUser, seconds: float = REFRESH + 15) -> bool:
    """Wait until the hub takes the cookies no longer; return whether that happened in time."""
    until = time.monotonic() + seconds
    while logged_in(hub_user):
        if time.monotonic() > until:
            return False
        time.sleep(1)
    return True


def test_helper_has_few_powers(host: Any) -> None:
    """`systemd-analyze security` of systemd 252 rates what the helper could do."""
    version = int(re.search(r"systemd (\d+)", host.check_output("systemctl --version"))[1])  # type: ignore[index]
    if version < 252:
        pytest.skip(f"systemd {version} rates otherwise; the numbers are of 252")
    shown = host.run("systemd-analyze security --no-pager gpulab-password@verify.service").stdout
    level = re.search(r"exposure level.*: ([0-9.]+)", shown)
    assert level, shown[-500:]
    assert float(level[1]) <= EXPOSURE


def test_helper_has_no_capability_and_a_time_limit(host: Any) -> None:
    """Properties that the rating does not cover."""
    names = "CapabilityBoundingSet,NoNewPrivileges,PrivateNetwork,ProtectSystem,RuntimeMaxUSec,LimitCORE"
    shown = host.check_output("systemctl show gpulab-password@verify.service --property=%s", names)
    values = dict(line.split("=", 1) for line in shown.splitlines())
    assert values == {
        "CapabilityBoundingSet": "",
        "NoNewPrivileges": "yes",
        "PrivateNetwork": "yes",
        "ProtectSystem": "strict",
        "RuntimeMaxUSec": "15s",
        "LimitCORE": "0",
    }


def test_only_the_hub_connects_to_the_helper(host: Any, expected: Expected, ssh: Shell) -> None:
    """The socket is the hub's account's alone; neither a user nor another system account connects."""
    file = host.file(SOCKET)
    assert (file.user, file.mode) == ("gpulab-hub", 0o600)
    assert host.file("/run/gpulab").user == "root"
    assert ssh.python(CONNECT).stdout.strip() == "PermissionError"
    for name in ("nobody", "gpulab-proxy"):
        assert host.check_output("runuser -u %s -- python3 -c %s", name, CONNECT) == "PermissionError"
    answer = json.loads(host.check_output("runuser -u gpulab-hub -- python3 -c %s", CONNECT))
    assert set(expected.present) <= set(answer["accounts"])


def test_socket_opened_too_far_still_serves_the_hub_alone(host: Any, ssh: Shell) -> None:
    """The helper reads from the kernel who connected: the mode of the socket is one of two locks."""
    host.check_output("chmod 0666 %s", SOCKET)
    try:
        answer = ssh.python(CONNECT).stdout
    finally:
        host.check_output("chmod 0600 %s", SOCKET)
    assert '"unavailable"' in answer
    assert "accounts" not in answer
    assert "may not use this socket" in host.check_output("journalctl --no-pager --output=cat --since=-2min")


@pytest.mark.parametrize("method", ["YESCRYPT", "SHA512"])
def test_password_of_every_kind_is_checked(
    hub_url: str, certificate: str | bool, account: Account, method: str
) -> None:
    """A right password logs in, a wrong, an empty and another user's name do not."""
    account.set_word(method)
    HubUser(hub_url, account.name, account.word, certificate)
    for name, word in ((account.name, account.word + "x"), (account.name, ""), ("verify-nobody", account.word)):
        status, message, _ = attempt(hub_url, certificate, name, word)
        assert (status, message) == (403, "Invalid username or password")


def test_name_in_capitals_is_the_same_account(hub_url: str, certificate: str | bool, account: Account) -> None:
    """The hub converts names to lower case: the password is checked for that account."""
    assert HubUser(hub_url, account.name.upper(), account.word, certificate)


@pytest.mark.parametrize(
    ("change", "undo", "words"),
    [
        ("chage -d 0 %s", "chage -d $(($(date +%%s) / 86400)) %s", "must be changed: log in over SSH"),
        ("chage -d 10 -M 30 %s", "chage -d $(($(date +%%s) / 86400)) -M 99999 %s", "must be changed: log in over SSH"),
        ("chage -E 1 %s", "chage -E -1 %s", "account has expired"),
    ],
    ids=["must_change", "password_expired", "account_expired"],
)
def test_reason_is_given_only_after_a_right_password(
    host: Any, hub_url: str, certificate: str | bool, account: Account, change: str, undo: str, words: str
) -> None:
    """Without the password, the answer reveals nothing about the account."""
    host.check_output(change, account.name)
    try:
        status, message, _ = attempt(hub_url, certificate, account.name, account.word)
        assert status == 403
        assert words in message
        status, message, _ = attempt(hub_url, certificate, account.name, "wrong")
        assert (status, message) == (403, "Invalid username or password")
    finally:
        host.check_output(undo, account.name)
    HubUser(hub_url, account.name, account.word, certificate)


def test_known_and_unknown_names_take_the_same_time(hub_url: str, certificate: str | bool, account: Account) -> None:
    """Names, locked system accounts and overlong input: answered after the same time, to 20 %."""
    names = [(account.name, "wrong"), ("verify-nobody", "wrong"), ("daemon", "wrong"), (account.name, "x" * 5000)]
    taken = [10.0] * len(names)
    # A busy host delays single answers; a difference that tells names apart stays in all of them.
    for _ in range(5):
        taken = [min(best, attempt(hub_url, certificate, *each)[2]) for best, each in zip(taken, names, strict=True)]
        if max(taken) <= 1.2 * min(taken):
            break
    assert max(taken) <= 1.2 * min(taken), dict(zip([name for name, _ in names], taken, strict=True))
    assert min(taken) >= 1.9


def test_right_login_works_among_thirty_wrong_ones(hub_url: str, certificate: str | bool, account: Account) -> None:
    """Some are rejected at once, none keeps the helper from the next; the user gets in at the next try or two."""
    start = threading.Barrier(31)

    def wrong(number: int) -> int:
        start.wait(60)
        return attempt(hub_url, certificate, account.name if number % 2 else f"verify-{number}", "wrong")[0]

    with ThreadPoolExecutor(30) as pool:
        wrongs = [pool.submit(wrong, number) for number in range(30)]
        start.wait(60)
        until = time.monotonic() + 60
        while (status := attempt(hub_url, certificate, account.name, account.word)[0]) != 302:
            assert status == 503, "a right password was called wrong"
            assert time.monotonic() < until, "no login for 60 s"
            time.sleep(0.5)
        statuses = {each.result() for each in wrongs}
    assert statuses <= {403, 503}


def test_cookie_ends_with_the_password_and_the_server_goes_on(
    host: Any, hub_url: str, certificate: str | bool, account: Account
) -> None:
    """A changed password ends the hub's cookies and the server's, for good; other changes and the server do not."""
    old = HubUser(hub_url, account.name, account.word, certificate)
    old.start_server()
    lab = f"{hub_url}/user/{account.name}/api/contents"
    assert old.web.get(lab, timeout=60).status_code == 200
    unit = server_unit(host, account.name)
    main = main_pid(host, unit)
    account.set_word()
    # A login with the new password must not make the old cookies valid again.
    new = HubUser(hub_url, account.name, account.word, certificate)
    assert not logged_in(old)
    # One wait for all that happens, or does not happen, within the time after which the hub reads an account again.
    host.check_output("chage -M 9999 %s && usermod -c changed %s", account.name, account.name)
    until = time.monotonic() + REFRESH
    # The page logs the browser in at the server, by way of the hub.
    new.web.get(f"{hub_url}/user/{account.name}/lab", timeout=60).raise_for_status()
    assert new.web.get(lab, timeout=60).status_code == 200
    wait_for(lambda: old.web.get(lab, allow_redirects=False, timeout=60).status_code != 200, REFRESH)
    assert ended(old)
    while time.monotonic() < until:
        assert logged_in(new), "a change of something other than the password ended a login"
        time.sleep(1)
    assert logged_in(new)
    # Without a login in between.
    account.set_word()
    assert ended(new)
    assert main_pid(host, unit) == main
    last = HubUser(hub_url, account.name, account.word, certificate)
    assert last.web.get(f"{hub_url}/hub/api/users/{account.name}", timeout=60).json()["servers"][""]["ready"]
    last.stop_server()


def test_journal_holds_no_password(host: Any, hub_url: str, certificate: str | bool, account: Account) -> None:
    """Right, wrong and malformed: no word that was sent is in the journal, and no hash."""
    words = [f"verify-{secrets.token_hex(8)}" for _ in range(3)]
    attempt(hub_url, certificate, account.name, words[0])
    attempt(hub_url, certificate, "verify-nobody", words[1])
    attempt(hub_url, certificate, account.name, words[2] + "\n" + "x" * 9000)
    HubUser(hub_url, account.name, account.word, certificate)
    field = host.check_output("getent shadow %s", account.name).split(":")[1]
    journal = host.check_output("journalctl --no-pager --output=cat --since=-15min")
    leaked = [word for word in [*words, account.word, field] if word in journal]
    assert not leaked
