# SPDX-License-Identifier: GPL-3.0-or-later
"""The log filter, which keeps lines about logins during a flood."""

from __future__ import annotations

import logging

import pytest
from gpulab_hub import log_filter


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    """Give a line of the log."""
    return logging.LogRecord("JupyterHub", level, __file__, 1, text, (), None)


def test_lines_about_logins_survive_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other lines are dropped, and their number is logged."""
    now = [0.0]
    monkeypatch.setattr("gpulab_hub.log_filter.time.monotonic", lambda: now[0])
    flood = log_filter.FloodFilter()
    written = sum(flood.filter(record("200 GET /hub/login")) for _ in range(50_000))
    assert written == log_filter.BURST
    assert flood.filter(record("Login failed (%r@%s): %s", logging.WARNING))
    assert flood.filter(record("Login of %s from %s"))
    assert not flood.filter(record("Traceback", logging.ERROR))
    now[0] += 1
    line = record("Login form", logging.ERROR)
    assert flood.filter(line)
    line = record("next")
    assert flood.filter(line)
    assert line.getMessage() == f"({50_001 - log_filter.BURST} lines were dropped before this one) next"
    # journald takes what is left, and all lines about logins.
    assert log_filter.BURST + 30 * log_filter.RATE <= 5000
