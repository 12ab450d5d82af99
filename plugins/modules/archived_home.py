#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.archived_home."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archived_home
author: The gpulab team (@gpulab)
short_description: Homes that are packed away
description:
  - Packs the home of each named person into an archive of root's, and removes the home when the archive was read again
    and found equal.
  - The account stays, so that its number is given to nobody else. A link in the place of a home is refused.
options:
  names:
    description: Login names. One without an account or home is passed over.
    type: list
    elements: str
    required: true
  folder:
    description: Folder of the archives.
    type: path
    required: true
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: none
    description: Names the archives that it made.
"""

EXAMPLES = r"""
- name: Pack eve's home away
  gpulab.core.archived_home:
    names: [eve]
    folder: /var/lib/gpulab/homes
"""

RETURN = r"""
archives:
  description: Archives that were made.
  type: list
  elements: str
  returned: always
"""

import pwd
import shutil
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

LEAST_UID = 1000


def homes(names: list[str], entries: list[pwd.struct_passwd]) -> tuple[dict[str, Path], list[str]]:
    """Give the homes that can be packed, and what is wrong with the others."""
    found, problems = {}, []
    for entry in entries:
        home = Path(entry.pw_dir)
        if entry.pw_name not in names or not (home.is_dir() or home.is_symlink()):
            continue
        if home.is_symlink() or entry.pw_uid < LEAST_UID or home.lstat().st_uid != entry.pw_uid:
            problems.append(
                f"{home} is not a folder of {entry.pw_name}'s own: it is left as it is, look at it yourself."
            )
        else:
            found[entry.pw_name] = home
    return found, problems


def pack(module: AnsibleModule, home: Path, archive: Path) -> None:
    """Pack a home, read the archive again, and only then remove the home."""
    half = archive.with_name(archive.name + ".half")
    options = ["--xattrs", "--acls", "--one-file-system", "--gzip", "--directory", str(home.parent)]
    module.run_command(["tar", "--create", "--file", str(half), *options, home.name], check_rc=True, umask=0o077)
    module.run_command(["tar", "--compare", "--file", str(half), *options, home.name], check_rc=True)
    half.replace(archive)
    shutil.rmtree(home)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    found, problems = homes(module.params["names"], pwd.getpwall())
    if problems:
        module.fail_json(msg=" ".join(problems))
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    archives = {name: folder / f"{name}-{stamp}.tar.gz" for name in found}
    if not module.check_mode and found:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, home in found.items():
            pack(module, home, archives[name])
    module.exit_json(changed=bool(found), archives=[str(path) for path in archives.values()])


if __name__ == "__main__":
    main()
