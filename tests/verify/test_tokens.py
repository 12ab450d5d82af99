"""What leaves is gone: cookies end with a logout, tokens with a password; and the hub keeps only so many of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hub import Person, server_unit
from test_passwords import REFRESH, Account, account, ended, logged_in  # noqa: F401  # a fixture

DAY = 86400
TOKENS, NOTE = 50, 255
"""API tokens of a user and characters of a note (LabPAMAuthenticator)."""


@pytest.fixture
def user(hub_url: str, certificate: str | bool, account: Account) -> Iterator[Person]:  # noqa: F811
    """Log a user in; delete all tokens in the end."""
    found = Person(hub_url, account.name, account.word, certificate)
    yield found
    again = Person(hub_url, account.name, account.word, certificate)
    for token in call(again, "GET", "tokens").json()["api_tokens"]:
        call(again, "DELETE", f"tokens/{token['id']}")


def call(person: Person, method: str, path: str, body: Any = None) -> requests.Response:
    """Send a request about the user to the hub's API, with the browser's cookie."""
    data = json.dumps(body) if body is not None else None
    headers = {**person._xsrf(), "Content-Type": "application/json"}
    url = f"{person.base}/hub/api/users/{person.name}/{path}"
    return person.web.request(method, url, data=data, headers=headers, timeout=60)


def with_token(person: Person, token: str) -> int:
    """Return the status of a request of a program with a token."""
    headers = {"Authorization": f"token {token}"}
    return requests.get(f"{person.base}/hub/api/user", headers=headers, verify=person.verify, timeout=60).status_code


def copy_of(person: Person) -> requests.Session:
    """Return a browser with the same cookies, as somebody has it who has copied them."""
    copied = requests.Session()
    copied.verify, copied.trust_env = person.verify, False
    copied.headers["Connection"] = "close"
    copied.cookies.update(person.web.cookies)
    return copied


def test_logout_ends_copied_cookies(hub_url: str, certificate: str | bool, user: Person) -> None:
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


def test_password_ends_tokens_of_programs_and_spares_the_server(
    host: Any,
    hub_url: str,
    certificate: str | bool,
    account: Account,  # noqa: F811
    user: Person,
) -> None:
    """Whoever knew the password may have made one; the server's own token is what it works with."""
    user.start_server()
    environ = f"/proc/$(systemctl show -P MainPID {server_unit(host, account.name)})/environ"
    lines = host.check_output(f"tr '\\0' '\\n' < {environ}").splitlines()
    own = next(line.partition("=")[2] for line in lines if line.startswith("JUPYTERHUB_API_TOKEN="))
    made = call(user, "POST", "tokens", {"note": f"Server at /user/{account.name}/"}).json()["token"]
    assert (with_token(user, made), with_token(user, own)) == (200, 200)
    # The hub knows which token is the server's after a restart, too.
    host.check_output("systemctl restart gpulab-hub")
    until = time.monotonic() + 60
    while with_token(user, own) != 200:
        assert time.monotonic() < until, "the hub did not start again"
        time.sleep(1)
    account.set_word()
    assert ended(user)
    assert (with_token(user, made), with_token(user, own)) == (403, 200)
    new = Person(hub_url, account.name, account.word, certificate)
    assert with_token(user, own) == 200
    # With the server, its token ends, also where the hub has started again meanwhile.
    new.stop_server()
    until = time.monotonic() + 60
    while with_token(new, own) == 200:
        assert time.monotonic() < until, "the token of a server that has ended is still good"
        time.sleep(1)


def test_tokens_have_an_end(user: Person) -> None:
    """Also when none is requested; a longer life is rejected."""
    made = call(user, "POST", "tokens", {"note": "verify"}).json()
    lifetime = time.mktime(time.strptime(made["expires_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())
    assert 0 < lifetime <= 366 * DAY
    answer = call(user, "POST", "tokens", {"note": "verify", "expires_in": 10 * 366 * DAY})
    assert answer.status_code == 400
    assert "must not exceed" in answer.text


def test_tokens_are_few_and_notes_are_short(user: Person) -> None:
    """The hub's database does not grow with what a user writes into it."""
    answer = call(user, "POST", "tokens", {"note": "x" * (NOTE + 1)})
    assert (answer.status_code, f"{NOTE} characters" in answer.text) == (400, True)
    statuses = [call(user, "POST", "tokens", {"note": "verify"}).status_code for _ in range(TOKENS + 3)]
    assert statuses[:40] == [201] * 40
    answer = call(user, "POST", "tokens", {"note": "verify"})
    assert answer.status_code == 400
    assert f"at most {TOKENS} API tokens: revoke one" in answer.text
    assert len(call(user, "GET", "tokens").json()["api_tokens"]) <= TOKENS + 5


def test_password_makes_no_token(hub_url: str, certificate: str | bool, account: Account) -> None:  # noqa: F811
    """The login page is the one place where passwords are checked: it alone is limited and asks for a form's token."""
    body = {"auth": {"username": account.name, "password": account.word}}
    url = f"{hub_url}/hub/api/users/{account.name}/tokens"
    assert requests.post(url, json=body, verify=certificate, timeout=60).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "server", {"unknown": "x"}),
        ("POST", "server", {"user_options": {"unknown": "x" * 200_000}}),
        ("PATCH", "servers/", {"user_options": {"unknown": 1}}),
    ],
)
def test_unknown_options_of_a_server_are_rejected(user: Person, method: str, path: str, body: dict[str, Any]) -> None:
    """Before they are kept, and before a granter sees them; the message names them."""
    answer = call(user, method, path, body)
    assert answer.status_code == 400, answer.text
    assert "Unknown options of a server: unknown" in answer.text


def test_logins_at_a_server_are_few(hub_url: str, user: Person) -> None:
    """Each one is a row in the hub's database: the oldest ends when there are too many."""
    user.start_server()
    for _ in range(60):
        for cookie in list(user.web.cookies):
            if cookie.name == f"jupyterhub-user-{user.name}":
                user.web.cookies.clear(cookie.domain, cookie.path, cookie.name)
        user.web.get(f"{hub_url}/user/{user.name}/api/contents", timeout=60)
        user.web.get(f"{hub_url}/user/{user.name}/tree", headers={"Accept": "text/html"}, timeout=60)
    tokens = call(user, "GET", "tokens").json()["api_tokens"]
    assert len([token for token in tokens if token["oauth_client"] != "JupyterHub"]) <= 50
    user.stop_server()
