# SPDX-License-Identifier: GPL-3.0-or-later
"""Links that copy repositories work where they are enabled, and do nothing that the user has not confirmed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser


def below(hub_user: HubUser, path: str) -> str:
    """Return the address of a page of the user's server."""
    return f"{hub_user.base}/user/{hub_user.name}/{path}"


LINK = {"repo": "https://repository.invalid/class/notes", "branch": "main"}


@pytest.fixture
def links(expected: Expected) -> None:
    """Skip where they are not enabled."""
    if not expected.hub["nbgitpuller"]:
        pytest.skip("gpulab_nbgitpuller_enabled is not set for this host: its links were not tested")


def listing(host: Any, hub_user: HubUser) -> str:
    """Return the names in the user's home."""
    return str(host.check_output("ls -A %s", host.user(hub_user.name).home))


def test_links_copy_nothing_unless_enabled(hub_user: HubUser, expected: Expected) -> None:
    """Neither of its pages answers."""
    if expected.hub["nbgitpuller"]:
        pytest.skip("gpulab_nbgitpuller_enabled is set for this host")
    for path in ("git-pull", "git-pull/api", "git-sync", "interact"):
        assert hub_user.web.get(below(hub_user, f"{path}?{urlencode(LINK)}"), timeout=60).status_code == 404


@pytest.mark.usefixtures("links")
def test_link_explains_itself_and_changes_nothing(host: Any, hub_user: HubUser) -> None:
    """A page with a button, and without a script."""
    before = listing(host, hub_user)
    answer = hub_user.web.get(f"{hub_user.base}/hub/user-redirect/git-pull?{urlencode(LINK)}", timeout=60)
    assert answer.status_code == 200
    assert LINK["repo"] in answer.text
    assert "<script" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert listing(host, hub_user) == before


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize(
    "change",
    [
        *(
            {"repo": repo}
            for repo in ('https://x/"><b>marker</b>', "ext::x", "file:///etc", "http://x/y", "-u", "https://a:b@x/y")
        ),
        *({"targetpath": path} for path in (".ssh", "/tmp/x", "../x", "a/b", "-x", ".", "x\ny")),
        *({"branch": branch} for branch in ("-x", "--upload-pack=x", "a..b", "a b")),
        *(
            {"urlpath": path}
            for path in ("//x", "https://x", "/x", "lab/../../hub", "javascript:x", "proxy/1", "lab\\x")
        ),
    ],
    ids=lambda change: "=".join(*change.items()),
)
def test_link_with_other_options_is_rejected(host: Any, hub_user: HubUser, change: dict[str, str]) -> None:
    """Before anything is copied, in the page and behind its button; what is shown of it is escaped."""
    before = listing(host, hub_user)
    form = {**LINK, **change, "_xsrf": xsrf(hub_user)}
    for answer in (
        hub_user.web.get(below(hub_user, f"git-pull?{urlencode({**LINK, **change})}"), timeout=60),
        hub_user.web.post(below(hub_user, "git-pull"), data=form, timeout=60),
    ):
        assert answer.status_code == 400
        assert "<b>marker" not in answer.text
    assert listing(host, hub_user) == before


@pytest.mark.usefixtures("links")
def test_button_works_from_its_own_page_alone(host: Any, hub_user: HubUser) -> None:
    """A page of another site cannot press it; when it is pressed, the error of git is shown."""
    before = listing(host, hub_user)
    assert hub_user.web.post(below(hub_user, "git-pull"), data=LINK, timeout=60).status_code == 403
    answer = hub_user.web.post(below(hub_user, "git-pull"), data={**LINK, "_xsrf": xsrf(hub_user)}, timeout=120)
    assert answer.status_code == 502
    assert "could not be copied" in answer.text
    assert listing(host, hub_user) == before


def xsrf(hub_user: HubUser) -> str:
    """Return the token that the forms of the user's server carry."""
    return str(
        next(
            each.value
            for each in hub_user.web.cookies
            if each.name == "_xsrf" and each.path == f"/user/{hub_user.name}/"
        )
    )
