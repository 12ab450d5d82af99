#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.host_files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
author: The gpulab team (@gpulab)
short_description: Files and directories with their content, owner and mode, all in one round trip
description:
  - Makes a list of files, directories and links as they are requested, in their order.
  - A loop over M(ansible.builtin.template) costs one round trip per file; over SSH that is most of the time of a run
    that changes nothing.
  - A file is replaced in one step, so that no reader sees half of it.
options:
  files:
    description: What should be there.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where, absolute.
        type: path
        required: true
      state:
        description:
          - V(file) with O(files[].content), V(directory), V(link) to O(files[].target), or V(absent).
          - V(block) makes O(files[].content) lines of O(files[].mark) in a file that others write too, and leaves the
            rest as it is.
        type: str
        choices: [file, directory, link, absent, block]
        default: file
      content:
        description: Text of the file or of the block, for example of P(ansible.builtin.template#lookup).
        type: str
      mark:
        description: Whose lines a block is, in the comments around it (C(# begin), C(# end)).
        type: str
      target:
        description: What the link points at.
        type: path
      mode:
        description: Permissions in octal, as a string. Needed for files and directories.
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
          - Whether a file that is there already gets this content. Its owner and mode are seen to anyway.
          - V(false) leaves a directory that is there with its owner and mode, for directories of a package that may be
            installed later.
        type: bool
        default: true
      create:
        description: >-
          Whether a block is put in a file that does not exist, too, and whether a file needs its directory. V(false)
          skips both where there is none.
        type: bool
        default: true
      validate:
        description:
          - A command that checks the file before it is replaced, as in M(ansible.builtin.template); C(%s) is the path
            of the new file. Its time limit is 60 seconds. What it rejects is not written.
          - Not run in check mode.
        type: str
extends_documentation_fragment: [gpulab.core.check_mode]
attributes:
  diff_mode:
    support: full
    description: Shows what changes in every file.
"""

EXAMPLES = r"""
- name: Write the settings
  gpulab.core.host_files:
    files:
      - {path: /etc/gpulab, state: directory, mode: "0755"}
      - path: /etc/gpulab/session.env
        mode: "0644"
        content: "{{ lookup('ansible.builtin.template', 'session.env.j2') }}"
"""

RETURN = r"""
changed_paths:
  description: What was changed, or would be.
  type: list
  elements: str
  returned: success
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

from ansible_collections.gpulab.core.plugins.module_utils.text_blocks import with_block
from ansible_collections.gpulab.core.plugins.module_utils.whole_files import difference, write_whole

Wish = dict[str, Any]
SPEC = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "link", "absent", "block"], "default": "file"},
    "content": {"type": "str"},
    "mark": {"type": "str"},
    "target": {"type": "path"},
    "mode": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "force": {"type": "bool", "default": True},
    "create": {"type": "bool", "default": True},
    "validate": {"type": "str"},
}
VALIDATE_SECONDS = 60
KIND = {"file": stat.S_ISREG, "directory": stat.S_ISDIR, "link": stat.S_ISLNK, "block": stat.S_ISREG}


class CannotBeMade(Exception):
    """The setting and the host do not fit; the text names the path and the fix."""


