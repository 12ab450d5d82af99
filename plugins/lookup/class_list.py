# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.class_list: accounts of a class from a CSV file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: class_list
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Accounts of a class from a CSV file
description:
  - Reads a file with a line of column names (C(name), optionally C(group), C(key), C(uid), C(expires),
    C(password_hash)) and a line per user, as a spreadsheet saves it, and returns the accounts in the form of the
    variable C(gpulab_users).
  - Several groups go into one column with blanks between. Commas, semicolons and tabs may separate the columns, or the
    character that a first line C(sep=) names. A title may stand above the column names.
  - Other columns are ignored, and a warning names them; one that is named almost like a column of the list is rejected.
  - A line that cannot be an account is rejected by its number, all such lines in one message.
options:
  _terms:
    description: >-
      Files on the controller, in UTF-8, UTF-16 or Windows' code page 1252, also in Ansible Vault. A relative path is
      searched next to the inventory, then next to the playbook.
    type: list
    elements: str
    required: true
  others:
    description: >-
      Accounts that come before those of the files. Better than C(+), behind which Ansible hides errors of the lookup.
    type: list
    elements: dict
    default: []
  start_passwords:
    description:
      - Whether users without C(password_hash) get a password that is made once. C(class.csv) has them in
        C(class.passwords.csv) next to it, mode 0600, also in check mode.
      - They are set for accounts that have no password. Needs the Python library passlib on the controller.
    type: bool
    default: false
  temporary:
    description: >-
      Whether users must change a start password at their first login, which is over SSH; until then the hub rejects
      them.
    type: bool
    default: true
"""

EXAMPLES = r"""
gpulab_users: "{{ lookup('gpulab.core.class_list', 'class-2026.csv', others=staff, start_passwords=true) }}"
"""

RETURN = r"""
_raw:
  description: One list of accounts.
  type: list
  elements: list
  sample:
    - - {name: ivy, groups: [class-2026], ssh_keys: ["ssh-ed25519 AAAA... ivy@laptop"]}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files
from ansible_collections.gpulab.core.plugins.plugin_utils.users.class_list import accounts, decoded
from ansible_collections.gpulab.core.plugins.plugin_utils.users.start_passwords import path_of, start_passwords

display = Display()


class LookupModule(LookupBase):  # type: ignore[misc]
    """Read the files and check their lines."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """Return one list with the accounts of all files; the list around it keeps Ansible from unpacking it."""
        listed: list[dict[str, Any]] = list(kwargs.get("others") or [])
        for term in terms:
            path = controller_files.find(term, variables or {}) or Path(term)
            of_file = self._accounts(term, path)
            if boolean(kwargs.get("start_passwords", False)):
                of_file = with_start_passwords(of_file, path, boolean(kwargs.get("temporary", True)))
            listed += of_file
        return [listed]

    def _accounts(self, term: str, path: Path) -> list[dict[str, Any]]:
        """Return the accounts of a file; fail with all its problems."""
        try:
            text = decoded(self._content(path))
        except (OSError, ValueError) as error:
            raise AnsibleError(f"class list {term} cannot be read ({error}): save it as CSV in UTF-8.") from error
        of_file, problems, ignored = accounts(text)
        if problems:
            raise AnsibleError(f"class list {term}: " + " ".join(problems))
        if ignored:
            display.warning(f"class list {term}: columns that are not used: {', '.join(ignored)}.")
        return of_file

    def _content(self, path: Path) -> bytes:
        """Return the bytes of a file, decrypted where it is in Ansible Vault."""
        if self._loader is None or not path.is_file():
            return path.read_bytes()
        plain = self._loader.get_real_file(str(path))
        try:
            return Path(plain).read_bytes()
        finally:
            self._loader.cleanup_tmp_file(plain)


def with_start_passwords(listed: list[dict[str, Any]], path: Path, temporary: bool) -> list[dict[str, Any]]:
    """Return the accounts of a class list; those without a hash have that of their start password."""
    names = [account["name"] for account in listed if "password_hash" not in account]
    try:
        hashes, made = start_passwords(path_of(path), names)
    except ImportError as error:
        raise AnsibleError("start_passwords needs the Python library passlib on the controller.") from error
    except (OSError, ValueError) as error:
        raise AnsibleError(f"start passwords cannot be kept in {path_of(path)} ({error}).") from error
    if made:
        display.display(f"{made} start passwords were made: {path_of(path)}")
    return [
        {
            **account,
            "password_hash": hashes[account["name"]],
            "password_update": "on_create",
            "password_temporary": temporary,
        }
        if account["name"] in hashes
        else account
        for account in listed
    ]
