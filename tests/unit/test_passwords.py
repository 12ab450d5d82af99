"""Password checks: the root helper's protocol and results, the hub's client, cap, delay, and ends of sessions."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import sys
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/jupyterhub/files/gpulab_hub/src"))

from gpulab_hub import password_helper as helper
from gpulab_hub.logins import LoginGate
from gpulab_hub.passwords import AccountStatus, HelperClient, HelperUnavailable, StatusCache, Verdict
from gpulab_hub.shadow import Record, records

HASH = "$6$rounds=1000$0123456789abcdef$" + "x" * 86
OTHER = HASH.replace("0123", "4567")
WORD = "a-secret-word"
DAY = 20000
ME = pwd.getpwuid(os.getuid()).pw_name


# --- shadow(5)


def test_fingerprint_follows_the_password_alone() -> None:
    """Another hash gives another one; a lock does not, and what holds no password has none."""
    assert Record(HASH).fingerprint == Record(HASH, changed=7).fingerprint == Record("!" + HASH).fingerprint
    assert Record(HASH).fingerprint != Record(OTHER).fingerprint
    assert HASH not in str(Record(HASH).fingerprint)
    assert [Record(field).fingerprint for field in ("*", "!", "!!", "x", "", "!*")] == [None] * 6


@pytest.mark.parametrize(
    ("record", "result"),
    [
        (Record(HASH), ""),
        (Record(HASH, changed=DAY, maximum=99999, expires=DAY + 1), ""),
        (Record(HASH, expires=DAY), "expired"),
        (Record(HASH, changed=0), "must_change"),
        (Record(HASH, changed=0, expires=1), "expired"),
        (Record(HASH, changed=DAY - 30, maximum=30), ""),
        (Record(HASH, changed=DAY - 31, maximum=30), "must_change"),
        (Record(HASH, changed=DAY - 31, maximum=-1), ""),
        (Record(HASH, changed=DAY - 31, maximum=30, inactive=1), "must_change"),
        (Record(HASH, changed=DAY - 32, maximum=30, inactive=1), "expired"),
        (Record("!" + HASH), "not_allowed"),
        (Record("*"), ""),
        (Record("!"), ""),
    ],
)
def test_account_is_judged_as_pam_does(record: Record, result: str) -> None:
    """Order and comparisons of pam_unix; a password that is kept elsewhere is no reason."""
    assert record.problem(DAY)[0] == result
    assert bool(record.problem(DAY)[1]) == bool(result)


def test_shadow_is_read_by_field() -> None:
    """Empty days stay empty, and a broken line is left out."""
    result = records(f"ada:{HASH}:19000:0:90:7:14:20000:\nbroken:x\neve:*:::::::\n")
    assert result == {"ada": Record(HASH, 19000, 90, 14, 20000), "eve": Record("*")}


# --- the helper


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a host with a few accounts; return its shadow file."""
    shadow, passwd = tmp_path / "shadow", tmp_path / "passwd"
    shadow.write_text(
        f"ada:{HASH}:{DAY}:::::\nold:{HASH}:{DAY}:::::9:\neve:{OTHER}:{DAY}:::::\nroot:{OTHER}:{DAY}:::::\n"
    )
    passwd.write_text("root:x:0:0::/:\nada:x:1:1::/:\neve:x:2:77::/:\nold:x:3:3::/:\n")
    group = types.SimpleNamespace(gr_gid=77, gr_mem=["ada", "old", "dora"])
    monkeypatch.setattr(helper, "SHADOW", shadow)
    monkeypatch.setattr(helper, "PASSWD", passwd)
    monkeypatch.setattr(helper, "today", lambda: DAY)
    monkeypatch.setattr("gpulab_hub.password_helper.grp.getgrnam", lambda _: group)
    monkeypatch.setattr(helper, "hash_in_vain", lambda *_: None)
    return shadow


def exchange(sent: bytes, allowed: list[str], group: str = "users") -> tuple[dict[str, Any], str]:
    """Send bytes to the helper; return its answer and what it would log."""
    peer, connection = socket.socketpair()
    with peer, connection:
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        problem = helper.serve(connection, group, allowed)
        connection.close()
        return json.loads(peer.makefile().readline()), problem


