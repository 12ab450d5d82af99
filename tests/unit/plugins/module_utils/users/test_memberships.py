# SPDX-License-Identifier: GPL-3.0-or-later
"""Record of the memberships and passwords that the role has set, and the memberships that a run revokes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.users import memberships
from ansible_collections.gpulab.core.plugins.module_utils.users.memberships import Group, Record, plan, sets_password

OWNED = ["lab", "admins"]
HOST = {
    "lab": Group(990, frozenset({"ada", "eve"})),
    "admins": Group(991, frozenset({"ada", "grace"})),
    "class": Group(1100, frozenset({"ada", "victor", "by-hand"})),
    "video": Group(44, frozenset({"ada", "victor", "by-hand"})),
    "ada": Group(1001, frozenset()),
}
KNOWN = Record({"class"}, {"class": {"ada", "victor"}, "video": {"ada", "victor"}})


def revoked(record: Record | None, requested: dict[str, set[str]], **more: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Return the memberships that a run revokes on the host above."""
    every = {"lab": {"ada", "eve"}, "admins": {"ada", "grace"}, **requested}
    return set(plan(record, every, HOST, OWNED, more.get("others", {})).revoked)


def test_group_of_the_role_has_only_the_requested_members() -> None:
    """Also a member that was added by hand is removed; in a group that existed before, only the role's own member."""
    found = revoked(KNOWN, {"class": {"ada"}, "video": {"ada"}})
    assert found == {("class", "victor"), ("class", "by-hand"), ("video", "victor")}


CLASS = [f"user{number:02}" for number in range(60)]


@pytest.mark.parametrize(
    ("leaving", "present", "confirmed", "stops"),
    [
        (4, 4, 0, False),
        (5, 5, 0, True),
        (5, 15, 0, False),
        (5, 14, 0, True),
        (20, 60, 0, False),
        (21, 60, 0, True),
        (60, 60, 59, True),
        (60, 60, 61, True),
        (60, 60, 60, False),
        (0, 60, 0, False),
    ],
)
def test_many_leavers_must_be_confirmed_by_their_number(
    leaving: int, present: int, confirmed: int, stops: bool
) -> None:
    """From five on, when they are more than a third of the users who have access."""
    assert bool(memberships.unconfirmed_removals(CLASS[:leaving], present, confirmed)) is stops


def test_message_names_ten_leavers_and_the_number_to_confirm() -> None:
    """A list that was lost is recognised by its names."""
    text = memberships.unconfirmed_removals(CLASS[:12], 12, 0)
    assert "12 of 12 users would lose their access: user00, user01" in text
    assert "user09 and 2 more. " in text
    assert "user10" not in text
    assert "-e users_confirm_removals=12." in text
    assert " more" not in memberships.unconfirmed_removals(CLASS[:10], 12, 0)


def test_owned_groups_have_only_the_requested_members() -> None:
    """The groups of users and of administrators, also when the role did not create them."""
    assert revoked(KNOWN, {"class": {"ada", "victor", "by-hand"}, "video": {"ada", "victor"}, "lab": {"ada"}}) == {
        ("lab", "eve")
    }


def test_group_that_is_no_longer_listed_loses_all_members() -> None:
    """A group that the role made is emptied; of others the members that the role added are removed."""
    assert revoked(KNOWN, {}) == {
        ("class", "ada"),
        ("class", "victor"),
        ("class", "by-hand"),
        ("video", "ada"),
        ("video", "victor"),
    }


def test_group_that_existed_before_keeps_its_members() -> None:
    """On a host that the role has never converged, no membership is revoked."""
    host = {name: group for name, group in HOST.items() if name not in OWNED}
    found = plan(None, {"lab": {"ada"}, "class": {"ada"}, "new": set()}, host, OWNED, {})
    assert found.revoked == []
    assert found.made == {"new"}


def test_group_with_members_that_are_not_listed_is_not_taken_over() -> None:
    """On a host without a record, such as one whose group has the name that the role would use."""
    found = memberships.foreign_members(None, {"lab": {"ada"}, "admins": {"ada", "grace"}}, HOST, OWNED, {})
    assert len(found) == 1
    assert "group lab exists, and eve in it is not listed in users_accounts" in found[0]
    assert "gpasswd --delete eve lab" in found[0]
    every = {"lab": {"ada", "eve"}, "admins": {"ada", "grace"}}
    assert memberships.foreign_members(None, every, HOST, OWNED, {}) == []
    assert memberships.foreign_members(None, {"lab": {"ada"}}, HOST, ["lab"], {"lab": {"eve"}}) == []
    assert memberships.foreign_members(Record(), {"lab": {"ada"}}, HOST, OWNED, {}) == []


