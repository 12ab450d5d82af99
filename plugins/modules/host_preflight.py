#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module gpulab.core.host_preflight."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Check a host before anything is changed
description:
  - Compares the host with the needs of a role and reports all problems at once, each with its fix.
  - Reads /proc, /etc/os-release, file systems and package sources on the managed host; changes nothing.
options:
  minimum:
    description: Least sizes of the host.
    type: dict
    default: {}
    suboptions:
      cores:
        description: Processor cores.
        type: float
      memory_gb:
        description: Memory in 1e9 bytes.
        type: float
      disk_gb:
        description: Size of the file system of /opt in 1e9 bytes.
        type: float
  minimum_variable:
    description: Variable that sets the least sizes, for the message.
    type: str
    default: gpulab_minimum
  free_gb:
    description: Free space that is needed (in 1e9 bytes), by directory. A directory need not exist yet.
    type: dict
    default: {}
  supported_os:
    description: Whether the host must run a supported distribution.
    type: bool
    default: true
  addresses:
    description: IP addresses to listen on, which the host must have.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: The address; 0.0.0.0 and C(::) stand for all.
        type: str
        required: true
      variable:
        description: Variable that sets it, for the message.
        type: str
        required: true
  ports:
    description: TCP ports that must be free or in use by O(ports[].unit).
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      variable:
        description: Variable that sets it, for the message.
        type: str
        required: true
      unit:
        description: Unit that may listen on the port.
        type: str
        default: ""
  sources:
    description: Package sources that must be reachable from the host.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Address, or a directory on the host.
        type: str
        required: true
      variable:
        description: Variable that sets it, for the message.
        type: str
        required: true
      whole:
        description: Whether this is the address of a file that must exist; else any answer of the server counts.
        type: bool
        default: false
  files:
    description: Files that a role writes. An existing file without the mark is not replaced.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file or the link; of a link, its target is compared.
        type: path
        required: true
      mark:
        description: Text that every file of the role contains.
        type: str
        required: true
  ca_certificates:
    description: PEM text of further CA certificates for the connections to sources.
    type: str
    default: ""
  proxies:
    description: Proxies by scheme.
    type: dict
    default: {}
  timeout:
    description: Time limit for the answer of a source, in seconds.
    type: float
    default: 10
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Preflight | Check that the port is free
  gpulab.core.host_preflight:
    ports:
      - port: 443
        variable: jupyterhub_port
        unit: gpulab-proxy.service
"""

RETURN = r"""
host:
  description: The system and the size of the host.
  type: dict
  returned: always
  contains:
    os: {type: str, description: C(ID) of os-release(5)., sample: debian}
    version: {type: str, description: C(VERSION_ID) of os-release(5)., sample: "12"}
    name: {type: str, description: C(PRETTY_NAME) of os-release(5)., sample: Debian GNU/Linux 12 (bookworm)}
    python: {type: str, description: Version of the interpreter that runs the module., sample: 3.11.2}
    cores: {type: int, description: Processor cores., sample: 8}
    memory_gb: {type: float, description: Memory in 1e9 bytes., sample: 33.6}
    disk_gb: {type: float, description: Size of the file system of /opt in 1e9 bytes., sample: 214.7}
problems:
  description: One sentence for each problem.
  type: list
  elements: str
  returned: failure
  sample: ["/opt has 1.2 GB free and needs 8 GB: free some space there."]
