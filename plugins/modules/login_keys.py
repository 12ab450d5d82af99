#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.login_keys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: login_keys
author: The gpulab team (@gpulab)
short_description: Public keys that open users' accounts, in root's hands
description:
  - Writes the requested keys of each user into a file of root's, and lets sshd read it next to the user's own
    C(~/.ssh/authorized_keys). A key that is not requested any more opens nothing, what users added themselves stays
    theirs, and root writes into nobody's home, where a link of the user's could lead the pen elsewhere.
options:
  owner:
    description: Name of the part of the files that is ours. Whoever calls the module twice on a host takes another one.
    type: str
    required: true
  users:
    description: The users; everybody else's keys of this owner are removed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Login name.
        type: str
        required: true
      keys:
        description: Public keys, one line each.
        type: list
        elements: str
        default: []
  directory:
    description: Directory of the files.
    type: path
    default: /etc/ssh/authorized_keys.d
  drop_in:
    description: File of sshd's configuration that names them. It is made where sshd is installed.
    type: path
    default: /etc/ssh/sshd_config.d/50-gpulab-keys.conf
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows the keys that come and go.
"""

EXAMPLES = r"""
- name: Let ada's laptop in
  gpulab.core.login_keys:
    owner: gpulab-users
    users:
      - name: ada
        keys: ["ssh-ed25519 AAAA... ada@laptop"]
"""

RETURN = r"""
names:
  description: Users whose keys changed.
  type: list
  elements: str
  returned: always
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.text_blocks import with_block
from ansible_collections.gpulab.core.plugins.module_utils.whole_files import difference, write_whole

OWN = (".ssh/authorized_keys", ".ssh/authorized_keys2")
"""What sshd reads by itself (sshd_config(5), AuthorizedKeysFile)."""


def changes(users: Sequence[Mapping[str, Any]], owner: str, directory: Path) -> dict[Path, tuple[str, str]]:
    """Give the files that are not as requested, with their text before and after."""
    requested = {str(user["name"]): list(user.get("keys") or []) for user in users}
    there = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*") if path.is_file()}
    found = {}
    for name in sorted({*requested, *there}):
        before = there.get(name, "")
        after = with_block(before, owner, requested.get(name, []))
        if after != before:
            found[directory / name] = (before, after)
    return found


def sshd_setting(shown: str, directory: Path) -> str:
    """Write sshd's setting: what it reads by now (as `sshd -T` shows), and our directory."""
    found = re.search(r"^authorizedkeysfile (.+)$", shown, re.MULTILINE)
    files = found[1].split() if found else list(OWN)
    ours = f"{directory}/%u"
    kept = [] if files == ["none"] else [name for name in files if name != ours]
    return f"# Made by gpulab (role users).\nAuthorizedKeysFile {' '.join([*kept, ours])}\n"


def write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all; an empty one goes."""
    if not text:
        path.unlink(missing_ok=True)
        return
    write_whole(path, text, mode)


def tell_sshd(module: AnsibleModule, drop_in: Path, directory: Path) -> bool:
    """Let sshd read the directory; tell whether that was new. A configuration that sshd rejects is taken back."""
    sshd = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
    if drop_in.is_file() or not sshd or not drop_in.parent.is_dir():
        return False
    if module.check_mode:
        return True
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    shown = module.run_command([sshd, "-T"], check_rc=True)[1]
    write(drop_in, sshd_setting(shown, directory), 0o644)
    code, _output, error = module.run_command([sshd, "-t"])
    if code:
        drop_in.unlink()
        module.fail_json(msg=f"sshd rejects {drop_in}, which was taken back: {error.strip()}")
    module.run_command(["systemctl", "try-reload-or-restart", "ssh.service"])
    return True


def main() -> None:
    """Run the module."""
    user = {
        "name": {"type": "str", "required": True},
        # Public keys are no secrets.
        "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    }
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "users": {"type": "list", "elements": "dict", "required": True, "options": user},
            "directory": {"type": "path", "default": "/etc/ssh/authorized_keys.d"},
            "drop_in": {"type": "path", "default": "/etc/ssh/sshd_config.d/50-gpulab-keys.conf"},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    found = changes(module.params["users"], module.params["owner"], directory)
    diff = [difference(path, before, after) for path, (before, after) in found.items()]
    if found and not module.check_mode:
        directory.mkdir(mode=0o755, exist_ok=True)
        directory.chmod(0o755)
        for path, (_before, after) in found.items():
            write(path, after, 0o644)
    told = tell_sshd(module, Path(module.params["drop_in"]), directory)
    module.exit_json(changed=bool(found) or told, names=[path.name for path in found], diff=diff)


if __name__ == "__main__":
    main()
