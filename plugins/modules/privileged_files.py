#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.privileged_files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: privileged_files
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Remove set-ID bits and capabilities from files of revoked users
description:
  - Removes the set-user-ID and set-group-ID bits and the capabilities of regular files, and all permissions of device
    nodes. Contents, owners and other permissions stay. Reads the directories on the managed host.
  - A program with the set-group-ID bit of a group opens the group's files also for users who are no longer in it.
  - No link is followed and no other file system is entered. Each file is changed by its open descriptor, so that no
    other file can take its place meanwhile. A directory that cannot be searched is named in a warning.
options:
  paths:
    description: Directories where every such file is changed. A missing one is skipped.
    type: list
    elements: path
    default: []
  common_paths:
    description: Directories where only files of O(users) and of O(groups) are changed, such as C(/tmp).
    type: list
    elements: path
    default: []
  users:
    description: Names of users. A name without an account is skipped.
    type: list
    elements: str
    default: []
  groups:
    description: Names of groups.
    type: list
    elements: str
    default: []
  timeout:
    description: Time limit in seconds for the search of one directory. Files that were listed by then are changed.
    type: int
    default: 900
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the files that lose privileges.
"""

EXAMPLES = r"""
- name: Revoke | Remove privileges of files that eve left
  gpulab.core.privileged_files:
    paths: [/home/eve, /srv/shared]
    common_paths: [/tmp, /var/tmp, /dev/shm]
    users: [eve]
    groups: [class-2026]
"""

RETURN = r"""
files:
  description: Files that were changed, or would be in check mode; bytes that are not UTF-8 as C(\xNN).
  type: list
  elements: str
  returned: success
  sample: [/srv/shared/class-2026/reader]
problems:
  description: Directories and files that could not be searched or changed, each with the reason.
  type: list
  elements: str
  returned: success
  sample: ["/home/eve: searched for 900 seconds only"]
"""

import errno
import grp
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common.safe_paths import unsafe_directory
from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import named

CAPABILITIES = "security.capability"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
WITHOUT_SET_ID = ~(stat.S_ISUID | stat.S_ISGID)
MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Errors where a part of a path is missing or has become a link: its user has moved it, and it is not followed."""


def shown(path: bytes) -> str:
    r"""Return a path as text, other bytes than UTF-8 as \\xNN and line breaks as \\n; at most 300 characters."""
    text = path.decode("utf-8", "backslashreplace").replace("\n", "\\n")
    return text if len(text) <= 300 else f"{text[:140]}...{text[-140:]}"


@contextmanager
def opened(root: bytes, path: bytes) -> Iterator[int]:
    """Open a path below a directory and yield its descriptor (O_PATH); no part below the directory may be a link."""
    *parents, name = path.removeprefix(root).strip(b"/").split(b"/")
    directory = os.open(root, DIRECTORY)
    try:
        for parent in parents:
            inner = os.open(parent, DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = inner
        file = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        yield file
    finally:
        os.close(file)


def is_directory(path: Path) -> bool:
    """Return whether a path is a directory itself; not a link, and not one that root cannot read."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def has_capabilities(file: int) -> bool:
    """Return whether a file has capabilities; a file system without them has none."""
    try:
        return bool(os.getxattr(f"/proc/self/fd/{file}", CAPABILITIES))
    except OSError:
        return False


def remove_privileges(file: int, check: bool) -> bool:
    """Remove the privileges of an open file; return whether it had any."""
    path, mode = f"/proc/self/fd/{file}", os.fstat(file).st_mode
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        if not stat.S_IMODE(mode):
            return False
        if not check:
            os.chmod(path, 0)  # noqa: PTH101  # by descriptor
        return True
    if not stat.S_ISREG(mode):
        return False
    bits, capable = bool(stat.S_IMODE(mode) & ~WITHOUT_SET_ID), has_capabilities(file)
    if capable and not check:
        os.removexattr(path, CAPABILITIES)
    if bits and not check:
        os.chmod(path, stat.S_IMODE(mode) & WITHOUT_SET_ID)  # noqa: PTH101  # by descriptor
    return bits or capable


def search(root: Path, uids: Sequence[int], gids: Sequence[int], every: bool, timeout: int) -> tuple[list[bytes], str]:
    """Return the paths of files that may have privileges, and the problem of the search, if any.

    Files with capabilities are executable, so all executable ones of the users are returned (of all with `every`).
    """
    own = [word for uid in uids for word in ("-uid", str(uid), "-o")]
    group = [word for gid in gids for word in ("-gid", str(gid), "-o")]
    devices, bits, programs = ["-type", "b", "-o", "-type", "c"], ["-type", "f", "-perm", "/6000"], ["-perm", "/111"]
    privileged = ["(", *devices, "-o", *bits, "-o", "-type", "f", *programs, ")"]
    if every:
        test = privileged
    else:
        mine = ["(", *own, "-false", ")", *privileged]
        test = ["(", *mine, "-o", "(", *group, "-false", ")", "-type", "f", "-perm", "/2000", ")"]
    argv = ["timeout", "--kill-after=10", str(timeout), "find", "-P", str(root), "-xdev", *test, "-print0"]
    done = subprocess.run(argv, capture_output=True, check=False, cwd="/", env={"LC_ALL": "C", "PATH": os.defpath})
    problem = ""
    if done.returncode in (124, 137):
        problem = f"{root}: searched for {timeout} seconds only"
    elif done.returncode:
        problem = f"{root}: {shown(done.stderr.strip()[-250:])}"
    return [path for path in done.stdout.split(b"\0")[:-1] if path.removeprefix(bytes(root))], problem


def cleaned(
    root: Path, uids: Sequence[int], gids: Sequence[int], every: bool, timeout: int, check: bool
) -> tuple[list[str], list[str]]:
    """Remove the privileges of files below a directory; return the changed files and the problems."""
    paths, problem = search(root, uids, gids, every, timeout)
    files, problems = [], [problem] if problem else []
    for path in paths:
        try:
            with opened(bytes(root), path) as file:
                if remove_privileges(file, check):
                    files.append(shown(path))
        except OSError as error:
            if error.errno not in MOVED:
                problems.append(f"{shown(path)}: {error.strerror}")
    return files, problems


def main() -> None:
    """Run the module."""
    listed = {"type": "list", "elements": "str", "default": []}
    paths = {**listed, "elements": "path"}
    module = AnsibleModule(
        argument_spec={
            "paths": paths,
            "common_paths": paths,
            "users": listed,
            "groups": listed,
            "timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    uids = [entry.pw_uid for entry in named(module.params["users"]).values()]
    gids = [entry.gr_gid for entry in grp.getgrall() if entry.gr_name in module.params["groups"]]
    files: list[str] = []
    problems: list[str] = []
    for key in ("paths", "common_paths"):
        for given in map(Path, dict.fromkeys(module.params[key])):
            # The parent is root's and may be a link of root's; the directory itself must not be a link.
            if unsafe := unsafe_directory(given.parent):
                problems.append(f"{given}: other accounts can replace what is in {unsafe}")
                continue
            root = given.parent.resolve() / given.name
            if not is_directory(root):
                continue
            changed, failed = cleaned(root, uids, gids, key == "paths", module.params["timeout"], module.check_mode)
            files, problems = files + changed, problems + failed
    for problem in problems:
        module.warn(f"Set-user-ID and set-group-ID files may be left. {problem}.")
    diff = {"before": "".join(f"{file} has privileges\n" for file in files), "after": ""}
    module.exit_json(changed=bool(files), files=files, problems=problems, diff=diff)


if __name__ == "__main__":
    main()
