#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.driver_simulation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: driver_simulation
author: The gpulab team (@gpulab)
short_description: Whether a driver's kernel module builds, tried aside
description:
  - Fetches the packages of a driver without installing them, unpacks the sources of its kernel module into a
    directory of its own, and builds them for each kernel. The installed driver stays as it is.
  - Changes nothing on the host but apt's download cache. In check mode nothing is fetched or built.
options:
  main:
    description: Package with the sources of the kernel module.
    type: str
    required: true
  packages:
    description: All packages of the driver, each with its version, as apt-get takes them.
    type: list
    elements: str
    required: true
  preferences:
    description: Preferences of apt that hold for the attempt, in place of the host's own.
    type: str
    default: ''
  kernels:
    description: Releases of the kernels to build for.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: Try whether the new driver builds
  gpulab.core.driver_simulation:
    main: nvidia-kernel-dkms
    packages: [nvidia-kernel-dkms=535.309.01-0+deb12u1]
    kernels: [6.1.0-56-amd64]
"""

RETURN = r"""
errors:
  description: The lines of the build's log that name an error, with the kernel before them.
  type: list
  elements: str
  returned: always
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

Run = Callable[..., tuple[int, str, str]]


def error_lines(log: str) -> list[str]:
    """Give what the compiler complained about, once each."""
    lines = [line.strip() for line in log.splitlines() if re.search(r"\berror\b\s*:", line, re.IGNORECASE)]
    return list(dict.fromkeys(lines))[:20]


def sources(tree: Path) -> tuple[str, str]:
    """Give name and version of the module that a directory with DKMS sources holds."""
    for configuration in sorted((tree / "usr" / "src").glob("*/dkms.conf")):
        text = configuration.read_text(encoding="utf-8")
        name = re.search(r'^PACKAGE_NAME="?([^"\n]+)', text, re.MULTILINE)
        version = re.search(r'^PACKAGE_VERSION="?([^"\n]+)', text, re.MULTILINE)
        if name and version:
            return name[1], version[1]
    return "", ""


def build(tree: Path, kernels: list[str], run: Run) -> list[str]:
    """Build for each kernel; give the errors."""
    name, version = sources(tree)
    if not name:
        return ["the package holds no sources for DKMS"]
    (tree / "dkms").mkdir()
    shared = ["-m", name, "-v", version, "--sourcetree", str(tree / "usr" / "src"), "--dkmstree", str(tree / "dkms")]
    found = []
    for kernel in kernels:
        code, output, errors = run(["dkms", "build", *shared, "-k", kernel])
        if code != 0:
            logs = [path.read_text(errors="replace") for path in (tree / "dkms").rglob("make.log")]
            lines = [line for log in logs for line in error_lines(log)]
            found += [f"{kernel}: {line}" for line in lines or (output + errors).strip().splitlines()[-3:]]
    return found


def rehearse(parameters: dict[str, Any], run: Run) -> tuple[str, list[str]]:
    """Fetch, unpack, build. Give what stood in the way of trying, and what is wrong with the module."""
    with tempfile.TemporaryDirectory(prefix="gpulab-preferences-") as directory:
        (Path(directory) / "driver").write_text(parameters["preferences"], encoding="utf-8")
        fetch = ["apt-get", "--yes", "--allow-downgrades", "--no-install-recommends", "--download-only"]
        code, output, errors = run(
            [*fetch, "-o", f"Dir::Etc::PreferencesParts={directory}", "install", *parameters["packages"]]
        )
    if code != 0:
        return f"The packages cannot be fetched: {(errors or output).strip()[-600:]}", []
    with tempfile.TemporaryDirectory(prefix="gpulab-rehearsal-") as directory:
        tree = Path(directory)
        named = (name for name in parameters["packages"] if name.partition("=")[0] == parameters["main"])
        wanted = next(named, parameters["main"])
        code, output, errors = run(["apt-get", "--quiet", "download", wanted], cwd=directory)
        archives = list(tree.glob("*.deb"))
        if code != 0 or not archives:
            return f"{wanted} cannot be fetched: {(errors or output).strip()[-600:]}", []
        code, output, errors = run(["dpkg-deb", "--extract", str(archives[0]), str(tree)])
        if code != 0:
            return f"{wanted} cannot be unpacked: {errors.strip()[-600:]}", []
        return "", build(tree, parameters["kernels"], run)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "main": {"type": "str", "required": True},
            "packages": {"type": "list", "elements": "str", "required": True},
            "preferences": {"type": "str", "default": ""},
            "kernels": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, errors=[])
    module.run_command_environ_update = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    obstacle, errors = rehearse(module.params, module.run_command)
    if obstacle:
        module.fail_json(msg=f"Nothing was changed. {obstacle}", errors=[])
    module.exit_json(changed=False, errors=errors)


if __name__ == "__main__":
    main()
