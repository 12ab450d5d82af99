#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.driver_candidates."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_candidates
author: The gpulab team (@gpulab)
short_description: Which version of a driver apt can install
description:
  - Asks apt's cache for the versions of a driver's main package, and picks the newest one of a branch from one source.
  - Tells which further packages apt knows. Only reads; behaves the same in check mode.
options:
  main:
    description: Package whose version is the driver's.
    type: str
    required: true
  branch:
    description: Branch of the driver.
    type: int
    required: true
  version:
    description: Beginning of the version that is requested, such as C(580.95.05); empty for the newest one.
    type: str
    default: ''
  repository:
    description: Address of NVIDIA's repository.
    type: str
    required: true
  vendor:
    description: Whether the driver comes from there, or from anywhere else.
    type: bool
    required: true
  packages:
    description: Packages that must be known.
    type: list
    elements: str
    default: []
  wanted:
    description: Packages that are taken where they are known.
    type: list
    elements: str
    default: []
  leaving:
    description: Packages that are removed before, so that no newer version of them is taken.
    type: list
    elements: str
    default: []
  patterns:
    description: Patterns of names of packages that belong to a driver.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: See which driver there is
  gpulab.core.driver_candidates:
    main: nvidia-kernel-dkms
    branch: 535
    repository: https://developer.download.nvidia.com/compute/cuda/repos
    vendor: false
  register: __example_driver
"""

RETURN = r"""
version:
  description: The version, as apt writes it; empty where there is none.
  type: str
  returned: always
others:
  description: Versions of the main package that were not picked.
  type: list
  elements: str
  returned: always
missing:
  description: Packages that apt does not know.
  type: list
  elements: str
  returned: always
transaction:
  description:
    - The packages as apt-get takes them. Those that share the driver's version are named with it, and so are installed
      ones of another version, which apt would leave as they are.
  type: list
  elements: str
  returned: always
closure:
  description: All packages that apt knows and a pattern fits.
  type: list
  elements: str
  returned: always
available:
  description: Those of the wanted packages that apt knows.
  type: list
  elements: str
  returned: always
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence

from ansible.module_utils.basic import AnsibleModule

APART = ("linux-headers-", "nvidia-driver-pinning-")
"""Beginnings of names that are no part of the transaction with the driver's version."""


def upstream(version: str) -> str:
    """Give the driver's own version out of a package's."""
    return re.sub(r"^\d+:", "", version)


def pick(versions: Iterable[tuple[str, Sequence[str]]], settings: dict[str, object]) -> tuple[str, list[str]]:
    """Pick the first fitting version (they come newest first, with the addresses that have it), and name the others."""
    requested = str(settings["version"] or "")
    found, others = "", []
    for version, addresses in versions:
        own = upstream(version)
        here = any(address.startswith(str(settings["repository"])) for address in addresses)
        same = requested in ("", version) or bool(re.match(rf"{re.escape(requested)}(?![0-9])", own))
        if not found and same and own.split(".")[0] == str(settings["branch"]) and here is settings["vendor"]:
            found = version
        else:
            others.append(version)
    return found, others


def transaction(
    packages: Sequence[str],
    version: str,
    known: dict[str, list[str]],
    installed: dict[str, str],
    leaving: Sequence[str],
) -> list[str]:
    """Name each package with the version that shares the driver's, where it has one."""
    own = re.sub(r"[-+~].*$", "", upstream(version))
    found = []
    for name in dict.fromkeys([*packages, *(name for name in installed if name not in leaving)]):
        same = [each for each in known.get(name, []) if re.match(rf"{re.escape(own)}(?![0-9.])", upstream(each))]
        best = version if version in same else same[0] if same else ""
        if best and installed.get(name) != best:
            found.append(f"{name}={best}")
        elif name in packages:
            found.append(name)
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "main": {"type": "str", "required": True},
            "branch": {"type": "int", "required": True},
            "version": {"type": "str", "default": ""},
            "repository": {"type": "str", "required": True},
            "vendor": {"type": "bool", "required": True},
            "packages": {"type": "list", "elements": "str", "default": []},
            "wanted": {"type": "list", "elements": "str", "default": []},
            "leaving": {"type": "list", "elements": "str", "default": []},
            "patterns": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        import apt
    except ImportError:
        module.fail_json(msg="The host lacks the package python3-apt, which asks apt's cache: install it.")
    cache = apt.Cache()

    def known(name: str) -> bool:
        return name in cache and bool(cache[name].versions)

    main_package = module.params["main"]
    # What is installed and in no list any more has no address, and never counts as the vendor's.
    listed = sorted(cache[main_package].versions, reverse=True) if known(main_package) else []
    versions = [(version.version, [uri for uri in version.uris if uri]) for version in listed]
    version, others = pick(versions, module.params)
    patterns = re.compile("|".join(fnmatch.translate(pattern) for pattern in module.params["patterns"]) or r"(?!)")
    closure = {package.shortname: package for package in cache if patterns.match(package.shortname)}
    wanted = [name for name in module.params["packages"] if not name.startswith(APART)]
    listing = {
        name: [each.version for each in sorted(cache[name].versions, reverse=True)]
        for name in {*closure, *wanted}
        if known(name)
    }
    there = {name: package.installed.version for name, package in closure.items() if package.installed}
    module.exit_json(
        changed=False,
        transaction=transaction(wanted, version, listing, there, module.params["leaving"]) if version else [],
        closure=sorted(closure),
        version=version,
        others=others,
        missing=[name for name in module.params["packages"] if not known(name) and not cache.is_virtual_package(name)],
        available=[name for name in module.params["wanted"] if known(name)],
    )


if __name__ == "__main__":
    main()
