#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.driver_packages_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_packages_info
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Read the packages of a driver from apt and dpkg
description:
  - Reads apt's sources and cache and dpkg's record with python-apt. Internal to the roles C(nvidia_driver) and C(cuda).
  - Changes nothing, and does the same in check mode.
options:
  components:
    description: Components of the distribution's archive that the driver's packages need, for RV(missing_sources).
    type: list
    elements: str
    default: []
  ignored_list:
    description: File in apt's sources that gets RV(missing_sources). Its entries do not count.
    type: path
    default: ''
  driver:
    description: The driver to choose a version of, for RV(version) to RV(available).
    type: dict
    suboptions:
      main:
        description: Package whose version is the driver's.
        type: str
        required: true
      branch:
        description: Branch of the driver.
        type: int
        required: true
      version:
        description: Beginning of the version, such as C(580.95.05); empty for the newest of the branch.
        type: str
        default: ''
      repository:
        description: Address of NVIDIA's repository.
        type: str
        required: true
      from_repository:
        description: Whether the driver comes from O(driver.repository), or from any other source.
        type: bool
        required: true
      packages:
        description: Packages that must be available.
        type: list
        elements: str
        default: []
      optional_packages:
        description: Packages that are installed where apt has them.
        type: list
        elements: str
        default: []
      obsolete_packages:
        description: Installed packages that are removed before, so that no newer version of them is named.
        type: list
        elements: str
        default: []
      patterns:
        description: Patterns of the names of packages that belong to a driver.
        type: list
        elements: str
        default: []
  remove:
    description: Packages to remove, for RV(removable) and RV(required_by). Those that are not installed do not matter.
    type: list
    elements: str
    default: []
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Read the available versions of Debian's driver
  gpulab.core.driver_packages_info:
    driver:
      main: nvidia-kernel-dkms
      branch: 535
      repository: https://developer.download.nvidia.com/compute/cuda/repos
      from_repository: false
  register: __example_driver

- name: Read which packages can be removed
  gpulab.core.driver_packages_info:
    remove: [dkms, nvidia-kernel-dkms]
  register: __example_packages
"""

RETURN = r"""
installed:
  description: Names of all installed packages.
  type: list
  elements: str
  returned: always
  sample: [adduser, apt]
missing_sources:
  description:
    - Entries of the distribution in apt's sources that have C(main) and lack some of O(components), with the lacking
      components. Addresses, suites and keyrings are the host's own.
  type: list
  elements: dict
  returned: always
  contains:
    uri: {description: Address., type: str}
    suite: {description: Suite., type: str}
    components: {description: Components that are missing., type: list, elements: str}
    signed_by: {description: Path of the keyring; empty when the entry names none., type: str}
  sample:
    - {uri: "http://deb.debian.org/debian", suite: bookworm, components: [contrib, non-free], signed_by: ""}
version:
  description: Version of O(driver.main) as apt writes it, empty when no source has one.
  type: str
  returned: when O(driver) is given
  sample: 535.309.01-0+deb12u1
other_versions:
  description: Further versions of O(driver.main).
  type: list
  elements: str
  returned: when O(driver) is given
  sample: [535.261.03-1]
missing:
  description: Those of O(driver.packages) that no source has.
  type: list
  elements: str
  returned: when O(driver) is given
  sample: []
transaction:
  description:
    - Packages in the syntax of apt-get. Packages that share the driver's version are named with it. So are installed
      packages of another version, which apt would not change otherwise.
  type: list
  elements: str
  returned: when O(driver) is given
  sample: [nvidia-kernel-dkms=535.309.01-0+deb12u1, nvidia-modprobe]
closure:
  description: Names of all packages in apt's cache that fit O(driver.patterns).
  type: list
  elements: str
  returned: when O(driver) is given
  sample: [libcuda1, nvidia-kernel-dkms]
