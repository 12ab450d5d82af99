# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of shadow(5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpulab_hub import shadow as hub_shadow

from ansible_collections.gpulab.core.plugins.module_utils.common import shadow
from ansible_collections.gpulab.core.plugins.module_utils.common.shadow import Record, records

HASH = "$6$rounds=1000$0123456789abcdef$" + "x" * 86
OTHER = HASH.replace("0123", "4567")
DAY = 20000


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
def test_record_rejects_what_pam_rejects(record: Record, result: str) -> None:
    """Order and comparisons of pam_unix; a password that is kept elsewhere is no reason."""
    assert record.problem(DAY)[0] == result
    assert bool(record.problem(DAY)[1]) == bool(result)


def test_shadow_is_read_by_field() -> None:
    """Empty days stay empty, and a broken line is left out."""
    result = records(f"ada:{HASH}:19000:0:90:7:14:20000:\nbroken:x\neve:*:::::::\n")
    assert result == {"ada": Record(HASH, 19000, 90, 14, 20000), "eve": Record("*")}


def test_hub_and_modules_share_the_file() -> None:
    """The package has a link, which the action plugin and the artefact resolve."""
    assert Path(hub_shadow.__file__).resolve() == Path(shadow.__file__).resolve()
