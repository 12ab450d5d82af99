# SPDX-License-Identifier: GPL-3.0-or-later
"""The README of every role has the same parts, an example that shows a choice, and all options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.doc_tables import flat

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
PARTS = ["Example", "Apply before this role", "Options"]
every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def options(role: Path) -> dict[str, Any]:
    """Return the options of all entry points of a role."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    return {name: option for spec in specs.values() for name, option in (spec.get("options") or {}).items()}


@every_role
def test_readme_follows_the_template(role: Path) -> None:
    """Purpose, example, what must run before, options: in this order."""
    text = (role / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# Role gpulab.core.{role.name}\n\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS


@every_role
def test_example_applies_the_role_with_a_choice(role: Path) -> None:
    """The example is a play that sets an existing option to another value than its default."""
    text = (role / "README.md").read_text(encoding="utf-8")
    plays = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text.partition("## Example")[2], re.DOTALL)[0])
    known = options(role)
    assert plays[0]["roles"] == [f"gpulab.core.{role.name}"]
    assert set(plays[0]["vars"]) <= set(known)
    assert any(known[name].get("default") != value for name, value in plays[0]["vars"].items())


@every_role
def test_every_option_is_in_the_table(role: Path) -> None:
    """Nested options too."""
    text = (role / "README.md").read_text(encoding="utf-8")
    assert [name for name, _option in flat(options(role)) if f"| `{name}` |" not in text] == []
