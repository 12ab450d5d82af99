# SPDX-License-Identifier: GPL-3.0-or-later
"""The root helper that checks passwords: protocol and results."""

from __future__ import annotations

import json
import os
import pwd
import socket
import types
from pathlib import Path
from typing import Any

import pytest
from gpulab_hub import password_helper as helper
from gpulab_hub.shadow import Record

HASH = "$6$rounds=1000$0123456789abcdef$" + "x" * 86
OTHER = HASH.replace("0123", "4567")
WORD = "a-secret-word"
DAY = 20000
ME = pwd.getpwuid(os.getuid()).pw_name


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
    monkeypatch.setattr(helper, "compute_dummy_hash", lambda *_: None)
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


def test_status_lists_members_of_the_group_only(host: Path) -> None:
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
    """The kernel reports the uid of the peer."""
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
    """Only a right password gets a reason; shadow(5) has that of pam_deny."""
    answer = helper.check(name, WORD, lambda *_: codes)
    assert answer["result"] == result
    assert ("fingerprint" in answer) == (result == "ok")
    assert bool(answer["reason"]) == (result not in ("ok", "wrong"))


@pytest.mark.parametrize(
    ("code", "words"), [(12, "run passwd"), (13, "account has expired"), (16, "password was"), (27, "password was")]
)
def test_reason_tells_an_expired_password_from_an_expired_account(host: Path, code: int, words: str) -> None:
    """Also for an account of a directory service, which shadow(5) does not list."""
    assert words in helper.check("directory-user", WORD, lambda *_: (0, code))["reason"]


def test_login_has_the_fingerprint_from_before_the_check(host: Path) -> None:
    """A password that is changed during the check ends this login too."""

    def change(_name: str, _password: str) -> tuple[int, int]:
        host.write_text(f"ada:{OTHER}:{DAY}:::::\n")
        return 0, 0

    assert helper.check("ada", WORD, change)["fingerprint"] == Record(HASH).fingerprint


def test_name_without_a_hash_costs_a_hash(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PAM hashes for known names alone, so the helper does for the others."""
    hashed: list[str] = []
    monkeypatch.setattr(helper, "compute_dummy_hash", lambda name, *_: hashed.append(name))
    for name in ("ada", "ghost", "dora"):
        helper.check(name, WORD, lambda *_: (7, 7))
    assert hashed == ["ghost", "dora"]
