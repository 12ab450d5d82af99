# SPDX-License-Identifier: GPL-3.0-or-later
"""An ordinary user's requests to the hub: nothing of others is read or changed, and no link leaves the hub."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket

from tests.support.expected import Expected
from tests.support.hub import HubUser

READS = (
    *("users", "users/{other}", "users/{other}/tokens", "users/{other}/shared", "users/{other}/servers"),
    *("groups", "groups/x", "services", "services/gpulab-users", "proxy", "shares/{other}", "shares/{other}/"),
    *("users/{other}/tokens/1", "users?state=active", "users/{other}?include_stopped_servers=1"),
)
CHANGES = (
    *(("POST", "users/{other}"), ("DELETE", "users/{other}"), ("PATCH", "users/{other}"), ("POST", "users")),
    *(("POST", "users/{other}/server"), ("DELETE", "users/{other}/server"), ("POST", "users/{other}/tokens")),
    *(("POST", "users/{other}/activity"), ("POST", "groups/x"), ("POST", "groups/x/users"), ("DELETE", "groups/x")),
    *(("POST", "proxy"), ("PATCH", "proxy"), ("POST", "shutdown"), ("PATCH", "users/{own}"), ("DELETE", "users/{own}")),
    *(("POST", "shares/{other}/"), ("POST", "users/{own}/servers/second"), ("POST", "share-codes/{other}/")),
)
NEXTS = (
    *(
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "///evil.example",
        "http:evil.example",
    ),
    *("javascript:alert(1)", "/hub/../../evil", "\t//evil.example", "https:/evil.example", "//user@evil.example"),
    *(
        "/%09/evil.example",
        "/%5Cevil.example",
        "https://127.0.0.1@evil.example",
        "data:text/html,x",
        "//evil.example/%2f..",
    ),
)


def send(hub_user: HubUser, method: str, path: str, **options: Any) -> Any:
    """Send a request to the hub's API as its pages do."""
    return hub_user.web.request(
        method,
        f"{hub_user.base}/hub/api/{path}",
        headers=hub_user._xsrf(),
        allow_redirects=False,
        timeout=60,
        **options,
    )


def test_nothing_of_others_is_read(hub_user: HubUser, neighbour: HubUser) -> None:
    """Names of others, their servers, tokens and groups are not an ordinary user's."""
    paths = [path.format(other=neighbour.name) for path in READS]
    answers = {path: send(hub_user, "GET", path).status_code for path in paths}
    assert {path: status for path, status in answers.items() if status not in (401, 403, 404, 405)} == {}


def test_other_users_cannot_be_changed(hub_user: HubUser, neighbour: HubUser) -> None:
    """Nor does a user get more power, a second server, or a share."""
    body = {"admin": True, "user": hub_user.name}
    answers = {}
    for method, path in CHANGES:
        answer = send(hub_user, method, path.format(other=neighbour.name, own=hub_user.name), json=body)
        answers[method, path] = answer.status_code
    assert {key: status for key, status in answers.items() if status not in (400, 401, 403, 404, 405)} == {}


@pytest.mark.parametrize("body", [{"roles": ["admin"]}, {"scopes": ["admin:users"]}, {"scopes": ["read:users"]}])
def test_tokens_have_no_more_rights_than_their_user(hub_user: HubUser, body: dict[str, Any]) -> None:
    """Whatever rights are requested for one."""
    assert send(hub_user, "POST", f"users/{hub_user.name}/tokens", json=body).status_code == 400


def test_pages_of_other_sites_cannot_change_anything(hub_user: HubUser) -> None:
    """Without the token that only the hub's own pages have, a login alone does nothing."""
    url = f"{hub_user.base}/hub/api/users/{hub_user.name}/server"
    for method in ("POST", "DELETE"):
        answer = hub_user.web.request(method, url, headers={"Origin": "https://evil.example"}, timeout=60)
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("page", ["hub/login", "hub/spawn", "hub/server-cookie"])
def test_links_do_not_leave_the_hub(hub_user: HubUser, page: str) -> None:
    """After a login the browser stays here."""
    locations = {}
    for target in NEXTS:
        answer = hub_user.web.get(f"{hub_user.base}/{page}", params={"next": target}, allow_redirects=False, timeout=60)
        locations[target] = answer.headers.get("Location", "")
    own = ("", urlsplit(hub_user.base).netloc)
    assert {target: to for target, to in locations.items() if "\\" in to or urlsplit(to).netloc not in own} == {}


@pytest.mark.parametrize(
    "path", ["api/kernels/0/channels", "terminals/websocket/1", "api/events/subscribe", "lsp/ws/pylsp"]
)
def test_websockets_of_others_are_closed(hub_user: HubUser, neighbour: HubUser, expected: Expected, path: str) -> None:
    """A login of one's own opens no channel of another user's server."""
    url = f"{neighbour.base}/user/{neighbour.name}/{path}".replace("http", "ws", 1)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in hub_user.web.cookies)
    options = {"ca_certs": hub_user.verify} if isinstance(hub_user.verify, str) else {"cert_reqs": 0}
    with pytest.raises(websocket.WebSocketBadStatusException, match=r"403|404"):
        websocket.create_connection(
            url,
            cookie=cookies,
            origin=hub_user.base,
            timeout=60,
            sslopt=options if expected.hub["tls"] != "none" else None,
        )
