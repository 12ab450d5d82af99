# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher, which starts and stops servers as root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gpulab_hub import helper_socket, launcher
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("value", [0, 1, 999, -1, "1001", 1001.0, True, None, 65534])
def test_launcher_accepts_listed_users_only(tmp_path: Path, value: Any) -> None:
    """Neither root and system accounts, nor users whom the role users has not listed."""
    (tmp_path / "1001.gpulab-users").touch()
    (tmp_path / "0.gpulab-users").touch()
    assert launcher.listed_uid(1001, tmp_path) == 1001
    with pytest.raises(helper_socket.BadRequest):
        launcher.listed_uid(value, tmp_path)


VALUES = st.dictionaries(
    st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,9}\Z"),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    max_size=5,
)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A\nB", "A\n", "Ä"])
def test_names_that_are_no_variables_are_rejected(name: str) -> None:
    """A line break in a name would be a further line of the file."""
    with pytest.raises(helper_socket.BadRequest):
        launcher.environment_file({name: "x"})
    with pytest.raises(helper_socket.BadRequest, match="GOOD"):
        launcher.environment_file({"GOOD": "a\0b"})


@given(VALUES)
def test_no_value_leaves_its_quotes(environment: dict[str, str]) -> None:
    r"""Read back by the rules of systemd.exec(5): in double quotes a backslash stands before " \\ ` and $."""
    text = launcher.environment_file(environment)
    parsed = {}
    while text:
        name, _, text = text.partition('="')
        value, position = "", 0
        while text[position] != '"':
            if text[position] == "\\":
                position += 1
            value += text[position]
            position += 1
        assert text[position + 1] == "\n"
        parsed[name], text = value, text[position + 2 :]
    assert parsed == environment


def test_environment_is_roots_and_replaces_a_link(tmp_path: Path) -> None:
    """What a link points to is never written."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("1001", ".1001"):
        (tmp_path / name).symlink_to(victim)
    launcher.write_environment(tmp_path / "1001", 'A="b"\n')
    assert victim.read_text() == "kept"
    assert (tmp_path / "1001").read_text() == 'A="b"\n'
    assert (tmp_path / "1001").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "request_", [{}, {"action": "restart", "uid": 1001}, {"action": "stop", "uid": 0}, {"action": "start", "uid": 1001}]
)
def test_other_requests_are_rejected(request_: dict[str, Any]) -> None:
    """Before anything is done."""
    with pytest.raises(helper_socket.BadRequest):
        launcher.answer(request_)
