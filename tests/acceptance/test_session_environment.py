# SPDX-License-Identifier: GPL-3.0-or-later
"""All users have the same programs in notebooks and over SSH; environments are separate; own kernels work."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel
from tests.support.packages import layer
from tests.support.shell import Shell

NAMES = ("PATH", "RETICULATE_PYTHON", "TF_FORCE_GPU_ALLOW_GROWTH")
SHOW = "import os; print([os.environ.get(name) for name in {names!r}])"


def specs(hub_user: HubUser) -> dict[str, Any]:
    """Return the kernels that the user's server offers."""
    answer = hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/api/kernelspecs", timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


@pytest.mark.parametrize("way", ["command", "remote-interpreter"])
def test_ssh_has_the_environment_of_notebooks(kernel: Kernel, ssh: Shell, expected: Expected, way: str) -> None:
    """A plain command, and the interpreter that PyCharm and VS Code start over SSH."""
    code = shlex.quote(SHOW.format(names=NAMES))
    program = {"command": "/usr/bin/python3", "remote-interpreter": expected.interpreter}[way]
    command = f"{program} -c {code}"
    wanted = kernel.run(SHOW.format(names=NAMES)).strip()
    done = ssh.run(command)
    assert done.stdout.strip() == wanted, done.stderr
    assert "None" not in wanted


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_login_shell_has_the_environment_of_notebooks(
    host: Any, kernel: Kernel, ssh: Shell, expected: Expected, shell: str
) -> None:
    """The environment's programs come first; what other files of the host put on PATH stays behind them."""
    code = SHOW.format(names=NAMES)
    wanted = ast.literal_eval(kernel.run(code).strip())
    done = ssh.run(f"{shell} -lc {shlex.quote(f'/usr/bin/python3 -c {shlex.quote(code)}')}")
    assert done.stderr == ""
    path, *others = ast.literal_eval(done.stdout.strip())
    assert others == wanted[1:]
    assert path.split(":")[0] == f"{layer(host, expected, ssh.name)}/bin"
    assert set(wanted[0].split(":")) <= set(path.split(":"))


@pytest.fixture
def other_path(host: Any, ssh: Shell) -> Iterator[str]:
    """Put a directory on PATH as an administrator does, in a file that sorts before gpulab's."""
    path = "/etc/profile.d/a-verify.sh"
    host.check_output("echo 'PATH=/opt/verify/bin:$PATH' > %s && chmod 644 %s", path, path)
    yield "/opt/verify/bin"
    host.check_output("rm %s", path)


def test_login_shell_keeps_what_other_files_put_on_path(ssh: Shell, host: Any, other_path: str) -> None:
    """For users behind the environment; for root, who is not a user, nothing else changes."""
    path = ssh.run("bash -lc 'echo $PATH'").stdout.strip().split(":")
    assert path.index(other_path) > 0
    roots = host.check_output("env -i HOME=/root bash -lc 'echo $PATH; env'").splitlines()
    assert other_path in roots[0].split(":")
    assert not [line for line in roots if line.startswith(("RETICULATE_", "PIP_"))]


def test_users_can_enter_the_directories_of_kernels_and_shares(ssh: Shell, expected: Expected) -> None:
    """Whatever umask root has."""
    paths = [f"/usr/local/share/jupyter/kernels/{expected.kernels['python']}", "/etc/gpulab", "/opt/gpulab/envs"]
    paths += [expected.shared["path"]] if expected.shared["groups"] else []
    done = ssh.run(f"ls -d {' '.join(f'{path}/.' for path in paths)}")
    assert done.returncode == 0, done.stderr


def test_terminal_in_jupyter_has_the_same_path(hub_user: HubUser, kernel: Kernel) -> None:
    """A shell that a notebook starts has the same PATH."""
    assert kernel.run("import os; print(os.popen('echo $PATH').read().strip() == os.environ['PATH'])").strip() == "True"


def test_python_is_the_one_of_the_environment(ssh: Shell, expected: Expected, host: Any) -> None:
    """The command python is the one with the frameworks and the user's own packages."""
    ssh.run("python -c ''")
    found = ssh.run("readlink -f $(command -v python)").stdout.strip()
    assert found == host.check_output("readlink -f %s", expected.interpreter)
    assert ssh.run("command -v python").stdout.strip() == f"{layer(host, expected, ssh.name)}/bin/python"


def test_servers_own_kernel_is_not_offered(hub_user: HubUser, expected: Expected) -> None:
    """The launcher offers the host's kernels, and new notebooks begin with the one that has the frameworks."""
    found = specs(hub_user)
    assert found["default"] == expected.kernels["python"]
    assert {expected.kernels["python"], expected.kernels["r"]} <= set(found["kernelspecs"])
    for name, spec in found["kernelspecs"].items():
        assert not spec["spec"]["argv"][0].startswith("/opt/gpulab/server"), name
    assert "python3" not in found["kernelspecs"]


def test_hub_and_server_have_the_same_jupyterhub(host: Any) -> None:
    """As they are installed; another major version would not be understood."""
    code = "import jupyterhub; print(jupyterhub.__version__)"
    found = {host.check_output(f"/opt/gpulab/{name}/current/bin/python -c %s", code) for name in ("hub", "server")}
    assert len(found) == 1


@pytest.mark.parametrize("name", ["hub", "server"])
def test_environments_of_the_hub_are_roots(host: Any, name: str) -> None:
    """Only root can write in them."""
    listed = host.check_output(
        "find -H /opt/gpulab/%s/current/ -not -user root -o -perm /022 -not -type l | head", name
    )
    assert listed == ""


@pytest.fixture
def own(ssh: Shell) -> Iterator[str]:
    """Make an environment of the user's own, with the ipykernel that the host has; remove it at the end."""
    made = ssh.run("python -m venv --system-site-packages ~/verify-own && gpulab kernel add ~/verify-own")
    assert made.returncode == 0, made.stderr
    yield "verify-own"
    ssh.run("gpulab kernel remove verify-own; rm -rf ~/verify-own")


def test_user_adds_a_kernel_with_one_command(own: str, hub_user: HubUser) -> None:
    """The kernel runs the user's own environment, whose programs come first."""
    assert own in specs(hub_user)["kernelspecs"]
    with hub_user.kernel(own) as kernel:
        code = "import json, os, sys; print(json.dumps([sys.prefix, os.environ['PATH'].split(':')[0]]))"
        prefix, first = json.loads(kernel.run(code))
    assert prefix.endswith("/verify-own")
    assert first == f"{prefix}/bin"


def test_gpulab_info_names_links_limits_and_users(ssh: Shell, host: Any) -> None:
    """`gpulab info` reports the hub's address, the limits and the users at work."""
    info = json.loads(ssh.run("gpulab info --json").stdout)
    assert info["links"]["JupyterHub"].startswith("http")
    assert ssh.name in info["users"]
    assert "tasks" in info["limits"]


def test_interactive_login_prints_a_greeting(ssh: Shell) -> None:
    """A terminal gets it; a command, whose output may be another program's input, does not."""
    shell = Shell.__new__(Shell)
    shell.argv = [*ssh.argv[:-1], "-tt", ssh.argv[-1]]
    assert "Your limits for all sessions together" in shell.run("bash --login -i -c exit").stdout
    assert ssh.run("bash --login -c true").stdout == ""
