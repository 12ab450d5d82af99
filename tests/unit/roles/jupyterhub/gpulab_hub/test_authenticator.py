# SPDX-License-Identifier: GPL-3.0-or-later
"""The authenticator: logins, and the end of sessions with an earlier password.

JupyterHub itself is not installed here: the acceptance suite runs the real one.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from gpulab_hub.logins import LoginGate
from gpulab_hub.passwords import AccountStatus, HelperUnavailable, StatusCache, Verdict

WORD = "a-secret-word"


class HTTPError(Exception):
    """Stands for tornado's."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status, self.message = status, message


class LocalAuthenticator:
    """Stands for JupyterHub's: what the subclass calls."""

    allowed_users: frozenset[str] = frozenset()
    members = frozenset({"ada"})

    def __init__(self, **_arguments: Any) -> None:
        self.lines: list[str] = []
        self.log = types.SimpleNamespace(
            warning=lambda text, *values: self.lines.append(text % values),
            info=lambda text, *values: self.lines.append(text % values),
            error=lambda *_: None,
        )

    def check_allowed_groups(self, name: str) -> bool:
        """Return whether the stub lists a name."""
        return name in self.members

    def normalize_username(self, name: str) -> str:
        """Lower and map a name."""
        return {"a.smith": "ada", "x": "y", "y": "ada"}.get(name.lower(), name.lower())

    def is_admin(self, _handler: Any, _authentication: Any) -> None:
        """Know no administrators."""


SERVER = 1
"""Row of the token of a user's server, among four tokens."""


class Row(types.SimpleNamespace):
    """A user as JupyterHub has it, with tokens of a server, a browser and a program."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        tokens = [
            types.SimpleNamespace(client_id=client, id=number)
            for number, client in enumerate(("jupyterhub", "jupyterhub-user-ada", "service", "jupyterhub"), 1)
        ]
        super().__init__(name="ada", admin=False, state=state)
        self.orm_user = types.SimpleNamespace(cookie_id="old", api_tokens=tokens, oauth_codes=["code"])
        self.spawners = {"": types.SimpleNamespace(token_id=SERVER)}
        self.deleted: list[Any] = []
        self.db = types.SimpleNamespace(delete=self.deleted.append, commit=lambda: None)

    async def get_auth_state(self) -> dict[str, Any] | None:
        """Return what was saved."""
        return self.state

    async def save_auth_state(self, state: dict[str, Any] | None) -> None:
        """Save it."""
        self.state = state


@pytest.fixture
def authenticator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give the authenticator on stubs, where ada's present fingerprint is "new"."""

    class Trait:
        def __init__(self, default: Any = frozenset(), **_options: Any) -> None:
            self.value = default

        def tag(self, **_options: Any) -> Any:
            return self.value

    hub, orm, auth = (types.ModuleType(f"jupyterhub{name}") for name in ("", ".orm", ".auth"))
    tornado, traitlets = types.ModuleType("tornado"), types.ModuleType("traitlets")
    orm.new_token = lambda: "rotated"  # type: ignore[attr-defined]
    hub.orm, auth.LocalAuthenticator = orm, LocalAuthenticator  # type: ignore[attr-defined]
    tornado.web = types.SimpleNamespace(HTTPError=HTTPError)  # type: ignore[attr-defined]
    for name in ("Float", "Integer", "List", "Set", "Unicode"):
        setattr(traitlets, name, Trait)
    traitlets.default = lambda _: lambda function: function  # type: ignore[attr-defined]
    for module in (hub, orm, auth, tornado, traitlets):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "gpulab_hub.authenticator", raising=False)
    from gpulab_hub.authenticator import LabPAMAuthenticator

    instance: Any = LabPAMAuthenticator()
    instance.statuses = {"ada": AccountStatus("new")}

    async def read() -> dict[str, AccountStatus]:
        return dict(instance.statuses)

    instance.accounts = StatusCache(read, 10.0)
    yield instance
    monkeypatch.delitem(sys.modules, "gpulab_hub.authenticator", raising=False)


def request(user: Row, client: str | None = None, by: object = None, number: int = SERVER) -> Any:
    """Give a handler of a request by cookie, or with a token of some client."""
    token = types.SimpleNamespace(client_id=client, id=number)
    return types.SimpleNamespace(
        _token_authenticated=client is not None, get_token=lambda: token, _jupyterhub_user=by or user
    )


def kept(user: Row) -> tuple[str, int]:
    """Return the word of the cookies and how many tokens and codes were deleted."""
    return user.orm_user.cookie_id, len(user.deleted)


def test_same_password_keeps_the_cookies(authenticator: Any) -> None:
    """Nothing ends while the fingerprint is the one of the login."""
    user = Row({"password": "new"})
    assert asyncio.run(authenticator.refresh_user(user, request(user))) is True
    assert kept(user) == ("old", 0)


@pytest.mark.parametrize(
    ("client", "number", "by", "expected"),
    [
        (None, 0, None, False),
        ("jupyterhub-user-ada", 2, None, False),
        ("jupyterhub", SERVER, None, True),
        ("jupyterhub", 4, None, False),
        (None, 0, "admin", True),
    ],
    ids=["cookie", "browser at the server", "token of the server", "token of a program", "administrator"],
)
def test_changed_password_ends_logins_and_tokens_and_spares_the_server(
    authenticator: Any, client: str | None, number: int, by: object, expected: bool
) -> None:
    """Cookies and tokens end, whichever request notices it; the server's own token stays good."""
    user = Row({"password": "former"})
    assert asyncio.run(authenticator.refresh_user(user, request(user, client, by, number))) is expected
    assert kept(user) == ("rotated", 4)
    assert SERVER not in [getattr(token, "id", 0) for token in user.deleted]
    assert user.state == {"password": "new"}
    # Ended once: the next login's cookie stays.
    user.orm_user.cookie_id = "next"
    assert asyncio.run(authenticator.refresh_user(user, request(user))) is True
    assert kept(user)[0] == "next"


