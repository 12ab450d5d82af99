#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.host_files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Manage several files, directories and links of a role in one round trip
description:
  - Creates, changes or removes a list of files, directories and links, in their order.
  - A loop over M(ansible.builtin.template) costs two round trips per file, for the files of this collection half of the
    time of a first run; docs/explanation/speed.md has the measurement.
  - A file is replaced in one step, so that no reader sees half of it. Links are never followed.
  - Missing parents of a directory get the mode 0755, whatever the umask.
  - Reads the state of the paths on the managed host. The action plugin of the same name renders templates on the
    controller.
options:
  files:
    description: Paths and their desired state.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      state:
        description:
          - V(file) with O(files[].src) or O(files[].content), V(directory), V(link) to O(files[].target), or V(absent).
          - V(block) manages lines between two marks in a file that others write too, and leaves the rest as it is.
        type: str
        choices: [file, directory, link, absent, block]
        default: file
      src:
        description: Template of the file or of the block, in the role's C(templates). Excludes O(files[].content).
        type: str
      vars:
        description: Further variables for O(files[].src).
        type: dict
      content:
        description: Text of the file or of the block, where it is not a template.
        type: str
      mark:
        description: Name in the comments around a block (C(# begin), C(# end)).
        type: str
      target:
        description: Target of the link.
        type: path
      mode:
        description: Permissions in octal, as a string. Required for files and directories.
        type: str
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      force:
        description:
          - Whether an existing file gets the content. Its owner and mode are set in both cases.
          - V(false) keeps owner and mode of an existing directory, for directories of a package that comes later.
        type: bool
        default: true
      create:
        description: >-
          V(false) skips a block whose file does not exist, and a file whose directory does not exist.
        type: bool
        default: true
      validate:
        description:
          - A command that checks the file before it replaces the old one, as in M(ansible.builtin.template). C(%s) is
            the path of the new file, which has its final name. The time limit is 60 seconds. A rejected file is not
            written.
          - Not run in check mode, nor without the program where O(files[].validate_if_installed=true).
        type: str
      validate_if_installed:
        description: Whether hosts without the program of O(files[].validate) get the file without a check.
        type: bool
        default: false
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows what changes in every file.
"""

EXAMPLES = r"""
- name: Configure | Install the configuration of the service
  gpulab.core.host_files:
    files:
      - {path: /etc/gpulab, state: directory, mode: "0755"}
      - {path: /etc/gpulab/session.env, src: session.env.j2, mode: "0644"}
      - path: /etc/ssh/sshd_config.d/90-lab.conf
        src: sshd.conf.j2
        mode: "0644"
        validate: /usr/sbin/sshd -t -f %s
"""

RETURN = r"""
changed_paths:
  description: Paths that were changed, or would be in check mode.
  type: list
  elements: str
  returned: success
  sample: [/etc/gpulab/session.env]
"""

import grp
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import secrets
from ansible_collections.gpulab.core.plugins.module_utils.common.atomic_files import difference, write_whole
from ansible_collections.gpulab.core.plugins.module_utils.common.text_blocks import with_block

Entry = dict[str, Any]
SPEC = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "link", "absent", "block"], "default": "file"},
    "src": {"type": "str"},
    "vars": {"type": "dict"},
    "content": {"type": "str"},
    "mark": {"type": "str"},
    "target": {"type": "path"},
    "mode": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "force": {"type": "bool", "default": True},
    "create": {"type": "bool", "default": True},
    "validate": {"type": "str"},
    "validate_if_installed": {"type": "bool", "default": False},
}
VALIDATE_SECONDS = 60
KIND = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK, "block": stat.S_ISREG}
REQUIRED = {
    "file": ("content", "mode"),
    "directory": ("mode",),
    "link": ("target",),
    "absent": (),
    "block": ("content", "mode", "mark"),
}


class PathError(Exception):
    """A path cannot get its desired state; the text names the path and the fix."""


def status(path: Path) -> os.stat_result | None:
    """Return the status of a path itself, without following links, or None where it does not exist."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def number(find: Callable[[str], int], name: str) -> int | None:
    """Return the number of an account or a group, or None where it does not exist yet (in check mode)."""
    try:
        return find(name)
    except KeyError:
        return None


class ManagedPath:
    """One entry of the list, compared with the host."""

    def __init__(self, entry: Entry, check: bool) -> None:
        self.entry, self.check = entry, check
        self.path = Path(entry["path"])
        self.state: str = entry["state"]
        self.before = status(self.path)
        self.changed = False
        self.diffs: list[dict[str, str]] = []

    def apply(self) -> None:
        """Give the path its desired state. Raises PathError where a path of another kind is in its place."""
        if self.state == "absent":
            self._remove()
            return
        if not self.before and not self.entry["create"] and (self.state == "block" or not self.path.parent.is_dir()):
            return
        # A link may be replaced by a file: its target is never written to.
        fits = not self.before or KIND[self.state](self.before.st_mode)
        if not fits and not (self.state == "file" and self.path.is_symlink()):
            raise PathError(f"{self.path} exists and is not a {self.state}: move it away")
        try:
            getattr(self, f"_create_{self.state}")()
            kept = self.state == "directory" and self.before and not self.entry["force"]
            if self.state != "link" and not kept:
                self._set_attributes()
        except LookupError as error:  # shutil.chown: no such user, no such group
            raise PathError(f"{self.path}: {error} on the host") from None

    def _change(self, before: str, after: str) -> bool:
        """Record a change and return whether to make it."""
        self.changed = True
        self.diffs.append(difference(self.path, before, after))
        return not self.check

    def _remove(self) -> None:
        if self.before and self._change("present\n", ""):
            if stat.S_ISDIR(self.before.st_mode):
                shutil.rmtree(self.path)
            else:
                self.path.unlink()

    def _create_directory(self) -> None:
        if not self.before and self._change("", "a directory\n"):
            # Modes do not depend on the umask: parents that are missing, too, can be entered by all users.
            for parent in reversed([path for path in self.path.parents if not path.exists()]):
                parent.mkdir(mode=0o700)
                parent.chmod(0o755)
            self.path.mkdir(mode=0o700)

    def _create_link(self) -> None:
        target = self.entry["target"]
        before = str(self.path.readlink()) if self.before else ""
        if before != target and self._change(f"{before}\n" if before else "", f"{target}\n"):
            fresh = self.path.with_name(f".{self.path.name}.gpulab")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target)
            fresh.replace(self.path)

    def _create_file(self) -> None:
        is_file = self.before is not None and stat.S_ISREG(self.before.st_mode)
        if is_file and not self.entry["force"]:
            return
        before = self.path.read_bytes() if is_file else b""
        self._write(is_file, before, self.entry["content"])

    def _create_block(self) -> None:
        try:
            before = self.path.read_bytes() if self.before else b""
            after = with_block(before.decode(), self.entry["mark"], self.entry["content"].splitlines())
        except UnicodeDecodeError:
            raise PathError(f"{self.path} exists and is not a text file: move it away") from None
        self._write(bool(self.before), before, after)

    def _write(self, is_file: bool, before: bytes, after: str) -> None:
        """Write the text of a file unless it has it already."""
        if is_file and before == after.encode():
            return
        if self._change(before.decode(errors="replace"), after):
            if not self.path.parent.is_dir():
                raise PathError(f"{self.path.parent} does not exist")
            if self.entry.get("validate"):
                self._validate(after)
            write_whole(self.path, after, int(self.entry["mode"], 8), self.entry["owner"], self.entry["group"])

    def _validate(self, text: str) -> None:
        """Check the text by the command. Raises PathError with the command's output.

        The new file lies in a directory that only root can read and has its final name: systemd-analyze needs it.
        """
        with tempfile.TemporaryDirectory(prefix="gpulab-validate-") as directory:
            file = Path(directory) / self.path.name
            file.write_text(text, encoding="utf-8", newline="")
            argv = shlex.split(self.entry["validate"] % shlex.quote(str(file)))
            if self.entry.get("validate_if_installed") and not shutil.which(argv[0]):
                return
            try:
                done = subprocess.run(argv, capture_output=True, text=True, timeout=VALIDATE_SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise PathError(f"{self.path} was not changed: it could not be checked ({error})") from None
        if done.returncode:
            output = (done.stderr.strip() or done.stdout.strip()).replace(f"{directory}/", "")
            raise PathError(f"{self.path} was not changed: {argv[0]} rejects it: {output}")

    def _own(self, path: Path) -> None:
        """Set owner and mode of a path."""
        shutil.chown(path, self.entry["owner"], self.entry["group"])
        path.chmod(int(self.entry["mode"], 8))

    def _uid(self) -> int | None:
        return number(lambda name: pwd.getpwnam(name).pw_uid, self.entry["owner"])

    def _gid(self) -> int | None:
        return number(lambda name: grp.getgrnam(name).gr_gid, self.entry["group"])

    def _set_attributes(self) -> None:
        """Set owner and mode where they differ."""
        now = status(self.path)
        if now is None or not KIND[self.state](now.st_mode):  # in check mode
            return
        desired = (self._uid(), self._gid(), int(self.entry["mode"], 8))
        actual = (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode))
        if actual != desired and (self.changed or self._change(shown(actual), shown(desired))) and not self.check:
            self._own(self.path)


def shown(attributes: tuple[int | None, int | None, int]) -> str:
    """Return owner, group and mode as one line of a diff."""
    return f"owner {attributes[0]} group {attributes[1]} mode {attributes[2]:04o}\n"


def problem(entry: Entry) -> str:
    """Return what is wrong with an entry in itself, or an empty text."""
    if not entry["path"].startswith("/"):
        return f"{entry['path']}: the path must be absolute"
    missing = [name for name in REQUIRED[entry["state"]] if entry[name] is None]
    return f"{entry['path']}: state {entry['state']} needs {' and '.join(missing)}" if missing else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": SPEC}},
        supports_check_mode=True,
    )
    entries = module.params["files"]
    for entry in entries:  # Ansible removes them from all output, that of -vvv included
        module.no_log_values.update(secrets(entry["content"] or ""))
    if problems := [text for entry in entries if (text := problem(entry))]:
        module.fail_json(msg=f"Nothing was changed, because {'; '.join(problems)}.")
    managed: list[ManagedPath] = []
    for entry in entries:
        try:
            managed.append(ManagedPath(entry, module.check_mode))
            managed[-1].apply()
        except (PathError, OSError) as error:
            reason = f"{entry['path']}: {error.strerror}" if isinstance(error, OSError) else str(error)
            module.fail_json(msg=f"{reason}.", changed_paths=[str(item.path) for item in managed if item.changed])
    changed = [item for item in managed if item.changed]
    module.exit_json(
        changed=bool(changed),
        changed_paths=[str(item.path) for item in changed],
        diff=[entry for item in changed for entry in item.diffs],
    )


if __name__ == "__main__":
    main()