def lookup(path: Path) -> os.stat_result | None:
    """Give the state of a path itself, not of what a link points at; nothing where there is none."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def number(find: Callable[[str], int], name: str) -> int | None:
    """Give the number of an account or a group; nothing where there is none, as in check mode before it is made."""
    try:
        return find(name)
    except KeyError:
        return None


class Wished:
    """One setting, compared with the host."""

    def __init__(self, setting: Wish, check: bool) -> None:
        self.setting, self.check = setting, check
        self.path = Path(setting["path"])
        self.state: str = setting["state"]
        self.there = lookup(self.path)
        self.changed = False
        self.diffs: list[dict[str, str]] = []

    def meet(self) -> None:
        """Make the path as requested; raise CannotBeMade where something else is in its place."""
        if self.state == "absent":
            self._remove()
            return
        if not self.there and not self.setting["create"] and (self.state == "block" or not self.path.parent.is_dir()):
            return
        # A link may give way to a file: what it points at is never written through.
        fits = not self.there or KIND[self.state](self.there.st_mode)
        if not fits and not (self.state == "file" and self.path.is_symlink()):
            raise CannotBeMade(f"{self.path} is there and is not a {self.state}: move it away")
        try:
            getattr(self, f"_make_{self.state}")()
            kept = self.state == "directory" and self.there and not self.setting["force"]
            if self.state != "link" and not kept:
                self._set_attributes()
        except LookupError as error:  # shutil.chown: no such user, no such group
            raise CannotBeMade(f"{self.path}: {error} on the host") from None

    def _change(self, before: str, after: str) -> bool:
        """Note a change; tell whether it is to be made."""
        self.changed = True
        self.diffs.append(difference(self.path, before, after))
        return not self.check

    def _remove(self) -> None:
        if self.there and self._change("there\n", ""):
            if stat.S_ISDIR(self.there.st_mode):
                shutil.rmtree(self.path)
            else:
                self.path.unlink()

    def _make_directory(self) -> None:
        if not self.there and self._change("", "a directory\n"):
            self.path.mkdir(mode=0o700, parents=True)

    def _make_link(self) -> None:
        target = self.setting["target"]
        before = str(self.path.readlink()) if self.there else ""
        if before != target and self._change(f"{before}\n" if before else "", f"{target}\n"):
            fresh = self.path.with_name(f".{self.path.name}.gpulab")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target)
            fresh.replace(self.path)

    def _make_file(self) -> None:
        is_file = self.there is not None and stat.S_ISREG(self.there.st_mode)
        if is_file and not self.setting["force"]:
            return
        before = self.path.read_bytes() if is_file else b""
        self._write(is_file, before, self.setting["content"])

    def _make_block(self) -> None:
        try:
            before = self.path.read_bytes() if self.there else b""
            after = with_block(before.decode(), self.setting["mark"], self.setting["content"].splitlines())
        except UnicodeDecodeError:
            raise CannotBeMade(f"{self.path} is there and is no text: move it away") from None
        self._write(bool(self.there), before, after)

    def _write(self, is_file: bool, before: bytes, after: str) -> None:
        """Write the text of a file unless it is there."""
        if is_file and before == after.encode():
            return
        if self._change(before.decode(errors="replace"), after):
            if not self.path.parent.is_dir():
                raise CannotBeMade(f"{self.path.parent} is not there")
            if self.setting.get("validate"):
                self._validate(after)
            write_whole(self.path, after, int(self.setting["mode"], 8), self.setting["owner"], self.setting["group"])

    def _validate(self, text: str) -> None:
        """Check the text by the command, in a file that root alone can read; raise CannotBeMade with its output."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            argv = shlex.split(self.setting["validate"] % file.name)
            try:
                done = subprocess.run(argv, capture_output=True, text=True, timeout=VALIDATE_SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise CannotBeMade(f"{self.path} was not changed: it could not be checked ({error})") from None
        if done.returncode:
            raise CannotBeMade(f"{self.path} was not changed: {argv[0]} rejects it: {done.stderr.strip()}")

    def _own(self, path: Path) -> None:
        """Give a path its owner and mode."""
        shutil.chown(path, self.setting["owner"], self.setting["group"])
        path.chmod(int(self.setting["mode"], 8))

    def _uid(self) -> int | None:
        return number(lambda name: pwd.getpwnam(name).pw_uid, self.setting["owner"])

    def _gid(self) -> int | None:
        return number(lambda name: grp.getgrnam(name).gr_gid, self.setting["group"])

    def _set_attributes(self) -> None:
        """See to owner and mode of what is there."""
        now = lookup(self.path)
        if now is None or not KIND[self.state](now.st_mode):  # in check mode
            return
        requested = (self._uid(), self._gid(), int(self.setting["mode"], 8))
        found = (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode))
        if found != requested and (self.changed or self._change(shown(found), shown(requested))) and not self.check:
            self._own(self.path)


def shown(attributes: tuple[int | None, int | None, int]) -> str:
    """Show owner, group and mode."""
    return f"owner {attributes[0]} group {attributes[1]} mode {attributes[2]:04o}\n"


def problem(setting: Wish) -> str:
    """Tell what is wrong with a setting in itself."""
    if not setting["path"].startswith("/"):
        return f"{setting['path']}: the path must be absolute"
    needed = {
        "file": ("content", "mode"),
        "directory": ("mode",),
        "link": ("target",),
        "absent": (),
        "block": ("content", "mode", "mark"),
    }[setting["state"]]
    missing = [name for name in needed if setting[name] is None]
    return f"{setting['path']}: state {setting['state']} needs {' and '.join(missing)}" if missing else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": SPEC}},
        supports_check_mode=True,
    )
    settings = module.params["files"]
    if problems := [text for setting in settings if (text := problem(setting))]:
        module.fail_json(msg=f"Nothing was changed, because {'; '.join(problems)}.")
    done: list[Wished] = []
    for setting in settings:
        try:
            done.append(Wished(setting, module.check_mode))
            done[-1].meet()
        except (CannotBeMade, OSError) as error:
            reason = f"{setting['path']}: {error.strerror}" if isinstance(error, OSError) else str(error)
            module.fail_json(msg=f"{reason}.", changed_paths=[str(each.path) for each in done if each.changed])
    changed = [each for each in done if each.changed]
    module.exit_json(
        changed=bool(changed),
        changed_paths=[str(each.path) for each in changed],
        diff=[entry for each in changed for entry in each.diffs],
    )


if __name__ == "__main__":
    main()
