# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's record of memberships is readable to root only, and passwd rejects short passwords."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.expected import Expected

RECORDS = "/var/lib/gpulab/users"


def test_record_of_memberships_is_roots(host: Any, expected: Expected) -> None:
    """It names the members that the role requested, and holds digests of 64 digits in place of hashes."""
    directory, file = host.file(RECORDS), host.file(f"{RECORDS}/{expected.users_group}.json")
    assert (directory.user, directory.mode) == ("root", 0o700)
    assert (file.user, file.mode) == ("root", 0o600)
    record = json.loads(file.content_string)
    assert set(record["members"].get(expected.users_group, [])) == set(expected.present)
    assert {len(digest) for digest in record["passwords"].values()} <= {64}
    assert "$" not in file.content_string


def test_groups_of_the_role_have_the_requested_members_alone(host: Any, expected: Expected) -> None:
    """A group that the role made has no other members."""
    record = json.loads(host.file(f"{RECORDS}/{expected.users_group}.json").content_string)
    for group in record["made"]:
        entry = host.run("getent group %s", group).stdout.strip()
        assert set(entry.split(":")[3].split(",")) - {""} == set(record["members"].get(group, [])), group


def test_short_password_is_rejected(host: Any, login: tuple[str, str]) -> None:
    """The user's own password is needed and stays; root's rules of the host may be stricter."""
    limit = host.file("/etc/security/pwquality.conf.d/gpulab.conf")
    if not limit.exists:
        pytest.skip("users_password_length is 0: the host's own rules hold")
    least = int(limit.content_string.partition("minlen = ")[2])
    before = host.run("getent shadow %s", login[0]).stdout
    short = "qX7-" * 8
    words = [login[1], *[short[: least - 1]] * 2]
    done = host.run("printf '%%s\\n' %s %s %s | runuser -u %s -- passwd", *words, login[0])
    assert done.rc != 0
    assert f"shorter than {least} characters" in done.stderr + done.stdout
    assert host.run("getent shadow %s", login[0]).stdout == before
