# SPDX-License-Identifier: GPL-3.0-or-later
"""The test build of a new driver (tasks/test_build.yml), with stand-ins for apt-get, dpkg-deb and dkms."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

KERNEL = "6.12.117-amd64"
PLAY = """
- hosts: all
  gather_facts: false
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


@dataclass
class Host:
    """A host whose programs only record how they were called."""

    directory: Path

    def program(self, name: str, script: str = "") -> None:
        """Install a stand-in for a program."""
        path = self.directory / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.directory}/calls\n{script}')
        path.chmod(0o755)

    def run(self) -> tuple[int, str]:
        """Run the test build; return the exit code and the output in one line."""
        (self.directory / "play.yml").write_text(PLAY)
        (self.directory / "tmp").mkdir()
        variables = {
            **VARIABLES,
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        (self.directory / "variables.json").write_text(json.dumps(variables))
        argv = ["ansible-playbook", "--inventory", "host,", "--extra-vars", f"@{self.directory}/variables.json"]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{self.directory}/bin:{os.environ['PATH']}",
            "TMPDIR": str(self.directory / "tmp"),
        }
        done = subprocess.run(
            [*argv, str(self.directory / "play.yml")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def calls(self, program: str) -> list[list[str]]:
        """Return the calls of a program."""
        lines = (self.directory / "calls").read_text().splitlines()
        return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Return a host on which the module builds."""
    result = Host(tmp_path)
    result.program("apt-get", APT_GET.format(download="exit 0"))
    result.program("dpkg-deb", DPKG_DEB)
    result.program("dkms")
    return result


def test_module_is_built_in_a_temporary_directory(host: Host) -> None:
    """Nothing is installed, and the directory in which DKMS works is removed."""
    code, output = host.run()
    assert code == 0, output
    (build,) = host.calls("dkms")
    assert build[:6] == ["dkms", "build", "-m", "nvidia-current", "-v", "550.163.01"]
    assert build[-2:] == ["-k", KERNEL]
    assert not Path(build[build.index("--dkmstree") + 1]).exists()
    installs = [call for call in host.calls("apt-get") if call[-2] == "install"]
    assert len(installs) == 1
    assert all("--download-only" in call for call in installs)
    assert list((host.directory / "tmp").glob("gpulab-driver-*")) == []


def test_errors_of_the_compiler_are_reported_once(host: Host) -> None:
    """And nothing else of a log of thousands of lines."""
    line = "nv-pci.c:237:9: error: too few arguments"
    host.program("dkms", FAILED_DKMS.format(log=f"  CC x.o\\n{line}\\nmake[1]: *** [x] Error 2\\n{line}\\n"))
    code, output = host.run()
    assert code != 0
    message = output.partition("Nothing was changed, and the installed driver 535.183.01 stays in place.")[2]
    message = message.partition("Origin: ")[0]
    assert f"does not build: {KERNEL}: {line}." in message
    assert message.count(line) == 1
    assert "CC x.o" not in message
    assert "Error 2" not in message
    assert list((host.directory / "tmp").glob("gpulab-driver-*")) == []


def test_failed_download_is_not_reported_as_a_failed_build(host: Host) -> None:
    """The message contains the task and apt's reason."""
    host.program("apt-get", APT_GET.format(download='echo "E: Unable to locate package" >&2; exit 100'))
    code, output = host.run()
    assert code != 0
    assert 'The task "Test build | Download the packages of the driver" failed' in output
    assert "E: Unable to locate package" in output
    assert "does not build" not in output
    assert not (host.directory / "calls").read_text().count("dkms ")
