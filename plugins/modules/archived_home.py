#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.archived_home."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archived_home
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Archive homes of users and remove them
description:
  - Moves the home of each named user to a directory of root's next to it (C(.gpulab-leaving)), writes an archive of it
    to O(directory), and removes the home after the archive was verified.
  - The account stays, so that no other account gets its uid.
  - Reads passwd(5) and the homes on the managed host.
  - No link is followed out of a home and no other file system is entered. A home that cannot be archived is kept and
    named in a warning, so that it does not stop later runs.
options:
  names:
    description: Login names. A name without an account or home is skipped.
    type: list
    elements: str
    required: true
  directory:
    description: Directory of the archives.
    type: path
    required: true
  timeout:
    description: Time limit in seconds for each of the steps, writing the archive, verifying it and removing the home.
    type: int
    default: 14400
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: RV(archives) names the archives.
"""

EXAMPLES = r"""
- name: Revoke | Archive eve's home
  gpulab.core.archived_home:
    names: [eve]
    directory: /var/lib/gpulab/homes
"""

RETURN = r"""
archives:
  description: Archives that were written, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: [/var/lib/gpulab/homes/eve-20310101-000000.tar.gz]
kept:
  description: Homes that were kept, each with the reason and the remedy.
  type: list
  elements: str
  returned: success
  sample: [/home/eve is not a directory that eve owns. Archive or remove it yourself.]
"""

import os
import pwd
import re
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common.safe_paths import unsafe_directory
from ansible_collections.gpulab.core.plugins.module_utils.users.accounts import named

MIN_UID = 1000
ASIDE = ".gpulab-leaving"
"""Directory of root's next to the homes: same file system, so that a home moves there in one step."""


class Job(NamedTuple):
    """A home to archive: `aside` is the directory that it moves to, `home` its path unless an earlier run moved it."""

    aside: Path
    home: Path | None


class ProgramFailed(Exception):
    """A program failed; the text has its last output."""


def homes(names: Sequence[str], entries: Sequence[pwd.struct_passwd]) -> tuple[dict[str, Path], list[str]]:
    """Return the homes that can be archived by user, and the problems of the others."""
    usable, problems = {}, []
    for entry in entries:
        home = Path(entry.pw_dir)
        if entry.pw_name not in names:
            continue
        try:
            state = home.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(f"{home}: {error.strerror}. Unmount it, and archive or remove it yourself.")
            continue
        if not stat.S_ISDIR(state.st_mode) or entry.pw_uid < MIN_UID or state.st_uid != entry.pw_uid:
            problems.append(f"{home} is not a directory that {entry.pw_name} owns. Archive or remove it yourself.")
        elif unsafe := unsafe_directory(home.parent):
            problems.append(f"{home}: other accounts can replace what is in {unsafe}. Archive the home yourself.")
        else:
            usable[entry.pw_name] = home
    return usable, problems


def unfinished(names: Sequence[str], parents: Sequence[Path]) -> list[Path]:
    """Return homes of the same users that earlier runs moved and did not archive."""
    pattern = re.compile(r"(.+)-\d{8}-\d{6}")
    return [
        path
        for parent in dict.fromkeys(parents)
        if (parent / ASIDE).is_dir() and not unsafe_directory(parent / ASIDE)
        for path in sorted((parent / ASIDE).iterdir())
        if (match := pattern.fullmatch(path.name)) and match[1] in names
    ]


def run(module: AnsibleModule, argv: Sequence[str]) -> None:
    """Run a program with the module's time limit; raise ProgramFailed with its last output."""
    limit = ["timeout", "--kill-after=10", str(module.params["timeout"])]
    code, _output, error = module.run_command([*limit, *argv], umask=0o077, cwd="/")
    if code:
        late = code in (124, 137)
        output = f"no result after {module.params['timeout']} seconds" if late else error.strip()[-300:]
        raise ProgramFailed(f"{argv[0]}: {output or code}")


def pack(module: AnsibleModule, aside: Path, archive: Path) -> None:
    """Write an archive of a directory of root's and verify it."""
    partial = archive.with_name(archive.name + ".half")
    options = ["--xattrs", "--acls", "--sparse", "--numeric-owner", "--one-file-system", "--force-local", "--gzip"]
    try:
        names = [path.name for path in aside.iterdir()]
        run(module, ["tar", "--create", "--file", str(partial), *options, "--directory", str(aside), "--", *names])
        run(module, ["gzip", "--test", "--suffix=.half", str(partial)])
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)


def archived(module: AnsibleModule, job: Job, directory: Path) -> str:
    """Archive one home; return why it is kept, empty when it was removed."""
    archive = directory / f"{job.aside.name}.tar.gz"
    place = job.home or job.aside
    try:
        if job.home:
            job.aside.parent.mkdir(mode=0o700, exist_ok=True)
            if unsafe := unsafe_directory(job.aside.parent):
                raise ProgramFailed(f"other accounts can replace what is in {unsafe}")
            job.aside.parent.chmod(0o700)
            job.aside.mkdir(mode=0o700)
            place = job.aside
            try:
                job.home.rename(job.aside / job.home.name)
            except OSError:
                job.aside.rmdir()
                place = job.home
                raise
        if not archive.exists():
            pack(module, job.aside, archive)
        run(module, ["rm", "--recursive", "--force", "--one-file-system", "--", str(job.aside)])
    except (ProgramFailed, OSError) as error:
        state = (
            f"{archive} is complete, but {place} was not removed" if archive.exists() else f"{place} is not archived"
        )
        return f"{state} ({error}). Remove it yourself, or archive it first."
    return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 14400},
        },
        supports_check_mode=True,
    )
    directory, names = Path(module.params["directory"]), module.params["names"]
    entries = list(named(names).values())
    usable, kept = homes(names, entries)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    parents = [Path(entry.pw_dir).parent for entry in entries if entry.pw_name in names]
    jobs = [Job(aside, None) for aside in unfinished(names, parents)]
    jobs += [Job(home.parent / ASIDE / f"{name}-{stamp}", home) for name, home in usable.items()]
    if unsafe := unsafe_directory(directory):
        module.fail_json(msg=f"{directory}: other accounts can replace what is in {unsafe}. Choose another directory.")
    if jobs and not module.check_mode:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        os.umask(0o077)
        kept += [reason for job in jobs if (reason := archived(module, job, directory))]
    for reason in kept:
        module.warn(reason)
    archives = [path for job in jobs if (path := directory / f"{job.aside.name}.tar.gz").exists() or module.check_mode]
    module.exit_json(changed=bool(jobs), archives=[str(path) for path in archives], kept=kept)


if __name__ == "__main__":
    main()