"""

import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state


def system_problems(host: dict[str, Any]) -> list[str]:
    """Report a distribution that is not supported, by name."""
    if host["version"] in host_state.SUPPORTED.get(host["os"], ()):
        return []
    known = "; ".join(f"{name.capitalize()} {', '.join(versions)}" for name, versions in host_state.SUPPORTED.items())
    return [f"the host runs {host['name']}, which gpulab does not support. Supported: {known}."]


def size_problems(host: dict[str, Any], minimum: dict[str, Any], variable: str) -> list[str]:
    """Report sizes below the least ones."""
    words = {"cores": "cores", "memory_gb": "GB of memory", "disk_gb": "GB of disk"}
    return [
        f"the host has {host[key]:g} {words[key]} and needs {float(least):g} "
        f"(to continue nevertheless, lower {variable}.{key})."
        for key, least in minimum.items()
        if least is not None and float(host[key]) < float(least)
    ]


def space_problems(free_gb: dict[str, Any]) -> list[str]:
    """Report directories with too little free space."""
    problems = []
    for directory, wanted in free_gb.items():
        free = host_state.disk_gb(Path(directory))[1]
        if free < float(wanted):
            problems.append(
                f"{directory} has {free:.1f} GB free and needs {float(wanted):g} GB: free some space there."
            )
    return problems


def address_problems(addresses: list[dict[str, Any]]) -> list[str]:
    """Report addresses that no program can listen on."""
    return [
        f"{entry['variable']}: a program cannot listen on {entry['address']} on this host ({reason}). Set an address "
        "that `ip address` shows, or 0.0.0.0 for all."
        for entry in addresses
        if (reason := host_state.why_not_bound(entry["address"]))
    ]


def port_problems(ports: list[dict[str, Any]]) -> list[str]:
    """Report ports on which another unit listens."""
    problems = []
    for entry in ports:
        others = [owner for owner in host_state.listeners(entry["port"]) if owner.unit != (entry["unit"] or None)]
        if others:
            owner = others[0]
            unit = f", {owner.unit}" if owner.unit else ""
            problems.append(
                f"port {entry['port']} is in use by {owner.name} (process {owner.pid}{unit}): "
                f"stop it, or set another port with {entry['variable']}."
            )
    return problems


def file_problems(files: list[dict[str, Any]]) -> list[str]:
    """Report existing files that no role has written."""
    problems = []
    for entry in files:
        path = Path(entry["path"])
        if path.is_symlink():
            own = entry["mark"] in str(path.readlink())
        else:
            own = not path.exists() or (path.is_file() and entry["mark"].encode() in path.read_bytes())
        if not own:
            problems.append(f"{path} exists and was not written by gpulab: move it away; it is never overwritten.")
    return problems


def source_problems(params: dict[str, Any]) -> list[str]:
    """Report sources that cannot be reached; all are tried at the same time."""

    def reason(source: dict[str, Any]) -> str:
        return host_state.why_unreachable(
            source["url"], params["ca_certificates"], params["proxies"], params["timeout"], source["whole"]
        )

    sources = params["sources"]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(reason, sources))
    return [
        f"{source['variable']}: {source['url']} cannot be used from the host: {answer}."
        for source, answer in zip(sources, answers, strict=True)
        if answer
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "minimum": {
                "type": "dict",
                "default": {},
                "options": {key: {"type": "float"} for key in ("cores", "memory_gb", "disk_gb")},
            },
            "minimum_variable": {"type": "str", "default": "gpulab_minimum"},
            "free_gb": {"type": "dict", "default": {}},
            "supported_os": {"type": "bool", "default": True},
            "addresses": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "address": {"type": "str", "required": True},
                    "variable": {"type": "str", "required": True},
                },
            },
            "ports": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "port": {"type": "int", "required": True},
                    "variable": {"type": "str", "required": True},
                    "unit": {"type": "str", "default": ""},
                },
            },
            "sources": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "url": {"type": "str", "required": True},
                    "variable": {"type": "str", "required": True},
                    "whole": {"type": "bool", "default": False},
                },
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "mark": {"type": "str", "required": True},
                },
            },
            "ca_certificates": {"type": "str", "default": ""},
            "proxies": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    # First: without root's rights, other checks would give wrong reasons.
    if problem := host_state.privilege_problem():
        module.fail_json(msg=problem)
    params = module.params
    release = host_state.os_release()
    host = {
        "os": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", "an unknown system"),
        "python": platform.python_version(),
        "cores": host_state.cores(),
        "memory_gb": round(host_state.memory_gb(), 1),
        "disk_gb": round(host_state.disk_gb(Path("/opt"))[0], 1),
    }
    problems = [
        *(system_problems(host) if params["supported_os"] else []),
        *size_problems(host, params["minimum"], params["minimum_variable"]),
        *space_problems(params["free_gb"]),
        *address_problems(params["addresses"]),
        *port_problems(params["ports"]),
        *file_problems(params["files"]),
        *source_problems(params),
    ]
    if problems:
        module.fail_json(msg="Nothing was changed, because " + " Also, ".join(problems), problems=problems, host=host)
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
