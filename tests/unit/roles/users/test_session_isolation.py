# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolation of sessions. The jumps in PAM's lines count modules: a mistake locks users out or isolates no session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ansible_collections.gpulab.core.plugins.module_utils.common import text_blocks

ROLE = Path(__file__).resolve().parents[4] / "roles" / "users"
SSHD = "@include common-session\n@include common-password\n"
VARS: dict[str, Any] = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text(encoding="utf-8"))
SERVICES: list[str] = VARS["__users_pam_services"]


def rendered(name: str, **more: Any) -> str:
    """Return a template of the role as Ansible renders it for the group lab."""
    made = Environment(  # noqa: S701  # configuration files, no HTML
        loader=FileSystemLoader(ROLE / "templates"),
        trim_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    made.filters["bool"] = bool
    return made.get_template(name).render(
        {**VARS, **DEFAULTS, "users_group": "lab", "ansible_managed": "Ansible managed", **more}
    )


LINES = {service: rendered("pam-session.j2", pam_service=service).splitlines() for service in SERVICES}


def modules_run(lines: list[str], member: bool, root: bool) -> list[str]:
    """Return the modules that PAM runs for a user who is or is not in the two groups."""
    found, position = [], 0
    while position < len(lines):
        line = lines[position]
        position += 1
        if line.startswith("#"):
            continue
        if "pam_succeed_if" not in line:
            found.append(re.findall(r"pam_\w+", line)[0])
            continue
        success = root if line.endswith("sudo") else member
        jump = re.search(rf"{'success' if success else 'default'}=(\w+)", line)
        assert jump
        position += int(jump[1]) if jump[1].isdecimal() else 0
    assert position == len(lines), "a jump led beyond the last line: PAM would reject the login"
    return found


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("member", "root"), [(True, False), (True, True), (False, False), (False, True)])
def test_only_members_without_root_are_isolated(service: str, member: bool, root: bool) -> None:
    """Members of the group sudo and accounts outside the group keep the host's directories and umask."""
    run = modules_run(LINES[service], member, root)
    isolated = ["pam_umask", "pam_namespace"] if member and not root else []
    assert [name for name in run if name in ("pam_umask", "pam_namespace")] == isolated
    assert run[-1] == "pam_permit"


def test_commands_over_ssh_get_the_session_environment() -> None:
    """All members do, also those who may become root; other accounts do not."""
    assert [modules_run(LINES["sshd"], member, root=True).count("pam_env") for member in (True, False)] == [3, 0]


@pytest.mark.parametrize("service", ["cron", "crond", "atd"])
def test_jobs_of_members_run_in_their_slices(service: str) -> None:
    """Outside of the slice, a job would have no limits."""
    assert modules_run(LINES[service], member=True, root=False)[0] == "pam_systemd"
    assert "pam_systemd" not in modules_run(LINES[service], member=False, root=True)


@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("service", ["login", "cron", "crond", "atd", "sshd"])
def test_sessions_of_members_run_in_their_slice_or_not_at_all(service: str, isolated: bool) -> None:
    """Root and members of the group sudo can always log in, so that they can repair the host."""
    lines = rendered("pam-session.j2", pam_service=service, users_session_isolation_enabled=isolated).splitlines()
    check = (
        "pam_systemd.so class=background" if service == "atd" else "pam_exec.so quiet stdout /etc/security/gpulab-slice"
    )
    assert lines.count(f"session requisite {check}") == 1
    lines = [line.replace(f"requisite {check}", "requisite pam_check.so") for line in lines]
    assert modules_run(lines, member=True, root=False).count("pam_check") == 1
    for member, root in ((True, True), (False, True), (False, False)):
        assert "pam_check" not in modules_run(lines, member, root)


def test_commands_of_root_as_a_user_need_no_session() -> None:
    """Processes that root starts with su stay in root's session; user@.service is in the slice by its unit."""
    assert not [name for name in ("su", "systemd-user") if "pam_exec" in "".join(LINES[name])]


def test_block_is_added_once_and_removed_whole() -> None:
    """Each owner has a block of its own; the lines of the distribution stay."""
    one = text_blocks.with_block(SSHD, "lab", LINES["sshd"])
    assert text_blocks.with_block(one, "lab", LINES["sshd"]) == one
    two = text_blocks.with_block(one, "other", LINES["sshd"])
    assert text_blocks.with_block(two, "lab", LINES["sshd"]) == two
    changed = text_blocks.with_block(two, "lab", ["session optional pam_permit.so"])
    assert changed.index("begin lab") < changed.index("begin other")
    assert text_blocks.with_block(text_blocks.with_block(two, "lab", []), "other", []) == SSHD


def test_instances_can_be_entered_by_root_alone() -> None:
    """pam_namespace requires it; its script hides other users' processes."""
    assert f"d {VARS['__users_instances']}/tmp 0000 root root" in rendered("tmpfiles.conf.j2")
    assert "hidepid=invisible" in rendered("gpulab-session.j2")
    assert rendered("gpulab-session.j2").startswith("#!/bin/sh\n")
    assert "iscript=/etc/security/namespace.d/gpulab-session" in rendered("pam-namespace.conf.j2")


def test_bus_denies_activity_to_all_but_root() -> None:
    """Each denied method names its interface, as dbus-daemon requires, and root's policy allows the same methods."""
    found = {
        str(policy.attrib): [(rule.tag, rule.get("send_interface"), rule.get("send_member")) for rule in policy]
        for policy in ElementTree.fromstring(rendered("dbus-activity.conf.j2"))  # noqa: S314  # our own template
    }
    assert list(found) == ["{'context': 'default'}", "{'group': 'lab'}", "{'user': 'root'}"]
    denied = found["{'context': 'default'}"]
    assert denied == found["{'group': 'lab'}"]
    assert ("deny", "org.freedesktop.systemd1.Manager", "GetUnitProcesses") in denied
    assert {rule[1].rpartition(".")[2] for rule in denied if rule[1] and rule[2] == "GetProcesses"} == {
        *("Service", "Scope", "Slice", "Socket", "Mount", "Swap")
    }
    assert [("allow", *rule[1:]) for rule in denied] == found["{'user': 'root'}"]


def test_polkit_closes_actions_to_members() -> None:
    """The rules of 0.106 and newer leave members of the group sudo out, and 0.105 has a file of its own."""
    assert 'isInGroup("lab") && !subject.isInGroup("sudo")' in rendered("polkit.rules.j2")
    assert rendered("polkit.pkla.j2").count("=no\n") == 3
