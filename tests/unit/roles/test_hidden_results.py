# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets stay out of the output, and loops over users or files still show which one is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from tests.support.paths import ROOT

LOADER = DataLoader()


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a file, those of blocks included."""
    for entry in entries:
        yield entry
        for part in ("block", "rescue", "always"):
            yield from tasks(entry.get(part) or [])


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("roles/*/tasks/*.yml")), ids=lambda path: f"{path.parts[-3]}/{path.name}"
)
def test_hidden_tasks_have_no_loop(path: Any) -> None:
    """Ansible hides the item together with the result: loops have names as items, and modules hide values.

    A condition hides only the addresses that have a login.
    """
    for task in tasks(yaml.safe_load(path.read_text()) or []):
        assert not (task.get("no_log") is True and "loop" in task), task["name"]


def test_accounts_are_changed_by_name() -> None:
    """No item and no result holds the hash; the module's own argument is hidden by Ansible."""
    path = ROOT / "roles/users/tasks/accounts.yml"
    (task,) = (
        task for task in LOADER.load_from_file(str(path), trusted_as_template=True) if "ansible.builtin.user" in task
    )
    plans: list[dict[str, Any]] = [
        {"account": {"name": name, "password_hash": f"$6$salt${name}", "groups": []}}
        for name in ("ada", "grace", "eve")
    ]
    state: dict[str, Any] = {
        "differing": ["eve", "ada"],
        "new_passwords": ["ada"],
        "locked": ["ada"],
        "unreadable_homes": [],
    }
    state |= {"uids": {"eve": 1001}, "kept_expiries": []}
    variables = {"__users_plans": plans, "__users_state": state, **task["vars"]}
    items = Templar(loader=LOADER, variables=variables).template(task["loop"])
    assert items == ["ada", "eve"]
    options = Templar(loader=LOADER, variables={**variables, "item": "ada", "omit": "OMITTED"}).template(
        task["ansible.builtin.user"]
    )
    assert (options["name"], options["password"], options["uid"]) == ("ada", "!$6$salt$ada", "OMITTED")
    assert int(options["expires"]) == -1
