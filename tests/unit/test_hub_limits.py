"""Lines of the log that survive a flood, and options of servers that are accepted."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/jupyterhub/files/gpulab_hub/src"))

from gpulab_hub import grants, log_filter, options


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    """Give a line of the log."""
    return logging.LogRecord("JupyterHub", level, __file__, 1, text, (), None)


def test_lines_about_logins_survive_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other lines are dropped, and their number is told."""
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


@pytest.mark.parametrize(
    "given", [None, {}, {"gpu": "1"}, {"gpu": 2, "profile": ["a", "b"]}, {"gpu": True, "profile": None}]
)
def test_known_options_are_accepted(given: Any) -> None:
    """Texts, numbers, and lists of them, as forms send them."""
    options.check(given, {"gpu", "profile"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x" * 5000: 1}, "Unknown options of a server: xxxx"),
        ({"gpus": 1}, "Unknown options of a server: gpus; known are gpu"),
        ({"gpu": {"a": 1}}, "gpu of a server must be a text"),
        ({"gpu": [[1]]}, "gpu of a server must be a text"),
        ({"gpu": "x" * 5000}, "larger than 4096 bytes"),
        ("text", "must be an object"),
    ],
)
def test_other_options_are_rejected(given: Any, words: str) -> None:
    """With a message that is short itself."""
    with pytest.raises(options.UnknownOptions, match=words) as caught:
        options.check(given, {"gpu"})
    assert len(str(caught.value)) < 300


def test_options_are_those_that_granters_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A granter without the attribute reads none."""

    class GPUs:
        options = frozenset({"gpus"})

    found: dict[str, Any] = {"a": GPUs(), "b": object()}
    monkeypatch.setattr(grants, "granters", lambda: found)
    assert grants.known_options() == {"gpus"}
    found.clear()
    assert grants.known_options() == frozenset()
