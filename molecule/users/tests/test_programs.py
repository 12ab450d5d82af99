# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends with a password: tokens of programs, but not the server's own. And how many logins the hub keeps."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.support.hub import HubUser
from tests.support.users import PASSWORD, UsersHost

NAME = "victor"
LOGINS = 50
"""Logins at a user's server that the hub keeps (gpulab_hub.overrides)."""


@pytest.fixture(scope="module")
def victor(world: UsersHost) -> Iterator[HubUser]:
    """Give a user whose server runs."""
    world.users, world.groups = [world.account(NAME)], {}
    world.sync()
    found = world.hub_user(NAME)
    found.start_server()
    yield found
    world.root(f"systemctl stop gpulab-server@$(id -u {NAME})")


def call(hub_user: HubUser, method: str, path: str, body: Any = None) -> requests.Response:
    """Send a request about the user to the hub's API, with the browser's cookie."""
    headers = {**hub_user._xsrf(), "Content-Type": "application/json"}
    url = f"{hub_user.base}/hub/api/users/{hub_user.name}/{path}"
    return hub_user.web.request(method, url, data=json.dumps(body) if body else None, headers=headers, timeout=60)


def with_token(hub_user: HubUser, token: str) -> int:
    """Return the status of what a program or a server reports to the hub with its token."""
    body = {"last_activity": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    url = f"{hub_user.base}/hub/api/users/{hub_user.name}/activity"
    return requests.post(
        url, json=body, headers={"Authorization": f"token {token}"}, verify=hub_user.verify, timeout=60
    ).status_code


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds; raise AssertionError when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(1)


def test_logins_at_a_server_are_few(victor: HubUser) -> None:
    """Each one is a row in the hub's database: the oldest ends when there are too many."""
    for _ in range(LOGINS + 10):
        jar = victor.web.cookies
        for domain, path, name in [(each.domain, each.path, each.name) for each in jar]:
            if name == f"jupyterhub-user-{NAME}":
                jar.clear(domain, path, name)
        # A login is several requests of the server to the hub, which answers 20 a second of each account.
        time.sleep(0.3)
        page = victor.web.get(f"{victor.base}/user/{NAME}/lab", headers={"Accept": "text/html"}, timeout=60)
        assert page.status_code == 200
    tokens = call(victor, "GET", "tokens").json()["api_tokens"]
    browsers = [token for token in tokens if token["oauth_client"] != "JupyterHub"]
    assert 1 <= len(browsers) <= LOGINS


def test_password_ends_tokens_of_programs_and_spares_the_server(world: UsersHost, victor: HubUser) -> None:
    """A user who knew the password may have made one, with any note; the server works with its own token."""
    environ = f"/proc/$(systemctl show -P MainPID gpulab-server@$(id -u {NAME}))/environ"
    lines = world.root(f"tr '\\0' '\\n' < {environ}").stdout.splitlines()
    own = next(line.partition("=")[2] for line in lines if line.startswith("JUPYTERHUB_API_TOKEN="))
    made = call(victor, "POST", "tokens", {"note": f"Server at /user/{NAME}/"}).json()["token"]
    assert (with_token(victor, made), with_token(victor, own)) == (200, 200)
    # The hub knows which token is the server's after a restart, too.
    world.root("systemctl restart gpulab-hub")
    wait_for(lambda: with_token(victor, own) == 200)
    word = secrets.token_hex(12)
    world.root(f"echo {NAME}:{word} | chpasswd")
    wait_for(lambda: with_token(victor, made) == 403, 45)
    assert with_token(victor, own) == 200
    # With the server its token ends, which JupyterHub loses after a restart.
    HubUser(world.base, NAME, word, verify=False).stop_server()
    wait_for(lambda: with_token(victor, own) == 403)
    assert word != PASSWORD