available:
  description: Those of O(driver.optional_packages) that a source has.
  type: list
  elements: str
  returned: when O(driver) is given
  sample: [linux-headers-6.1.0-55-amd64]
removable:
  description: Those of O(remove) that are installed and that no other package requires.
  type: list
  elements: str
  returned: always
  sample: [nvidia-kernel-dkms]
required_by:
  description: Those of O(remove) that must stay, each with one package that requires it.
  type: dict
  returned: always
  sample: {dkms: zfs-dkms}
"""

import fnmatch
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.driver.dependencies import installed_dependencies, required_by
from ansible_collections.gpulab.core.plugins.module_utils.driver.sources import missing_sources, source_entries
from ansible_collections.gpulab.core.plugins.module_utils.driver.versions import choose_version, transaction

SEPARATE = ("linux-headers-", "nvidia-driver-pinning-")
"""Beginnings of package names that are not part of the transaction with the driver's version."""

STRINGS: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
DRIVER: dict[str, Any] = {
    "main": {"type": "str", "required": True},
    "branch": {"type": "int", "required": True},
    "version": {"type": "str", "default": ""},
    "repository": {"type": "str", "required": True},
    "from_repository": {"type": "bool", "required": True},
    "packages": STRINGS,
    "optional_packages": STRINGS,
    "obsolete_packages": STRINGS,
    "patterns": STRINGS,
}


def available_driver(cache: Any, driver: dict[str, Any]) -> dict[str, Any]:
    """Return the version of a driver and its packages, from python-apt's cache."""

    def has_version(name: str) -> bool:
        return name in cache and bool(cache[name].versions)

    main = driver["main"]
    # An installed version that no source has any more has no address: it never counts as one of NVIDIA's repository.
    versions = [
        (version.version, [uri for uri in version.uris if uri])
        for version in (sorted(cache[main].versions, reverse=True) if has_version(main) else [])
    ]
    version, others = choose_version(versions, driver)
    patterns = re.compile("|".join(fnmatch.translate(pattern) for pattern in driver["patterns"]) or r"(?!)")
    closure = {package.shortname: package for package in cache if patterns.match(package.shortname)}
    names = [name for name in driver["packages"] if not name.startswith(SEPARATE)]
    versions_by_name = {
        name: [version.version for version in sorted(cache[name].versions, reverse=True)]
        for name in {*closure, *names}
        if has_version(name)
    }
    installed = {name: package.installed.version for name, package in closure.items() if package.installed}
    obsolete = driver["obsolete_packages"]
    return {
        "version": version,
        "other_versions": others,
        "missing": [
            name for name in driver["packages"] if not has_version(name) and not cache.is_virtual_package(name)
        ],
        "transaction": transaction(names, version, versions_by_name, installed, obsolete) if version else [],
        "closure": sorted(closure),
        "available": [name for name in driver["optional_packages"] if has_version(name)],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "components": STRINGS,
            "ignored_list": {"type": "path", "default": ""},
            "driver": {"type": "dict", "options": DRIVER},
            "remove": STRINGS,
        },
        supports_check_mode=True,
    )
    try:
        import apt
        from aptsources.sourceslist import SourcesList
    except ImportError:
        module.fail_json(msg="The Python module apt is missing on the host: install the package python3-apt.")
    options = module.params
    cache = apt.Cache()
    installed = sorted(package.shortname for package in cache if package.installed)
    remove = [name for name in options["remove"] if name in installed]
    staying = required_by(remove, installed_dependencies(cache)) if remove else {}
    entries = source_entries(SourcesList(withMatcher=False, deb822=True)) if options["components"] else []
    module.exit_json(
        changed=False,
        installed=installed,
        missing_sources=missing_sources(entries, options["components"], options["ignored_list"]),
        removable=[name for name in remove if name not in staying],
        required_by=staying,
        **(available_driver(cache, options["driver"]) if options["driver"] else {}),
    )


if __name__ == "__main__":
    main()
