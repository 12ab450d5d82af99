# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies end with a logout, and the hub bounds what users write into its database.

molecule/users/tests/test_programs.py has the tests that take longer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.accounts import REFRESH, Account
from tests.support.hub import HubUser

DAY = 86400
TOKENS, NOTE = 50, 255
"""API tokens of a user and characters of a note (LabPAMAuthenticator)."""


@pytest.fixture
def user(hub_url: str, certificate: str | bool, account: Account) -> Iterator[HubUser]:
    """Log a user in; delete all tokens in the end."""
    found = HubUser(hub_url, account.name, account.word, certificate)
    yield found
    again = HubUser(hub_url, account.name, account.word, certificate)
    for token in call(again, "GET", "tokens").json()["api_tokens"]:
        call(again, "DELETE", f"tokens/{token['id']}")


def call(hub_user: HubUser, method: str, path: str, body: Any = None) -> requests.Response:
    """Send a request about the user to the hub's API, with the browser's cookie."""
    data = json.dumps(body) if body is not None else None
    headers = {**hub_user._xsrf(), "Content-Type": "application/json"}
    url = f"{hub_user.base}/hub/api/users/{hub_user.name}/{path}"
    return hub_user.web.request(method, url, data=data, headers=headers, timeout=60)


def copy_of(hub_user: HubUser) -> requests.Session:
    """Return a browser with copies of the cookies."""
    copied = requests.Session()
    copied.verify, copied.trust_env = hub_user.verify, False
    copied.headers["Connection"] = "close"
    copied.cookies.update(hub_user.web.cookies)
    return copied


def test_logout_ends_copied_cookies(hub_url: str, certificate: str | bool, user: HubUser) -> None:
    """The hub's at once, the server's within the time for which it remembers a login; the server itself goes on."""
    user.start_server()
    copied = copy_of(user)
    lab = f"{hub_url}/user/{user.name}/api/contents"
    assert copied.get(lab, timeout=60).status_code == 200
    user.web.get(f"{hub_url}/hub/logout", timeout=60).raise_for_status()
    assert not [cookie for cookie in user.web.cookies if "gpulab-server" in cookie.name]
    assert copied.get(f"{hub_url}/hub/home", allow_redirects=False, timeout=60).status_code == 302
    assert copied.get(f"{hub_url}/hub/api/user", timeout=60).status_code == 403
    until = time.monotonic() + REFRESH
    while copied.get(lab, allow_redirects=False, timeout=60).status_code == 200:
        assert time.monotonic() < until, "the server still takes the cookie of a login that has ended"
        time.sleep(1)


def test_tokens_have_an_end(user: HubUser) -> None:
    """Also when none is requested; a longer life is rejected."""
    made = call(user, "POST", "tokens", {"note": "verify"}).json()
    lifetime = time.mktime(time.strptime(made["expires_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 0 < lifetime <= 366 * DAY
    answer = call(user, "POST", "tokens", {"note": "verify", "expires_in": 10 * 366 * DAY})
    assert answer.status_code == 400
    assert "must not exceed" in answer.text


def test_tokens_are_few_and_notes_are_short(user: HubUser) -> None:
    """The hub's database does not grow with what a user writes into it."""
    answer = call(user, "POST", "tokens", {"note": "x" * (NOTE + 1)})
    assert (answer.status_code, f"{NOTE} characters" in answer.text) == (400, True)
    statuses = [call(user, "POST", "tokens", {"note": "verify"}).status_code for _ in range(TOKENS + 3)]
    assert statuses[:40] == [201] * 40
    answer = call(user, "POST", "tokens", {"note": "verify"})
    assert answer.status_code == 400
    assert f"at most {TOKENS} API tokens: revoke one" in answer.text
    assert len(call(user, "GET", "tokens").json()["api_tokens"]) <= TOKENS + 5


def test_password_makes_no_token(hub_url: str, certificate: str | bool, account: Account) -> None:
    """Passwords are checked by the login page only: it is rate-limited and requires a form token."""
    body = {"auth": {"username": account.name, "password": account.word}}
    url = f"{hub_url}/hub/api/users/{account.name}/tokens"
    assert requests.post(url, json=body, verify=certificate, timeout=60).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "server", {"unknown": "x"}),
        ("POST", "server", {"user_options": {"unknown": "x" * 50_000}}),
        ("PATCH", "servers/", {"user_options": {"unknown": 1}}),
    ],
)
def test_unknown_options_of_a_server_are_rejected(user: HubUser, method: str, path: str, body: dict[str, Any]) -> None:
    """Before they are kept, and before a granter sees them; the message names them."""
    answer = call(user, method, path, body)
    assert answer.status_code == 400, answer.text
    assert "Unknown options of a server: unknown" in answer.text
