# SPDX-License-Identifier: GPL-3.0-or-later
"""Components that apt's sources lack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.driver.sources import (
    missing_sources,
    signed_by,
    source_entries,
)

LIST = "/etc/apt/sources.list.d/gpulab-nvidia-archive.list"
WANTED = ["contrib", "non-free", "non-free-firmware"]


@dataclass
class Entry:
    """An entry of apt's sources, as python-apt returns it."""

    uri: str
    dist: str
    comps: list[str]
    file: str = "/etc/apt/sources.list"
    type: str = "deb"
    invalid: bool = False
    disabled: bool = False
    line: str = "deb"
    section: dict[str, str] | None = None
    uris: list[str] = field(default_factory=list)
    suites: list[str] = field(default_factory=list)


@dataclass
class Line:
    """An entry in the one-line format."""

    line: str
    section: None = field(default=None)


def missing(*entries: Entry) -> list[tuple[str, str, str, str]]:
    """Return address, suite, components and keyring of what the entries lack."""
    sources = missing_sources(source_entries(entries), WANTED, LIST)
    return [(source["uri"], source["suite"], " ".join(source["components"]), source["signed_by"]) for source in sources]


def test_missing_components_are_added_at_the_hosts_own_addresses() -> None:
    """Mirrors and suites stay; entries of other vendors, disabled entries and source packages do not matter."""
    result = missing(
        Entry("http://mirror.example/debian", "bookworm", ["main"]),
        Entry("http://mirror.example/debian", "bookworm", ["contrib"]),
        Entry(
            "http://security.example/debian-security",
            "bookworm-security",
            ["main"],
            line="deb [signed-by=/k.gpg] http://security.example/debian-security bookworm-security main",
        ),
        Entry("https://vendor.example/apt", "stable", ["nightly"]),
        Entry("http://mirror.example/debian", "sid", ["main"], disabled=True),
        Entry("http://mirror.example/debian", "bookworm", ["main"], type="deb-src"),
    )
    assert result == [
        ("http://mirror.example/debian", "bookworm", "non-free non-free-firmware", ""),
        (
            "http://security.example/debian-security",
            "bookworm-security",
            "contrib non-free non-free-firmware",
            "/k.gpg",
        ),
    ]


def test_own_entries_do_not_count() -> None:
    """A second run would remove them otherwise."""
    own = Entry("http://m.example/debian", "trixie", WANTED, file=LIST)
    expected = [("http://m.example/debian/", "trixie", "contrib non-free non-free-firmware", "")]
    assert missing(Entry("http://m.example/debian/", "trixie", ["main"]), own) == expected
    assert missing(Entry("http://m.example/debian", "trixie", ["main", *WANTED])) == []


def test_every_address_and_suite_of_a_stanza_counts() -> None:
    """A deb822 stanza with two suites becomes two entries with its keyring."""
    stanza = Entry("", "", ["main", "contrib", "non-free"], section={"Signed-By": "/k.gpg"})
    stanza.uris, stanza.suites = ["http://m.example/debian"], ["trixie", "trixie-updates"]
    assert missing(stanza) == [
        ("http://m.example/debian", suite, "non-free-firmware", "/k.gpg") for suite in ("trixie", "trixie-updates")
    ]


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (Line("deb [arch=amd64 signed-by=/usr/share/k.gpg] http://m.example x main"), "/usr/share/k.gpg"),
        (Line("deb [signed-by=/k.gpg arch=amd64] http://m.example x main"), "/k.gpg"),
        (Line("deb http://m.example x main"), ""),
    ],
)
def test_keyring_of_an_entry_is_kept(entry: Any, key: str) -> None:
    """Without it, apt would not trust the added lines."""
    assert signed_by(entry) == key