@pytest.mark.parametrize(
    ("now", "requested", "recorded", "member", "keeps"),
    [
        (1, None, {"ada": None}, True, True),  # usermod --expiredate 1 by hand
        (20000, 19000, {"ada": 19000}, True, True),  # a longer time by hand
        (1, None, {"ada": 19000}, True, False),  # changed in the inventory
        (1, None, {"ada": None}, False, False),  # a user who comes back
        (1, None, {}, True, False),  # a record without days of expiry
        (None, 19000, {"ada": 19000}, True, True),  # chage --expiredate -1 by hand
    ],
)
def test_expiry_that_was_set_by_hand_stays(
    now: int | None, requested: int | None, recorded: dict[str, int | None], member: bool, keeps: bool
) -> None:
    """Until the inventory changes."""
    record = Record(members={"lab": {"ada"} if member else set()}, expires=recorded)
    assert memberships.keeps_expiry(now, requested, record, "ada", "lab") is keeps
    assert not memberships.keeps_expiry(now, requested, None, "ada", "lab")


def test_membership_of_another_application_stays() -> None:
    """What a second application of the role grants on the same host is not revoked by the first."""
    found = revoked(KNOWN, {"class": {"ada"}, "video": {"ada"}}, others={"class": {"by-hand"}, "video": {"victor"}})
    assert found == {("class", "victor")}


def test_interrupted_run_is_completed() -> None:
    """What is granted and revoked stands in the record from before until after, so the next run revokes it, too."""
    requested = {"lab": {"ada", "eve"}, "admins": {"ada", "grace"}, "class": {"ada"}, "video": {"ada", "eve"}}
    first = plan(KNOWN, requested, HOST, OWNED, {})
    between = memberships.parsed(first.record_before(KNOWN, requested, {}).text())
    assert between.made == {"class"}
    assert between.members["video"] == {"ada", "victor", "eve"}
    assert between.members["class"] == {"ada", "victor", "by-hand"}
    # Membership is gone already, sessions and files may not be handled yet.
    host = {**HOST, "class": Group(1100, frozenset({"ada"}))}
    assert ("class", "victor") in plan(between, requested, host, OWNED, {}).revoked


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Records of other applications are in the same directory; a broken one is named with the remedy."""
    path = tmp_path / "lab.json"
    assert memberships.stored(path) is None
    record = Record({"class"}, {"class": {"ada"}}, {"ada": "d"}, {"ada": 20000, "joe": None})
    path.write_text(record.text())
    (tmp_path / "physics.json").write_text(Record(set(), {"video": {"joe"}}).text())
    assert memberships.stored(path) == record
    assert memberships.granted_by_others(path) == {"video": {"joe"}}
    for text in ("{", "[]", '{"made": 1, "members": {}, "passwords": {}}', '{"made": []}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"lab\.json is not a record of memberships .*remove it"):
            memberships.stored(path)


def test_record_holds_no_hash() -> None:
    """A digest, from which neither the hash nor the password can be read."""
    assert memberships.digest("$6$salt$hash") not in ("$6$salt$hash", "")
    assert len(memberships.digest("$6$salt$hash")) == 64


@pytest.mark.parametrize(
    ("now", "known", "keeps_own", "sets"),
    [
        (None, None, False, True),  # a new account
        ("!", "new", False, True),  # an account made again by hand: it never had a password
        ("$6$new", None, False, False),  # the host has it already
        ("!$6$new", None, False, False),  # and is locked
        ("$6$own", "new", False, False),  # the user's own password
        ("!$6$own", "new", False, False),  # locked by an administrator
        ("$6$own", "old", False, True),  # reset in the inventory
        ("$6$own", None, False, True),  # an adopted account
        ("$6$own", None, True, False),  # converged before there was a record
        ("", "new", False, True),  # no password at all is no choice
    ],
)
def test_hash_is_set_when_it_is_new_in_the_inventory(now: str | None, known: str, keeps_own: bool, sets: bool) -> None:
    """A user's own passwd survives; a changed inventory resets the password."""
    stored = memberships.digest(f"$6${known}") if known else None
    assert sets_password("$6$new", now, stored, keeps_own) is sets


def test_locked_account_stays_locked() -> None:
    """A lock has a password behind it; an account without any is not locked."""
    assert memberships.is_locked("!$6$x")
    assert not any(map(memberships.is_locked, (None, "", "!", "*", "$6$x")))


def test_digest_of_a_leaver_is_kept() -> None:
    """A user who comes back has the own password; an account that was removed starts again."""
    record = Record(passwords={"eve": "e", "gone": "g", "ada": "old"})
    found = memberships.remembered({"ada": "$6$x"}, ["ada"], ["ada", "eve"], record)
    assert found == {"eve": "e", "ada": memberships.digest("$6$x")}
    assert memberships.remembered({}, ["ada"], ["ada"], record) == {}
