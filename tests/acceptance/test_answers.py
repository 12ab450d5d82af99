# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the hub and of servers reveal no version and no token, and their cookies are protected."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.support.hub import HubUser


@pytest.mark.parametrize("page", ["login", "api/", "api/users", "static/css/style.min.css", "no-such-page", "logout"])
def test_answers_have_safe_headers_and_no_version(hub_url: str, certificate: str | bool, page: str) -> None:
    """Pages, errors and files alike; a version would help an attacker."""
    answer = requests.get(f"{hub_url}/hub/{page}", verify=certificate, timeout=60, allow_redirects=False)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "X-JupyterHub-Version" not in answer.headers
    assert "Server" not in answer.headers
    if page != "static/css/style.min.css":
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "6.1." not in answer.text
        assert "version" not in (answer.json() if page == "api/" else {})


def test_every_cookie_is_kept_from_other_sites(hub_url: str, hub_user: HubUser) -> None:
    """Secure, SameSite, and for logins HttpOnly: of the hub, of the server and of the way between them."""
    fresh = requests.Session()
    fresh.verify, fresh.trust_env = hub_user.verify, False
    fresh.headers["Connection"] = "close"
    fresh.cookies.update(hub_user.web.cookies)
    lines: list[str] = []
    url = f"{hub_url}/user/{hub_user.name}/lab"
    for domain, path, name in [(each.domain, each.path, each.name) for each in fresh.cookies]:
        if path.startswith("/user/"):
            fresh.cookies.clear(domain, path, name)
    pages = ["/hub/login", "/hub/home"]
    answers = [
        requests.get(hub_url + page, verify=hub_user.verify, timeout=60, allow_redirects=False) for page in pages
    ]
    final = fresh.get(url, headers={"Accept": "text/html"}, timeout=60)
    for answer in [*answers, *final.history, final]:
        lines += answer.raw.headers.getlist("Set-Cookie")
    names = {line.partition("=")[0] for line in lines}
    assert {"_xsrf", f"jupyterhub-user-{hub_user.name}"} <= names, names
    set_now = [line.lower() for line in lines if "expires=" not in line.lower() or '=""' not in line]
    for line in set_now:
        assert "samesite=" in line, line
        assert "secure" in line or hub_url.startswith("http:"), line
        assert "httponly" in line or line.startswith(("_xsrf", "jupyterhub-session-id")), line


def test_pages_carry_no_token(hub_url: str, host: Any, hub_user: HubUser) -> None:
    """JupyterLab's page and Jupyter's own: neither the server's token nor the browser's."""
    uid = host.user(hub_user.name).uid
    environment = host.check_output(
        "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID gpulab-server@%s)/environ", str(uid)
    )
    secret = dict(line.split("=", 1) for line in environment.splitlines() if "=" in line)["JUPYTERHUB_API_TOKEN"]
    for page in ("lab", "no-such-page", "tree", "api/status"):
        text = hub_user.web.get(f"{hub_url}/user/{hub_user.name}/{page}", timeout=60).text
        assert secret not in text, page
        assert "data-jupyter-api-token" not in text, page
    config = hub_user.web.get(f"{hub_url}/user/{hub_user.name}/lab", timeout=60).text
    data = json.loads(config.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0])
    assert data["token"] == ""
    assert data["hubUser"] == hub_user.name
