# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of servers."""

from __future__ import annotations

from typing import Any

import pytest
from gpulab_hub import options


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
        ({"gpus": 1}, "Unknown options of a server: gpus; known options are gpu"),
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
