"""The walls around sessions: PAM's lines count modules, so that a slip would lock people out or let them through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.gpulab.core.plugins.module_utils import text_blocks
from ansible_collections.gpulab.core.plugins.modules import session_walls

SSHD = "@include common-session\n@include common-password\n"
LINES = session_walls.services("lab", "sudo")


def modules_run(lines: list[str], member: bool, root: bool) -> list[str]:
    """Walk through the lines as PAM does, for somebody who is or is not in the two groups; give what was run."""
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
    assert position == len(lines), "a jump led beyond the last line: PAM would refuse the login"
    return found


@pytest.mark.parametrize(
    ("member", "root", "run"),
    [
        (True, False, ["pam_env", "pam_env", "pam_namespace", "pam_permit"]),
        (True, True, ["pam_env", "pam_env", "pam_permit"]),
        (False, False, ["pam_permit"]),
        (False, True, ["pam_permit"]),
    ],
)
def test_walls_are_members_own(member: bool, root: bool, run: list[str]) -> None:
    """Members get the environment and the walls; who may become root, and whoever else logs in, gets no wall."""
    assert modules_run(LINES["sshd"], member, root) == run


@pytest.mark.parametrize("service", ["cron", "atd"])
def test_jobs_of_members_run_in_their_slices(service: str) -> None:
    """Outside, a job would know no budget."""
    assert modules_run(LINES[service], member=True, root=False)[0] == "pam_systemd"
    assert "pam_systemd" not in modules_run(LINES[service], member=False, root=True)


def test_block_is_put_in_once_and_taken_out_whole() -> None:
    """Each owner has a block of its own; what the distribution wrote stays."""
    one = text_blocks.with_block(SSHD, "lab", LINES["sshd"])
    assert text_blocks.with_block(one, "lab", LINES["sshd"]) == one
    two = text_blocks.with_block(one, "other", LINES["sshd"])
    assert text_blocks.with_block(two, "lab", LINES["sshd"]) == two
    changed = text_blocks.with_block(two, "lab", ["session optional pam_permit.so"])
    assert changed.index("begin lab") < changed.index("begin other")
    assert text_blocks.with_block(text_blocks.with_block(two, "lab", []), "other", []) == SSHD


def test_instances_are_out_of_reach() -> None:
    """pam_namespace demands a folder that nobody may enter; the script hides other people's processes."""
    files = session_walls.settings(Path("/etc/security/namespace.d"), Path("/etc/tmpfiles.d"))
    texts = {path.name: (text, mode) for path, (text, mode) in files.items()}
    assert "/tmp 0000 root root" in texts["gpulab-sessions.conf"][0]
    assert "hidepid=invisible" in texts["gpulab-session"][0]
    assert texts["gpulab-session"][1] == 0o755
    assert "iscript=/etc/security/namespace.d/gpulab-session" in texts["gpulab.conf"][0]
