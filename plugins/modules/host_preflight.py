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
    description:
      - Free space that is needed (in 1e9 bytes), by directory. A directory need not exist yet.
      - The needs of directories on one file system are added up.
    type: dict
    default: {}
  executables:
    description: Directories for programs. Their file systems must not be mounted C(noexec) or read-only.
    type: list
    elements: path
    default: []
  clock_seconds:
    description: Largest difference between the clocks of the host and the controller, in seconds.
    type: float
    default: 300
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
        description:
          - Address, or a directory on the host. A login in the address is sent to the source and is in no message.
        type: str
        required: true
      variable:
        description: Variable that sets it, for the message.
        type: str
        required: true
      kind:
        description:
          - Kind of the source, which decides on the files below O(sources[].url) that are requested. One of them must
            exist; HTTP 401, 403 and 404 are reported as such.
          - V(file) is the address of a file or a page. V(apt) and V(apt_security) are mirrors of the distribution,
            V(apt_flat) a repository without C(dists), V(python) an index, V(npm) a registry, V(cran) a mirror of CRAN.
        type: str
        choices: [file, apt, apt_security, apt_flat, python, npm, cran]
        default: file
      login:
        description: Internal. The login of O(sources[].url), set by the action plugin.
        type: str
        default: ""
  wheels:
    description: Wheels that a source must have for the host's Python.
    type: list
    elements: dict
    default: []
    suboptions:
      requirement:
        description: Package and version, as C(torch==2.13.0+cpu).
        type: str
        required: true
      python:
        description: Version of Python, as 3.11.
        type: str
        required: true
      index:
        description: Index of the package. Empty searches O(indexes) and O(find_links) only.
        type: str
        default: ""
      variable:
        description: Variable that sets the index, for the message.
        type: str
        required: true
      login:
        description: Internal. The login of O(wheels[].index), set by the action plugin.
        type: str
        default: ""
  indexes:
    description: Other indexes of Python packages that the host uses, for O(wheels).
    type: list
    elements: str
    default: []
  find_links:
    description: Directories on the host and pages with wheels, for O(wheels).
    type: list
    elements: str
    default: []
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
  python_files:
    description: Directories with Python files of the site's own, which a program will run. A directory need not exist.
    type: list
    elements: dict
    default: []
    suboptions:
      directory:
        description: The directory; its files C(*.py) are compiled, not run.
        type: path
        required: true
      rejected:
        description: Regular expression of a text that must not be at the start of a line.
        type: str
        default: ""
      reason:
        description: Why, and what to do instead, for the message.
        type: str
        default: ""
  ca_certificates:
    description: PEM text of further CA certificates for the connections to sources.
    type: str
    default: ""
  proxies:
    description: Proxies by scheme, and the hosts of C(no_proxy).
    type: dict
    default: {}
  no_proxy:
    description: Internal. Hosts that are reached directly, set by the action plugin from O(proxies).
    type: list
    elements: str
    default: []
  trusted_hosts:
    description: >-
      Hosts, each with or without a port, whose certificate is not verified when an index of Python packages is read.
    type: list
    elements: str
    default: []
  controller_time:
    description: Internal. Time of the controller in seconds since 1970, set by the action plugin; 0 checks no clock.
    type: float
    default: 0
  logins:
    description: Internal. Logins of O(indexes) and O(find_links) by address, set by the action plugin.
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
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state, source_requests
from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import address_problem, masked, with_login
from ansible_collections.gpulab.core.plugins.module_utils.frameworks import wheel_pages

HOST = re.compile(r"(?:https?://)?[\w.:\[\]*/%-]+")
"""A host in a list: a name, an address, a network, a domain, each perhaps with a port."""


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
    """Report file systems with too little free space for their directories together."""
    needs: dict[Path, dict[str, float]] = {}
    for directory, wanted in free_gb.items():
        needs.setdefault(host_state.mount_point(Path(directory)), {})[directory] = float(wanted)
    problems = []
    for mount, wanted_gb in needs.items():
        free = host_state.disk_gb(mount)[1]
        if free < sum(wanted_gb.values()):
            parts = " and ".join(f"{wanted:g} GB for {directory}" for directory, wanted in wanted_gb.items())
            problems.append(
                f"the file system mounted at {mount} has {free:.1f} GB free and needs {parts}: free some space there, "
                "or enlarge it."
            )
    return problems


