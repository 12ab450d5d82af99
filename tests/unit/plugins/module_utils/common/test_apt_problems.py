# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes of a failure of apt, from recorded output and from real locks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common import apt_problems

SECONDS = 30


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    """Make lists of package sources as an old host has them."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "deb http://deb.debian.org/debian bookworm main\n# deb http://127.0.0.1:9/ppa x\n"
    )
    (parts / "old-ppa.list").write_text("deb [trusted=yes] http://127.0.0.1:9/ppa stable main\n")
    (parts / "vendor.sources").write_text("Types: deb\nURIs: https://svc:s3cret@vendor.example/apt/\nSuites: ./\n")
    (parts / "other.list").write_text("deb http://127.0.0.1:9/ppa2 stable main\n")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "file", "words"),
    [
        (
            "Err:1 http://127.0.0.1:9/ppa stable InRelease\n  Could not connect to 127.0.0.1:9\n"
            "W: Failed to fetch http://127.0.0.1:9/ppa/dists/stable/InRelease  Could not connect to 127.0.0.1:9.\n"
            "W: Some index files failed to download. They have been ignored, or old ones used instead.\n",
            "old-ppa.list",
            "(http://127.0.0.1:9/ppa): Could not connect to 127.0.0.1:9",
        ),
        (
            "Error: The repository 'http://127.0.0.1:9/ppa stable Release' does not have a Release file.\n",
            "old-ppa.list",
            "does not have a Release file",
        ),
        (
            "W: GPG error: http://127.0.0.1:9/ppa stable InRelease: The following signatures were invalid: "
            "EXPKEYSIG 1A2B X\n"
            "E: The repository 'http://127.0.0.1:9/ppa stable InRelease' is not signed.\n",
            "old-ppa.list",
            "EXPKEYSIG 1A2B X: renew its key, or remove the file",
        ),
        (
            "W: An error occurred during the signature verification. The repository is not updated and the previous "
            "index files will be used. GPG error: https://vendor.example/apt ./ InRelease: The following signatures "
            "were invalid because the public key is not available: NO_PUBKEY 1A2B\n",
            "vendor.sources",
            "NO_PUBKEY 1A2B: renew its key",
        ),
        (
            "E: Release file for http://deb.debian.org/debian/dists/bookworm/InRelease is not valid yet (invalid for "
            "another 3h 2min). Updates for this repository will not be applied.\n",
            "sources.list",
            "is not valid yet",
        ),
        (
            "E: Failed to fetch https://vendor.example/apt/Packages.gz  404  Not Found [IP: 192.0.2.1 443]\n",
            "vendor.sources",
            "404  Not Found",
        ),
    ],
)
def test_list_that_cannot_be_updated_is_named_with_its_file(apt: Path, output: str, file: str, words: str) -> None:
    """One entry for each, the file that has it and not one with a similar address, and no login."""
    found = apt_problems.failed_lists(output, apt)
    assert [Path(entry["file"]).name for entry in found] == [file]
    sentence = apt_problems.list_sentence(found[0])
    assert words in sentence
    assert "s3cret" not in sentence


def test_list_that_cannot_be_read_is_named() -> None:
    """All other lists are not read either."""
    output = (
        "E: Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (Suite)\nE: The list of sources could not"
    )
    found = apt_problems.failed_lists(output, Path("/nonexistent"))
    assert [entry["file"] for entry in found] == ["/etc/apt/sources.list.d/x.list"]
    assert "Malformed entry 1" in apt_problems.list_sentence(found[0])


def test_working_lists_give_nothing(apt: Path) -> None:
    """Notices and warnings about other things do not count."""
    output = "Hit:1 http://deb.debian.org/debian bookworm InRelease\nN: Repository changed\nReading package lists...\n"
    assert apt_problems.failed_lists(output, apt) == []


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock of fcntl, as apt does, in another process."""
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('held', flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "lock"), "http://svc:s3cret@mirror/"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_holder_of_a_lock_is_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """With its process and its command."""
    found = apt_problems.lock_holders([str(tmp_path / "none"), str(tmp_path / "lock"), str(tmp_path / "lock")])
    assert len(found) == 1
    assert found[0].startswith(f"process {holder.pid} ({sys.executable} -c import fcntl")
    assert "s3cret" not in found[0]


def test_free_and_missing_locks_have_no_holder(tmp_path: Path) -> None:
    """A file alone is not a lock."""
    (tmp_path / "lock").touch()
    assert apt_problems.lock_holders([str(tmp_path / "lock"), str(tmp_path / "none")]) == []
