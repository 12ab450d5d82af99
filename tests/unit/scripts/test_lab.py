# SPDX-License-Identifier: GPL-3.0-or-later
"""`make lab`: a host that runs as it is described is not started again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import lab
from tests.support import processes


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that describes a host that was started."""
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setattr(lab, "STARTED", tmp_path / "started")
    monkeypatch.setattr(lab, "DESCRIPTION", ("inventory",))
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yml").write_text("lab:")
    (tmp_path / "started").write_text(lab.digest())
    return tmp_path / "inventory"


def answering(code: int) -> Any:
    """Return a function that runs no program and ends with this exit code."""
    return lambda argv, **_: subprocess.CompletedProcess(argv, code, "", "")


def test_running_host_is_recognised(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its description and by an answer; a host that is stopped, or never answers, is started."""
    monkeypatch.setattr(processes, "run", answering(0))
    assert lab.answers()
    monkeypatch.setattr(processes, "run", answering(4))
    assert not lab.answers()

    def hang(argv: list[str], **_: Any) -> None:
        raise processes.TimeLimitExceeded(argv[0])

    monkeypatch.setattr(processes, "run", hang)
    assert not lab.answers()


def test_changed_description_starts_the_host_again(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file, another distribution, or a host that was never started."""
    monkeypatch.setattr(processes, "run", answering(0))
    monkeypatch.setenv("DISTRO", "trixie")
    assert not lab.answers()
    monkeypatch.delenv("DISTRO")
    assert lab.answers()
    (started / "hosts.yml").write_text("lab: {}")
    assert not lab.answers()
    lab.STARTED.unlink()
    assert not lab.answers()
