# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin distribution_packages: what it does when apt fails, and how it explains that."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.gpulab.core.plugins.action.distribution_packages import ActionModule, explain

OLD_LIST = (
    "/etc/apt/sources.list.d/old-ppa.list (http://127.0.0.1:9/ppa): Could not connect: correct it, or remove the file"
)
UPDATE_FAILED = {"failed": True, "msg": "Failed to update apt cache after 5 retries: "}


class Task:
    """A task with its options."""

    args = {"name": ["git"]}  # noqa: RUF012
    check_mode = False
    async_val = 0


class Display:
    """Collects what a user reads."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def display(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


def run(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], **state: Any
) -> tuple[dict[str, Any], list[Any]]:
    """Run the action with these answers of apt, and return its result and the arguments that apt got."""
    plugin = ActionModule.__new__(ActionModule)
    plugin._task, plugin._display = Task(), Display()
    calls: list[Any] = []

    def execute(module_name: str, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:
        if module_name == "ansible.builtin.apt":
            calls.append(dict(module_args))
            return answers[len(calls) - 1]
        if module_args.get("diagnose"):
            return {"failed_lists": [], "lock_holders": [], "full_file_systems": [], **state}
        return {"missing": ["git"], "lists": True, "lock_holders": state.get("lock_holders", [])}

    monkeypatch.setattr(plugin, "_execute_module", execute)
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    result = plugin.run(task_vars={"inventory_hostname": "gpu1"})
    return {**result, "displayed": plugin._display.lines}, calls


def test_dead_list_does_not_stop_what_the_others_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed without an update, with a warning that names the list."""
    result, calls = run(monkeypatch, [UPDATE_FAILED, {"changed": True}], failed_lists=[OLD_LIST])
    assert result["changed"]
    assert not result.get("failed")
    assert result["warnings"] == [f"The packages were installed, although {OLD_LIST}."]
    assert [(call["update_cache"], call["cache_valid_time"] > 0) for call in calls] == [(True, True), (False, False)]


def test_dead_list_is_named_when_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of the update stays, too."""
    second = {"failed": True, "msg": "No package matching 'git' is available"}
    result, _ = run(monkeypatch, [UPDATE_FAILED, second], failed_lists=[OLD_LIST])
    assert result["failed"]
    assert OLD_LIST in result["msg"]
    assert "Failed to update apt cache" in result["msg"]
    assert "causes" not in result


def test_holder_of_the_lock_is_named_before_and_after_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """With process and command."""
    holder = "process 812 (/usr/bin/python3 /usr/bin/unattended-upgrade)"
    message = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (python3)"
    result, calls = run(monkeypatch, [{"failed": True, "msg": message}], lock_holders=[holder])
    assert f"gpu1: {holder} holds the lock" in result["displayed"][0]
    assert f"was held by {holder}" in result["msg"]
    assert len(calls) == 1


def test_output_of_apt_has_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all keys of the result."""
    url = "http://svc:s3cret@mirror/debian"
    answer = {"failed": True, "msg": f"E: broken {url}", "stderr": url, "stdout_lines": [url], "cmd": ["apt", url]}
    result, _ = run(monkeypatch, [answer])
    assert "s3cret" not in str(result)


@pytest.mark.parametrize(
    ("message", "causes", "words"),
    [
        ("E: Release file for http://x/InRelease is not valid yet (invalid for another 3h).", {}, "timedatectl"),
        (
            "Failed to update apt cache after 5 retries: ",
            {
                "failed_lists": [
                    "/etc/apt/sources.list (http://x): is not valid yet (invalid for another 3h): correct it"
                ]
            },
            "timedatectl",
        ),
        (
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            {"full_file_systems": ["/var"]},
            "mounted at /var",
        ),
        ("dpkg: error: cannot copy: failed to write (No space left on device)", {}, "disk is full"),
        ("E:Malformed entry 1 in list file /etc/apt/sources.list.d/x.list (Suite)", {}, "cannot read a list"),
        ("Could not resolve 'deb.debian.org'", {}, "cannot reach its package mirror"),
        ("No package matching 'x' is available", {}, "components"),
        ("Unable to acquire the dpkg frontend lock", {}, "another package manager"),
        ("E: something else", {}, "dpkg --audit"),
    ],
)
def test_failures_of_apt_name_their_cause(message: str, causes: dict[str, Any], words: str) -> None:
    """The message of apt stays."""
    text = explain(message, ["git"], causes)
    assert words in text
    assert message in text
