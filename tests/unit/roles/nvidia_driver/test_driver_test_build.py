# SPDX-License-Identifier: GPL-3.0-or-later
"""The test build of a new driver (tasks/test_build.yml), with stand-ins for apt-get, dpkg-deb and dkms."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

KERNEL = "6.12.117-amd64"
PLAY = """
- hosts: all
  gather_facts: false
  environment:
    PATH: "{{ directory }}/{{ inventory_hostname }}/bin:{{ lookup('env', 'PATH') }}"
  tasks:
    - ansible.builtin.include_role:
        name: gpulab.core.nvidia_driver
        tasks_from: test_build.yml
"""
VARIABLES: dict[str, Any] = {
    "__nvidia_driver_host": {
        "userland_version": "535.183.01",
        "kernels": [{"release": KERNEL, "installed": True, "headers": True}],
    },
    "__nvidia_driver_plan": {
        "main": "nvidia-kernel-dkms",
        "source": "distro",
        "names": ["libcuda1"],
        "headers": {"required": []},
    },
    "__nvidia_driver_candidates": {
        "version": "550.163.01-2",
        "closure": ["nvidia-smi"],
        "transaction": ["nvidia-kernel-dkms=550.163.01-2"],
        "available": [],
    },
}
APT_GET = """
case "$*" in
*--download-only*) {download} ;;
*" download "*) touch x.deb ;;
esac
"""
DPKG_DEB = """
mkdir -p "$3/usr/src/nvidia-current-550.163.01"
cd "$3/usr/src/nvidia-current-550.163.01"
printf 'PACKAGE_NAME="nvidia-current"\\nPACKAGE_VERSION="550.163.01"\\n' > dkms.conf
"""
FAILED_DKMS = """
while [ "$1" != --dkmstree ]; do shift; done
mkdir -p "$2/nvidia-current/550.163.01/build"
printf '{log}' > "$2/nvidia-current/550.163.01/build/make.log"
echo "Bad return status" >&2
exit 10
"""


ERROR = "nv-pci.c:237:9: error: too few arguments"


@dataclass
class Host:
    """A host whose programs only record how they were called."""

    directory: Path
    messages: list[str]
    """The messages of its failed tasks."""

    def program(self, name: str, script: str = "") -> None:
        """Install a stand-in for a program."""
        path = self.directory / "bin" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.directory}/calls\n{script}')
        path.chmod(0o755)

    def calls(self, program: str) -> list[list[str]]:
        """Return the calls of a program."""
        lines = (self.directory / "calls").read_text().splitlines()
        return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


def run(directory: Path, hosts: Mapping[str, Host]) -> None:
    """Run the test build on all hosts in one play, and collect the messages of failed tasks."""
    (directory / "play.yml").write_text(PLAY)
    (directory / "tmp").mkdir()
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (directory / "variables.json").write_text(json.dumps({**VARIABLES, **local, "directory": str(directory)}))
    environment = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.timer",  # it prints after the report
        "TMPDIR": str(directory / "tmp"),
    }
    argv = ["ansible-playbook", "--inventory", ",".join([*hosts, ""]), "--extra-vars", f"@{directory}/variables.json"]
    done = subprocess.run(
        [*argv, str(directory / "play.yml")],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "{" in done.stdout, done.stderr
    report, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    for task in report["plays"][0]["tasks"]:
        for name, result in task["hosts"].items():
            if result.get("failed") and task["task"]["name"].endswith("Report why the new module cannot be installed"):
                hosts[name].messages.append(result["msg"])


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Host]:
    """Return a host on which the module builds, one on which it does not, and one without a package source."""
    directory = tmp_path_factory.mktemp("hosts")
    result = {name: Host(directory / name, []) for name in ("builds", "fails", "offline")}
    for host in result.values():
        host.program("apt-get", APT_GET.format(download="exit 0"))
        host.program("dpkg-deb", DPKG_DEB)
        host.program("dkms")
    log = f"  CC x.o\\n{ERROR}\\nmake[1]: *** [x] Error 2\\n{ERROR}\\n"
    result["fails"].program("dkms", FAILED_DKMS.format(log=log))
    result["offline"].program("apt-get", APT_GET.format(download='echo "E: Unable to locate package" >&2; exit 100'))
    run(directory, result)
    assert list((directory / "tmp").glob("gpulab-driver-*")) == []
    return result


def test_module_is_built_in_a_temporary_directory(hosts: dict[str, Host]) -> None:
    """Nothing is installed, and the directory in which DKMS works is removed."""
    host = hosts["builds"]
    assert host.messages == []
    (build,) = host.calls("dkms")
    assert build[:6] == ["dkms", "build", "-m", "nvidia-current", "-v", "550.163.01"]
    assert build[-2:] == ["-k", KERNEL]
    assert not Path(build[build.index("--dkmstree") + 1]).exists()
    installs = [call for call in host.calls("apt-get") if call[-2] == "install"]
    assert len(installs) == 1
    assert all("--download-only" in call for call in installs)


def test_errors_of_the_compiler_are_reported_once(hosts: dict[str, Host]) -> None:
    """And nothing else of a log of thousands of lines."""
    (message,) = hosts["fails"].messages
    assert message.startswith("Nothing was changed, and the installed driver 535.183.01 stays in place.")
    assert f"does not build: {KERNEL}: {ERROR}." in " ".join(message.split())
    assert message.count(ERROR) == 1
    assert "CC x.o" not in message
    assert "Error 2" not in message


def test_failed_download_is_not_reported_as_a_failed_build(hosts: dict[str, Host]) -> None:
    """The message contains the task and apt's reason."""
    (message,) = hosts["offline"].messages
    assert 'Test build | Download the packages of the driver" failed' in message
    assert "E: Unable to locate package" in message
    assert "does not build" not in message
    assert hosts["offline"].calls("dkms") == []
