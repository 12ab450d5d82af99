#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.host_preflight."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
author: The gpulab team (@gpulab)
short_description: Whether a host can carry what is requested, before anything is changed
description:
  - Compares the host with what a role needs and names everything that is missing at once, each with its fix.
  - Only reads; behaves the same in check mode.
options:
  minimum:
    description: Least sizes, C(cores), C(memory_gb) and C(disk_gb) (in 1e9 bytes).
    type: dict
    default: {}
  minimum_variable:
    description: The variable that lowers the least sizes, for the message.
    type: str
    default: gpulab_minimum
  free_gb:
    description: Space that must be free, by directory. A directory need not exist yet.
    type: dict
    default: {}
  supported_os:
    description: Whether the host must run a system that the roles are written for.
    type: bool
    default: true
  ports:
    description: TCP ports that must be free, or be in use by the unit named.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      variable:
        description: The variable that chooses it, for the message.
        type: str
        required: true
      unit:
        description: The unit that may have it already.
        type: str
        default: ""
  sources:
    description: Package sources that must answer.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Address, or a directory on the host.
        type: str
        required: true
      variable:
        description: The variable that chooses it, for the message.
        type: str
        required: true
      whole:
        description: Whether this is the address of a file, which must be there; else any answer of the server will do.
        type: bool
        default: false
  files:
    description: Files that a role writes. One that is there already and does not hold the mark is somebody else's.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file, or the link, whose target is looked at then.
        type: path
        required: true
      mark:
        description: Text by which the role knows its own.
        type: str
        required: true
  ca_certificates:
    description: PEM text of further authorities to trust when sources are asked.
    type: str
    default: ""
  proxies:
    description: Proxies by scheme.
    type: dict
    default: {}
  timeout:
    description: Seconds that a source has to answer.
    type: float
    default: 10
  look:
    description: Paths of which RV(there) tells whether they are there. None of them is a problem.
    type: list
    elements: path
    default: []
  ask:
    description:
      - V(now) asks what this task names. V(later) asks nothing and keeps it in mind. V(all) asks what was kept too, so
        that everything that is wrong with a host is told at once, for one round trip.
    type: str
    choices: [now, later, all]
    default: now
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Preflight | See whether the port is free
  gpulab.core.host_preflight:
    ports:
      - port: 443
        variable: jupyterhub_port
        unit: gpulab-proxy.service
"""

RETURN = r"""
host:
  description: What was read, C(os), C(version), C(python), C(cores), C(memory_gb), C(disk_gb).
  type: dict
  returned: always
there:
  description: The paths of O(look), each with whether it is there.
  type: dict
  returned: success
"""

import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils import host_state


def system_problems(host: dict[str, Any]) -> list[str]:
    """Reject a system that the roles are not written for, by name."""
    if host["version"] in host_state.SUPPORTED.get(host["os"], ()):
        return []
    known = "; ".join(f"{name.capitalize()} {', '.join(versions)}" for name, versions in host_state.SUPPORTED.items())
    return [f"the host runs {host['name']}, which gpulab does not support. Supported: {known}."]


def size_problems(host: dict[str, Any], minimum: dict[str, Any], variable: str) -> list[str]:
    """Compare sizes with the least ones."""
    words = {"cores": "cores", "memory_gb": "GB of memory", "disk_gb": "GB of disk"}
    return [
        f"the host has {host[key]:g} {words[key]}, gpulab wants {float(least):g} "
        f"(to go on all the same, lower {variable}.{key})."
        for key, least in minimum.items()
        if float(host[key]) < float(least)
    ]


def space_problems(free_gb: dict[str, Any]) -> list[str]:
    """Compare free space with what will be written."""
    found = []
    for directory, wanted in free_gb.items():
        free = host_state.disk_gb(Path(directory))[1]
        if free < float(wanted):
            found.append(f"{directory} has {free:.1f} GB free and needs {float(wanted):g} GB: make room there.")
    return found


def port_problems(ports: list[dict[str, Any]]) -> list[str]:
    """Find ports that somebody else has."""
    found = []
    for setting in ports:
        strangers = [each for each in host_state.listeners(setting["port"]) if each.unit != (setting["unit"] or None)]
        if strangers:
            who = strangers[0]
            unit = f", {who.unit}" if who.unit else ""
            found.append(
                f"port {setting['port']} is in use by {who.name} (process {who.pid}{unit}): "
                f"stop it, or choose another port with {setting['variable']}."
            )
    return found


def file_problems(files: list[dict[str, Any]]) -> list[str]:
    """Find files that somebody else has where a role wants to write."""
    found = []
    for setting in files:
        path = Path(setting["path"])
        if path.is_symlink():
            own = setting["mark"] in str(path.readlink())
        else:
            own = not path.exists() or (path.is_file() and setting["mark"].encode() in path.read_bytes())
        if not own:
            found.append(f"{path} is there and is not gpulab's: move it away; it is never overwritten.")
    return found


def source_problems(params: dict[str, Any]) -> list[str]:
    """Ask all sources at the same time."""

    def ask(source: dict[str, Any]) -> str:
        return host_state.why_unreachable(
            source["url"], params["ca_certificates"], params["proxies"], params["timeout"], source["whole"]
        )

    sources = params["sources"]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(ask, sources))
    return [
        f"{source['variable']}: {source['url']} cannot be used from the host: {reason}."
        for source, reason in zip(sources, answers, strict=True)
        if reason
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "minimum": {"type": "dict", "default": {}},
            "minimum_variable": {"type": "str", "default": "gpulab_minimum"},
            "free_gb": {"type": "dict", "default": {}},
            "supported_os": {"type": "bool", "default": True},
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
            "look": {"type": "list", "elements": "path", "default": []},
            "ask": {"type": "str", "choices": ["now", "later", "all"], "default": "now"},
        },
        supports_check_mode=True,
    )
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
        *port_problems(params["ports"]),
        *file_problems(params["files"]),
        *source_problems(params),
    ]
    if problems:
        module.fail_json(msg="Nothing was changed, because " + " Also, ".join(problems), problems=problems, host=host)
    there = {path: Path(path).exists() for path in params["look"]}
    module.exit_json(changed=False, host=host, there=there)


if __name__ == "__main__":
    main()
