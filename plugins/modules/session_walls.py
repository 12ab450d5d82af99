#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.session_walls."""

from __future__ import annotations

DOCUMENTATION = r"""
module: session_walls
author: The gpulab team (@gpulab)
short_description: Walls around the logins of a group
description:
  - Gives each member of a group who logs in over SSH a C(/tmp) and C(/var/tmp) of their own (pam_namespace), and a
    C(/proc) in which other people's processes do not show.
  - Gives them the session environment of notebooks (C(/etc/gpulab/session.env)) in commands over SSH, too.
  - Puts the members' cron jobs into their slices, where their budgets are; without that they would run in cron's own.
  - Members of the group that may become root are left as they are, since what they mount must be seen by the host.
options:
  owner:
    description: Name of the part of the files that is ours. Whoever calls the module twice on a host takes another one.
    type: str
    required: true
  group:
    description: Group of the people.
    type: str
    required: true
  exempt:
    description: Group of those who may become root.
    type: str
    default: sudo
  enabled:
    description: Whether the walls are there.
    type: bool
    default: true
  pam:
    description: Folder of PAM's services.
    type: path
    default: /etc/pam.d
  security:
    description: Folder of pam_namespace's settings.
    type: path
    default: /etc/security/namespace.d
  tmpfiles:
    description: Folder of systemd-tmpfiles' settings.
    type: path
    default: /etc/tmpfiles.d
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the files that change.
"""

EXAMPLES = r"""
- name: Wall people's sessions in
  gpulab.core.session_walls:
    owner: gpulab-users
    group: gpulab-users
"""

RETURN = r"""
files:
  description: Files that changed.
  type: list
  elements: str
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gpulab.core.plugins.module_utils.text_blocks import with_block
from ansible_collections.gpulab.core.plugins.module_utils.whole_files import difference, write_whole

HEAD = "# Made by gpulab (role users).\n"
INSTANCES = "/var/lib/gpulab/sessions"
SCRIPT = "gpulab-session"
ENVIRONMENTS = ("/etc/gpulab/sources.env", "/etc/gpulab/session.env")
TMP = "/tmp"  # noqa: S108  # what is put in its place, not used


def conditions(group: str, exempt: str) -> list[str]:
    """Give the lines that pass over one module after them, for whoever is no member or may become root."""
    return [
        f"session [success=2 default=ignore] pam_succeed_if.so quiet user ingroup {exempt}",
        f"session [success=ignore default=1] pam_succeed_if.so quiet user ingroup {group}",
    ]


def services(group: str, exempt: str) -> dict[str, list[str]]:
    """Give the lines for each service of PAM that has a wall; services that a host lacks get none."""
    jobs = [f"session [success=ignore default=1] pam_succeed_if.so quiet user ingroup {group}"]
    return {
        "sshd": [
            f"session [success=ignore default={len(ENVIRONMENTS)}] pam_succeed_if.so quiet user ingroup {group}",
            # Commands that an editor runs over SSH read no profile: PAM sets what login shells and units read.
            *(f"session optional pam_env.so readenv=1 envfile={path}" for path in ENVIRONMENTS),
            *conditions(group, exempt),
            "session required pam_namespace.so",
            # PAM refuses a login that jumps beyond the last line: whatever is edited above, there is one.
            "session optional pam_permit.so",
        ],
        "cron": [*jobs, "session optional pam_systemd.so class=background"],
        "atd": [*jobs, "session optional pam_systemd.so class=background"],
    }


def settings(security: Path, tmpfiles: Path) -> dict[Path, tuple[str, int]]:
    """Give the files that hold for every owner, with their modes."""
    namespace = (
        f"{HEAD}# Who is meant is decided in /etc/pam.d/sshd.\n"
        f"{TMP} {INSTANCES}{TMP}/ user:iscript={security}/{SCRIPT} root\n"
        f"/var{TMP} {INSTANCES}/var-tmp/ user root\n"
    )
    script = (
        "#!/bin/sh\n" + HEAD + "# pam_namespace starts it as root inside the session's namespace: other people's "
        "processes do not show there.\nexec mount -t proc -o nosuid,nodev,noexec,hidepid=invisible proc /proc\n"
    )
    folders = (
        f"{HEAD}d {INSTANCES} 0711 root root -\n"
        f"d {INSTANCES}{TMP} 0000 root root -\nd {INSTANCES}/var-tmp 0000 root root -\n"
        f"e {INSTANCES}{TMP}/* - - - 10d\ne {INSTANCES}/var-tmp/* - - - 30d\n"
    )
    return {
        security / "gpulab.conf": (namespace, 0o644),
        security / SCRIPT: (script, 0o755),
        tmpfiles / "gpulab-sessions.conf": (folders, 0o644),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
            "exempt": {"type": "str", "default": "sudo"},
            "enabled": {"type": "bool", "default": True},
            "pam": {"type": "path", "default": "/etc/pam.d"},
            "security": {"type": "path", "default": "/etc/security/namespace.d"},
            "tmpfiles": {"type": "path", "default": "/etc/tmpfiles.d"},
        },
        supports_check_mode=True,
    )
    params: dict[str, Any] = module.params
    pam = Path(params["pam"])
    wished: dict[Path, tuple[str, int]] = {}
    if params["enabled"]:
        wished.update(settings(Path(params["security"]), Path(params["tmpfiles"])))
    for name, lines in services(params["group"], params["exempt"]).items():
        path = pam / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            wished[path] = (with_block(text, f"gpulab {params['owner']}", lines if params["enabled"] else []), 0o644)
    before = {path: path.read_text(encoding="utf-8") if path.is_file() else "" for path in wished}
    changes = {path: value for path, value in wished.items() if before[path] != value[0]}
    diff = [difference(path, before[path], text) for path, (text, _mode) in changes.items()]
    if not module.check_mode:
        # The services of PAM come last: they must not name what is not there yet.
        for path, (text, mode) in changes.items():
            if path.parent != pam:
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                write_whole(path, text, mode)
        if any(path.parent != pam for path in changes):
            module.run_command(["systemd-tmpfiles", "--create", "gpulab-sessions.conf"], check_rc=True)
        for path, (text, mode) in changes.items():
            if path.parent == pam:
                write_whole(path, text, mode)
    module.exit_json(changed=bool(changes), files=[str(path) for path in changes], diff=diff)


if __name__ == "__main__":
    main()
