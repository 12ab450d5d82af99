#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.removable_packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: removable_packages
author: The gpulab team (@gpulab)
short_description: Which of some packages nobody else needs
description:
  - Reads dpkg's record of what is installed, and tells which of some packages can be removed without taking along a
    package that is not among them.
  - Only reads; behaves the same in check mode.
options:
  packages:
    description: Packages that shall be removed; those that are not installed are passed over.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: See what can be removed
  gpulab.core.removable_packages:
    packages: [dkms, nvidia-kernel-dkms]
  register: __example_packages
"""

RETURN = r"""
removable:
  description: Those that no other package needs.
  type: list
  elements: str
  returned: always
needed:
  description: The others, each with a package that needs it.
  type: dict
  returned: always
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

Needs = Mapping[str, Sequence[Sequence[str]]]
"""Installed packages, each with what it depends on: per dependency, the installed packages that fulfil it."""


def needed(leaving: Iterable[str], needs: Needs) -> dict[str, str]:
    """Give those of the leaving packages that must stay for packages that stay, each with one of these."""
    listed = set(leaving)
    found: dict[str, str] = {}
    staying = sorted(name for name in needs if name not in listed)
    while staying:
        name = staying.pop(0)
        for fulfilling in needs.get(name, []):
            if fulfilling and all(each in listed and each not in found for each in fulfilling):
                found[fulfilling[0]] = name
                staying.append(fulfilling[0])
    return found


def needs_of(cache: Iterable[Any]) -> dict[str, list[list[str]]]:
    """Read what installed packages depend on; the cache is python-apt's."""
    return {
        package.shortname: [
            sorted({version.package.shortname for version in dependency.installed_target_versions})
            for dependency in package.installed.dependencies
        ]
        for package in cache
        if package.installed
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"packages": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    try:
        import apt
    except ImportError:
        module.fail_json(msg="The host lacks the package python3-apt, which asks apt's cache: install it.")
    needs = needs_of(apt.Cache())
    packages = [name for name in module.params["packages"] if name in needs]
    stay = needed(packages, needs)
    module.exit_json(changed=False, removable=[name for name in packages if name not in stay], needed=stay)


if __name__ == "__main__":
    main()
