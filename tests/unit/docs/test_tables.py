# SPDX-License-Identifier: GPL-3.0-or-later
"""Option tables have every option in short cells."""

from __future__ import annotations

from scripts.doc_tables import LONGEST_CELL, option_table, plain

OPTIONS = {
    "users_accounts": {
        "type": "list",
        "elements": "dict",
        "description": ["The users.", "Removing a name revokes access."],
        "options": {"name": {"type": "str", "required": True, "description": "Login name, as V(ada)."}},
    },
    "users_mode": {"type": "str", "choices": ["a", "b"], "default": "a", "description": "A | B."},
    "users_long": {"type": "str", "description": "x" * LONGEST_CELL + "y. Rest."},
    "users_flag": {"type": "bool", "default": False, "description": "Whether C(users_mode) holds."},
}


def test_table_has_nested_options_choices_and_defaults() -> None:
    """A required option says so, choices replace the type, and a separator inside a cell is escaped."""
    lines = option_table(OPTIONS).splitlines()
    assert "| `users_accounts` | list of dict |  | The users. |" in lines
    assert "| `users_accounts[].name` | str | required | Login name, as `ada`. |" in lines
    assert r"| `users_mode` | `a`, `b` | `a` | A \| B. |" in lines
    assert "| `users_flag` | bool | `false` | Whether `users_mode` holds. |" in lines


def test_long_descriptions_follow_the_table() -> None:
    """A cell holds one sentence; the rest, or a sentence that is too long, is in the list below."""
    text = option_table(OPTIONS)
    assert "- `users_accounts`: Removing a name revokes access." in text
    assert "| `users_long` | str |  | See below. |" in text
    assert f"- `users_long`: {'x' * LONGEST_CELL}y. Rest." in text


def test_markup_of_ansible_becomes_code() -> None:
    """Readers of Markdown do not know C() and O()."""
    assert plain("Set O(a.b) to V(true), see U(https://x.example).") == "Set `a.b` to `true`, see <https://x.example>."