def test_status_lists_the_group_and_nobody_else(host: Path) -> None:
    """Members by list and by primary group; an account of a directory has no fingerprint; no hash leaves."""
    answer, problem = exchange(b'{"action": "status"}\n', [ME])
    assert problem == ""
    accounts = answer["accounts"]
    assert {name: entry["may_log_in"] for name, entry in accounts.items()} == {
        "ada": True,
        "dora": True,
        "eve": True,
        "old": False,
    }
    assert accounts["dora"]["fingerprint"] is None
    assert accounts["ada"]["fingerprint"] == Record(HASH).fingerprint
    assert "expired" in accounts["old"]["reason"]
    assert HASH not in json.dumps(answer)


def test_peer_that_is_not_the_hub_gets_nothing(host: Path) -> None:
    """The kernel tells who connected."""
    answer, problem = exchange(b'{"action": "status"}\n', ["no-such-account"])
    assert answer["result"] == "unavailable"
    assert "accounts" not in answer
    assert f"uid {os.getuid()} may not" in problem


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b'{"action": "status"}',
        b"not JSON " + WORD.encode() + b"\n",
        b"[1]\n",
        b'{"action": "status", "name": "ada"}\n',
        b'{"action": "check", "name": "ada"}\n',
        b'{"action": "check", "name": "ada", "password": 7}\n',
        b'{"action": "check", "name": "a\\u0000", "password": "' + WORD.encode() + b'"}\n',
        b'{"action": "run", "name": "ada", "password": "' + WORD.encode() + b'"}\n',
        b'{"action": "check", "name": "ada", "password": "' + WORD.encode() * 400 + b'"}\n',
        b"\xff\n",
    ],
)
def test_malformed_request_is_rejected_and_not_logged(host: Path, sent: bytes) -> None:
    """Sizes and shapes are limited; what was sent is not repeated."""
    answer, problem = exchange(sent, [ME])
    assert answer["result"] == "unavailable"
    assert problem.startswith("rejected a request")
    assert WORD not in problem + json.dumps(answer)