def test_login_with_the_new_password_ends_the_former_cookies(authenticator: Any) -> None:
    """The login stores the new fingerprint: cookies of the former must be gone by then."""
    user = Row({"password": "former"})

    async def log_in(_name: str, _password: str) -> Verdict:
        return Verdict("ok", "", "new")

    authenticator.gate.check = log_in
    handler = types.SimpleNamespace(find_user=lambda _: user, request=types.SimpleNamespace(remote_ip="192.0.2.7"))
    data = {"username": "ADA", "password": WORD}
    expected = {"name": "ada", "auth_state": {"password": "new"}}
    assert asyncio.run(authenticator.authenticate(handler, data)) == expected
    assert kept(user) == ("rotated", 4)
    user.orm_user.cookie_id, user.deleted = "next", []
    asyncio.run(authenticator.authenticate(handler, data))
    assert kept(user) == ("next", 0)


@pytest.mark.parametrize(
    ("typed", "checked"), [("ADA", ["ada"]), ("A.Smith", ["ada"]), ("y", ["ada"]), ("x", []), (None, [])]
)
def test_password_is_that_of_the_account_that_logs_in(authenticator: Any, typed: object, checked: list[str]) -> None:
    """Capitals and mapped names: JupyterHub's own rules hold before the check, and change nothing after it."""
    names: list[str] = []

    async def check(name: str, _password: str) -> Verdict:
        names.append(name)
        return Verdict("wrong")

    authenticator.gate = LoginGate(check, step=0.01)
    asyncio.run(authenticator.authenticate(None, {"username": typed, "password": WORD}))
    assert names == checked


def test_old_state_does_not_end_a_new_login(authenticator: Any) -> None:
    """What was read before the password was changed is read again before anything ends."""
    user = Row({"password": "newer"})

    async def scenario() -> Any:
        await authenticator.accounts.get("ada")
        authenticator.statuses["ada"] = AccountStatus("newer")
        return await authenticator.refresh_user(user, request(user))

    assert asyncio.run(scenario()) is True
    assert kept(user) == ("old", 0)


def test_login_from_before_fingerprints_is_adopted(authenticator: Any) -> None:
    """An upgrade of the hub ends nothing by itself."""
    user = Row(None)
    assert asyncio.run(authenticator.refresh_user(user, request(user))) is True
    assert user.state == {"password": "new"}
    assert kept(user) == ("old", 0)


@pytest.mark.parametrize("status", [AccountStatus("new", False, "expired"), None])
def test_closed_account_is_rejected_for_every_kind_of_request(authenticator: Any, status: AccountStatus | None) -> None:
    """Expired, or not a member any more: cookies and tokens alike."""
    user = Row({"password": "new"})
    if status:
        authenticator.statuses["ada"] = status
    else:
        authenticator.members = frozenset()
    for client in (None, "jupyterhub", "jupyterhub-user-ada"):
        assert asyncio.run(authenticator.refresh_user(user, request(user, client))) is False


def test_unavailable_helper_rejects_logins(authenticator: Any) -> None:
    """No answer is not a yes; cookies stay for when it answers again."""
    user = Row({"password": "new"})

    async def fail() -> dict[str, AccountStatus]:
        raise HelperUnavailable("stopped")

    authenticator.accounts.read = fail
    assert asyncio.run(authenticator.refresh_user(user, request(user))) is False
    assert kept(user) == ("old", 0)


def test_administrator_who_leaves_the_group_is_one_no_longer(
    authenticator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only at the next login."""
    user = Row({"password": "new"})
    user.admin = True
    monkeypatch.setattr(authenticator, "is_admin", lambda *_: False)
    assert asyncio.run(authenticator.refresh_user(user, request(user))) == {"name": "ada", "admin": False}


def test_failed_login_is_logged_with_its_address(authenticator: Any) -> None:
    """For programs that ban addresses; the name is quoted and shortened, and the password is never logged."""

    async def check(_name: str, _password: str) -> Verdict:
        return Verdict("wrong")

    authenticator.gate = LoginGate(check, step=0.01)
    handler = types.SimpleNamespace(request=types.SimpleNamespace(remote_ip="192.0.2.7"))
    for name in ("ada", "a\nb" * 40, None):
        assert asyncio.run(authenticator.authenticate(handler, {"username": name, "password": WORD})) is None
    assert authenticator.lines[0] == "Login failed ('ada'@192.0.2.7): wrong"
    assert not any("\n" in line or WORD in line or len(line) > 120 for line in authenticator.lines)


@pytest.mark.parametrize(
    ("verdict", "status", "message"),
    [
        (Verdict("expired", "Your account has expired"), 403, "expired"),
        (Verdict("must_change", "Your password must be changed"), 403, "must be changed"),
        (Verdict("unavailable", "cannot be checked"), 503, "cannot be checked"),
    ],
)
def test_reason_reaches_the_page(authenticator: Any, verdict: Verdict, status: int, message: str) -> None:
    """What the user can do about it."""

    async def check(_name: str, _password: str) -> Verdict:
        return verdict

    authenticator.gate = LoginGate(check, step=0.01)
    with pytest.raises(HTTPError, match=message) as caught:
        asyncio.run(authenticator.authenticate(None, {"username": "ada", "password": WORD}))
    assert caught.value.status == status