def bind_problems(addresses: list[dict[str, Any]]) -> list[str]:
    """Report addresses that no program can listen on."""
    return [
        f"{entry['variable']}: a program cannot listen on {entry['address']} on this host ({reason}). Set an address "
        "that `ip address` shows, or 0.0.0.0 for all."
        for entry in addresses
        if (reason := host_state.why_not_bound(entry["address"]))
    ]


def mount_problems(directories: list[str]) -> list[str]:
    """Report file systems on which no program can be installed, by the mount option."""
    problems = {}
    for directory in directories:
        if option := host_state.mount_problem(Path(directory)):
            mount = host_state.mount_point(Path(directory))
            fix = "exec" if option == "noexec" else "rw"
            problems[mount] = (
                f"{directory} is on the file system mounted at {mount} with the option {option}, so no program can be "
                f"installed there: remove the option in /etc/fstab and run 'mount -o remount,{fix} {mount}'."
            )
    return list(problems.values())


def duration(seconds: float) -> str:
    """Return a number of seconds in its largest unit."""
    for unit, length in (("days", 86400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"


def clock_problems(controller_time: float, tolerance: float) -> list[str]:
    """Report a clock that differs from the controller's; certificates and package lists then seem to be invalid."""
    difference = time.time() - controller_time
    if not controller_time or abs(difference) <= tolerance:
        return []
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    relation = "ahead of" if difference > 0 else "behind"
    return [
        f"the host's clock shows {shown}, {duration(abs(difference))} {relation} the controller's: "
        "check which one is wrong with 'timedatectl', then run 'timedatectl set-ntp true' there (or 'timedatectl "
        "set-time' where no time server can be reached)."
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


def python_problems(directories: list[dict[str, Any]]) -> list[str]:
    """Report Python files with wrong syntax, and those that set what they must not set."""
    problems = []
    for entry in directories:
        for path in sorted(Path(entry["directory"]).glob("*.py")):
            try:
                text = path.read_text(encoding="utf-8")
                compile(text, str(path), "exec")
            except (SyntaxError, ValueError) as error:  # ValueError: not UTF-8, or a null byte
                where = f" in line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else f": {error}"
                problems.append(f"{path} is not valid Python{where}. Correct it: the program would not start.")
                continue
            if entry["rejected"] and (match := re.search(f"^(?:{entry['rejected']})", text, re.MULTILINE)):
                problems.append(f"{path} sets {match[0].strip(' =')}: {entry['reason']}")
    return problems


def access(params: dict[str, Any], trusted: bool = False) -> source_requests.Access:
    """Return how the sources are reached; certificates of trusted hosts are not verified for Python packages."""
    return source_requests.Access(
        params["ca_certificates"],
        params["proxies"],
        tuple(params["no_proxy"]),
        tuple(params["trusted_hosts"]) if trusted else (),
        params["timeout"],
    )


def address_problems(params: dict[str, Any]) -> list[str]:
    """Report addresses and hosts that shells, systemd, apt and pip would read differently, without their logins."""
    addresses = [(source["variable"], source["url"], source["login"]) for source in params["sources"]]
    addresses += [(wheel["variable"], wheel["index"], wheel["login"]) for wheel in params["wheels"] if wheel["index"]]
    problems = [
        f"{variable}: {masked(url)} cannot be used: {problem}."
        for variable, url, login in addresses
        if (problem := address_problem(with_login(url, login)))
    ]
    problems += [
        f"sources_proxy.{scheme} (gpulab_sources.proxy.{scheme}): the address cannot be used: {problem}."
        for scheme, proxy in params["proxies"].items()
        if (problem := address_problem(proxy if "://" in proxy else f"http://{proxy}", proxy=True))
    ]
    for option, name in (("no_proxy", "proxy.no_proxy"), ("trusted_hosts", "pip.trusted_hosts")):
        role = f"sources_{name}"
        problems += [
            f"{role} (gpulab_sources.{name}): {host!r} is not a host: write names and addresses, separated by commas."
            for host in params[option]
            if not HOST.fullmatch(host)
        ]
    return list(dict.fromkeys(problems))


def source_problems(params: dict[str, Any], release: str = "") -> list[str]:
    """Report sources that cannot be used; all are tried at the same time. `release` is the distribution's code name."""

    def reason(source: dict[str, Any]) -> str:
        way = access(params, source["kind"] == "python")
        return source_requests.why_unreachable(with_login(source["url"], source["login"]), way, source["kind"], release)

    sources = params["sources"]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(reason, sources))
    return [
        f"{source['variable']}: {masked(source['url'])} cannot be used from the host: {answer}."
        for source, answer in zip(sources, answers, strict=True)
        if answer
    ]


def wheel_problems(params: dict[str, Any], machine: str) -> list[str]:
    """Report wheels that no source has for the host's Python."""
    logins = params["logins"]
    indexes, links = (
        [with_login(url, logins.get(url, "")) for url in params[name]] for name in ("indexes", "find_links")
    )
    problems = []
    for wheel in params["wheels"]:
        first = [with_login(wheel["index"], wheel["login"])] if wheel["index"] else []
        package, _equals, version = wheel["requirement"].partition("==")
        request = wheel_pages.Request(package, version, wheel["python"], machine)
        if reason := wheel_pages.why_missing(request, [*first, *indexes], links, access(params, trusted=True)):
            problems.append(f"{wheel['variable']}: {reason}")
    return problems


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
            "executables": {"type": "list", "elements": "path", "default": []},
            "clock_seconds": {"type": "float", "default": 300},
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
                    "kind": {"type": "str", "choices": list(source_requests.PROBES), "default": "file"},
                    "login": {"type": "str", "default": "", "no_log": True},
                },
            },
            "wheels": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "requirement": {"type": "str", "required": True},
                    "python": {"type": "str", "required": True},
                    "index": {"type": "str", "default": ""},
                    "variable": {"type": "str", "required": True},
                    "login": {"type": "str", "default": "", "no_log": True},
                },
            },
            "indexes": {"type": "list", "elements": "str", "default": []},
            "find_links": {"type": "list", "elements": "str", "default": []},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "mark": {"type": "str", "required": True},
                },
            },
            "python_files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "directory": {"type": "path", "required": True},
                    "rejected": {"type": "str", "default": ""},
                    "reason": {"type": "str", "default": ""},
                },
            },
            "ca_certificates": {"type": "str", "default": ""},
            "proxies": {"type": "dict", "default": {}, "no_log": True},
            "no_proxy": {"type": "list", "elements": "str", "default": []},
            "trusted_hosts": {"type": "list", "elements": "str", "default": []},
            "controller_time": {"type": "float", "default": 0},
            "logins": {"type": "dict", "default": {}, "no_log": True},
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
    wrong_addresses = address_problems(params)
    problems = [
        *(system_problems(host) if params["supported_os"] else []),
        *size_problems(host, params["minimum"], params["minimum_variable"]),
        *clock_problems(params["controller_time"], params["clock_seconds"]),
        *mount_problems(params["executables"]),
        *space_problems(params["free_gb"]),
        *bind_problems(params["addresses"]),
        *port_problems(params["ports"]),
        *file_problems(params["files"]),
        *python_problems(params["python_files"]),
        *wrong_addresses,
        *([] if wrong_addresses else source_problems(params, release.get("VERSION_CODENAME", ""))),
        *([] if wrong_addresses else wheel_problems(params, platform.machine())),
    ]
    if problems:
        module.fail_json(msg="Nothing was changed, because " + " Also, ".join(problems), problems=problems, host=host)
    module.exit_json(changed=False, host=host)


if __name__ == "__main__":
    main()