def test_slow_peer_is_not_waited_for(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request ends."""
    monkeypatch.setattr(helper, "PATIENCE", 0.05)
    peer, connection = socket.socketpair()
    with peer, connection:
        assert helper.serve(connection, "users", [ME]).startswith("rejected a request")


def test_unexpected_error_is_named_without_its_text(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's text could hold the password."""

    def broken(name: str, password: str) -> helper.Answer:
        raise RuntimeError(password)

    monkeypatch.setattr(helper, "check", broken)
    sent = json.dumps({"action": "check", "name": "ada", "password": WORD}).encode() + b"\n"
    assert exchange(sent, [ME]) == ({"result": "unavailable", "reason": helper.UNAVAILABLE}, "failed: RuntimeError")


@pytest.mark.parametrize(
    ("name", "codes", "result"),
    [
        ("ada", (0, 0), "ok"),
        ("ada", (7, 7), "wrong"),
        ("ghost", (10, 10), "wrong"),
        ("old", (7, 7), "wrong"),
        ("ada", (0, 12), "must_change"),
        ("ada", (0, 13), "expired"),
        ("ada", (0, 16), "expired"),
        ("ada", (0, 27), "expired"),
        ("old", (0, 7), "expired"),
        ("ada", (0, 6), "not_allowed"),
        ("ada", (9, 9), "unavailable"),
        ("ada", (0, 4), "unavailable"),
    ],
)
def test_codes_of_pam_become_results(host: Path, name: str, codes: tuple[int, int], result: str) -> None:
    """A reason is told after a right password alone; pam_deny's code is explained from shadow."""
    answer = helper.check(name, WORD, lambda *_: codes)
    assert answer["result"] == result
    assert ("fingerprint" in answer) == (result == "ok")
    assert bool(answer["reason"]) == (result not in ("ok", "wrong"))


def test_login_has_the_fingerprint_from_before_the_check(host: Path) -> None:
    """A password that is changed during the check ends this login too."""

    def change(_name: str, _password: str) -> tuple[int, int]:
        host.write_text(f"ada:{OTHER}:{DAY}:::::\n")
        return 0, 0

    assert helper.check("ada", WORD, change)["fingerprint"] == Record(HASH).fingerprint


def test_name_without_a_hash_costs_a_hash(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PAM hashes for known names alone, so the helper does for the others."""
    hashed: list[str] = []
    monkeypatch.setattr(helper, "hash_in_vain", lambda name, *_: hashed.append(name))
    for name in ("ada", "ghost", "dora"):
        helper.check(name, WORD, lambda *_: (7, 7))
    assert hashed == ["ghost", "dora"]


# --- the hub's client


async def with_server(path: Path, answer: bytes | None, use: Callable[[HelperClient], Awaitable[Any]]) -> Any:
    """Use a client against a server that answers with some bytes, or never (None)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if answer is None:
            await asyncio.sleep(30)
        writer.write(answer or b"")
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        return await use(HelperClient(str(path), timeout=0.2))
    finally:
        server.close()


def test_client_reads_a_verdict_and_a_status(tmp_path: Path) -> None:
    """One line each."""
    answer = b'{"result": "ok", "reason": "", "fingerprint": "f"}\n'
    assert asyncio.run(with_server(tmp_path / "a", answer, lambda it: it.check("ada", WORD))) == Verdict("ok", "", "f")
    answer = b'{"result": "ok", "accounts": {"ada": {"fingerprint": null, "may_log_in": false, "reason": "r"}}}\n'
    status = asyncio.run(with_server(tmp_path / "b", answer, lambda it: it.status()))
    assert status == {"ada": AccountStatus(None, False, "r")}


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", b'{"result": "yes"}\n', None])
def test_client_names_the_socket_and_the_remedy(tmp_path: Path, answer: bytes | None) -> None:
    """A helper that is stopped, too busy, too slow or broken is an error with what to read, without the password."""
    path = tmp_path / "socket"
    with pytest.raises(HelperUnavailable, match=r"systemctl status gpulab-password\.socket") as caught:
        asyncio.run(with_server(path, answer, lambda it: it.check("ada", WORD)))
    assert str(path) in str(caught.value)
    assert WORD not in repr(caught.value)


def test_missing_socket_is_an_error_in_words(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(HelperUnavailable, match="No such file"):
        asyncio.run(HelperClient(str(tmp_path / "none")).status())


# --- cap and delay


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.now += seconds
        self.slept += seconds


def test_state_of_accounts_is_read_once_for_all() -> None:
    """Once for users who come at the same time, again when it is old or must be newer."""

    async def scenario() -> list[int]:
        reads, clock, counts = 0, Clock(), []

        async def read() -> dict[str, AccountStatus]:
            nonlocal reads
            reads += 1
            await asyncio.sleep(0)
            return {"ada": AccountStatus("f")}

        cache = StatusCache(read, 10.0, clock)
        await asyncio.gather(*(cache.get("ada") for _ in range(20)))
        counts.append(reads)
        clock.now += 9
        assert await cache.get("ghost") is None
        counts.append(reads)
        await cache.get("ada", since=clock.now)
        counts.append(reads)
        clock.now += 11
        await cache.get("ada")
        return [*counts, reads]

    assert asyncio.run(scenario()) == [1, 1, 2, 3]


# --- ends of sessions. JupyterHub itself is not installed here: tests/acceptance/test_passwords.py uses the real one.


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

    found: Any = LabPAMAuthenticator()
    found.statuses = {"ada": AccountStatus("new")}

    async def read() -> dict[str, AccountStatus]:
        return dict(found.statuses)

    found.accounts = StatusCache(read, 10.0)
    yield found
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
    """Cookies and tokens end, whoever's request notices it; the server's own token stays good."""
    user = Row({"password": "former"})
    assert asyncio.run(authenticator.refresh_user(user, request(user, client, by, number))) is expected
    assert kept(user) == ("rotated", 4)
    assert SERVER not in [getattr(each, "id", 0) for each in user.deleted]
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


def test_helper_that_does_not_answer_lets_nobody_in(authenticator: Any) -> None:
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
    """For whoever bans addresses; what was typed is quoted, shortened, and never the password."""

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
