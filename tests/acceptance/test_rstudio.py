# SPDX-License-Identifier: GPL-3.0-or-later
"""RStudio behind the hub: one login, on a socket, inside the user's own unit, with the environment of notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.test_tools import LISTENING
from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, server_unit
from tests.support.packages import layer, r_package, upload, wheel

SESSION = "/usr/local/lib/gpulab/rsession"
PROGRAMS = "/usr/lib/rstudio-server/bin"
SAME = (
    *("PATH", "RETICULATE_PYTHON", "CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"),
    *("TF_FORCE_GPU_ALLOW_GROWTH", "PYTORCH_CUDA_ALLOC_CONF", "XLA_PYTHON_CLIENT_PREALLOCATE", "PIP_CERT"),
)
"""What decides where a computation runs, and with what."""

SHOW = f"import json, os; print(json.dumps({{name: os.environ.get(name) for name in {SAME!r}}}))"
CONNECT = """
import os, socket
directory, name = os.path.split({place!r})
with socket.socket(socket.AF_UNIX) as client:
    try:
        # The whole name may be longer than the address of a socket can be.
        os.chdir(directory)
        client.connect(name)
        print("CONNECTED")
    except OSError as error:
        print(type(error).__name__)
"""


class Studio:
    """RStudio in a user's browser."""

    def __init__(self, hub_user: HubUser) -> None:
        self.hub_user = hub_user
        self.page = f"{hub_user.base}/user/{hub_user.name}/rstudio/"
        self.opened = hub_user.web.get(self.page, timeout=120)

    def call(self, method: str, *params: Any) -> Any:
        """Send what the page sends, with the token that shows that it comes from there."""
        tokens = [str(cookie.value) for cookie in self.hub_user.web.cookies if cookie.name == "rs-csrf-token"]
        headers = {"X-RS-CSRF-Token": tokens[-1]} if tokens else {}
        body = {"method": method, "params": params, "clientId": "", "clientVersion": ""}
        answer = self.hub_user.web.post(f"{self.page}rpc/{method}", json=body, headers=headers, timeout=120)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture(scope="module")
def installed(host: Any, expected: Expected) -> None:
    """Skip where RStudio Server is not installed; fail where it is requested and missing."""
    is_installed = host.file(SESSION).exists
    assert is_installed or expected.rstudio != "true"
    if expected.rstudio == "false":
        assert not is_installed
    if not is_installed:
        pytest.skip("RStudio Server is not on this host: it was not tested (docs/how-to/rstudio.md)")


@pytest.fixture(scope="module")
def tcp_before(host: Any, installed: None, hub_user: HubUser) -> set[str]:
    """Return the ports on which the user's programs listen before RStudio is opened."""
    return listening(host, hub_user)


@pytest.fixture(scope="module")
def studio(tcp_before: set[str], hub_user: HubUser, host: Any) -> Iterator[Studio]:
    """Open RStudio with the login of the hub and start a session; both end with the module."""
    opened = Studio(hub_user)
    assert opened.opened.status_code == 200, opened.opened.text[:2000]
    started = opened.call("client_init", "", "{}")
    assert "error" not in started, started
    yield opened
    host.run("pkill -u %s -x rserver", hub_user.name)


def listening(host: Any, hub_user: HubUser) -> set[str]:
    """Return the TCP ports on which a user's programs listen."""
    uid = str(host.user(hub_user.name).uid)
    lines = (line.split() for line in host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines())
    return {fields[1] for fields in lines if fields[3] == LISTENING and fields[7] == uid}


def process(host: Any, hub_user: HubUser, program: str) -> int:
    """Return the process id of a program of which the user runs one."""
    return int(host.check_output("pgrep -u %s -x %s", hub_user.name, program))


def test_rstudio_service_for_all_users_is_masked(host: Any, installed: None) -> None:
    """Its port is free, and no key exists that would keep users' own servers from starting."""
    assert host.check_output("systemctl is-enabled rstudio-server.service || :") == "masked"
    assert host.check_output("systemctl is-active rstudio-server.service || :") == "inactive"
    assert not host.socket("tcp://8787").is_listening
    assert not host.file("/var/lib/rstudio-server/session-rpc-key").exists


def test_login_of_the_hub_is_enough(studio: Studio) -> None:
    """The page is RStudio's own and not one of a second login."""
    assert "RStudio" in studio.opened.text
    assert studio.opened.url == studio.page


def test_launcher_offers_rstudio_once(studio: Studio) -> None:
    """It has one tile."""
    hub_user = studio.hub_user
    found = hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/server-proxy/servers-info", timeout=60).json()
    entries = [each["launcher_entry"] for each in found["server_processes"]]
    assert [entry["enabled"] for entry in entries if entry["title"] == "RStudio"] == [True]


@pytest.mark.parametrize("program", ["rserver", "rsession"])
def test_rstudio_runs_inside_the_users_unit(host: Any, studio: Studio, program: str) -> None:
    """The user's limits, private /tmp and isolation apply to it, and it ends with the server."""
    group = host.file(f"/proc/{process(host, studio.hub_user, program)}/cgroup").content_string
    uid = host.user(studio.hub_user.name).uid
    assert re.search(rf"/user-{uid}\.slice/(\S+/)?{re.escape(server_unit(host, studio.hub_user.name))}", group)


def test_rstudio_is_a_child_of_the_users_server(host: Any, studio: Studio) -> None:
    """The session belongs to rserver, and rserver to the server that the hub started."""
    rserver, rsession = (process(host, studio.hub_user, program) for program in ("rserver", "rsession"))
    main = host.check_output("systemctl show --property MainPID --value %s", server_unit(host, studio.hub_user.name))
    assert host.check_output("ps -o ppid= -p %s", str(rsession)).strip() == str(rserver)
    assert host.check_output("ps -o ppid= -p %s", str(rserver)).strip() == main


def test_rstudio_listens_on_no_port(host: Any, studio: Studio, tcp_before: set[str]) -> None:
    """On a port, all users of the host could connect without a login."""
    arguments = host.file(f"/proc/{process(host, studio.hub_user, 'rserver')}/cmdline").content_string.split("\0")
    assert [word for word in arguments if word.startswith("--www-socket=/")]
    assert not [word for word in arguments if word.startswith("--www-port")]
    assert listening(host, studio.hub_user) == tcp_before


def test_neighbour_cannot_connect_to_rstudio(
    host: Any, studio: Studio, neighbour: HubUser, neighbours_kernel: Kernel
) -> None:
    """Neither on the socket, by any of its paths, nor through the hub."""
    number = process(host, studio.hub_user, "rserver")
    arguments = host.file(f"/proc/{number}/cmdline").content_string.split("\0")
    place = next(word.partition("=")[2] for word in arguments if word.startswith("--www-socket="))
    outside = host.check_output(
        "find /tmp /var/tmp /run /var/lib/gpulab/servers -type s -inum $(stat -c %%i /proc/%s/root%s) | head -1",
        str(number),
        place,
    )
    assert host.file(outside).is_socket
    inside = f"/proc/{number}/root{place}"
    shell = "runuser -u %s -- /usr/bin/python3 -c %s"
    assert host.check_output(shell, studio.hub_user.name, CONNECT.format(place=inside)) == "CONNECTED"
    for name in (place, outside, inside):
        code = CONNECT.format(place=name)
        errors = {neighbours_kernel.run(code).strip(), host.check_output(shell, neighbour.name, code)}
        assert errors <= {"FileNotFoundError", "PermissionError"}, name
    page = neighbour.web.get(studio.page, timeout=60, allow_redirects=False)
    assert page.status_code in (302, 403, 404)


def test_secrets_of_rstudio_are_the_users_own(host: Any, studio: Studio) -> None:
    """The key of its cookies and its database are in a directory that only the user can open."""
    number = process(host, studio.hub_user, "rserver")
    arguments = host.file(f"/proc/{number}/cmdline").content_string.split("\0")
    given = dict(word.removeprefix("--").partition("=")[::2] for word in arguments if word.startswith("--"))
    key = f"/proc/{number}/root{given['secure-cookie-key-file']}"
    assert host.check_output("stat -c '%%U %%a' %s", key) == f"{studio.hub_user.name} 600"
    data = f"/proc/{number}/root{given['server-data-dir']}/.."
    assert host.check_output("stat -c '%%U %%a' %s", data) == f"{studio.hub_user.name} 700"


def test_session_has_the_environment_of_notebooks(
    host: Any, studio: Studio, kernel: Kernel, expected: Expected
) -> None:
    """It has the variables that rserver does not pass on, and none for the hub's API."""
    path = f"/proc/{process(host, studio.hub_user, 'rsession')}/environ"
    found = dict(line.partition("=")[::2] for line in host.check_output("tr '\\0' '\\n' < %s", path).splitlines())
    wanted = json.loads(kernel.run(SHOW))
    # R puts the user's own packages first when it starts.
    own = f"{layer(host, expected, studio.hub_user.name)}/bin:"
    assert {name: found.get(name) for name in SAME} == wanted | {"PATH": wanted["PATH"].removeprefix(own)}
    assert wanted["RETICULATE_PYTHON"] == expected.interpreter
    assert not [name for name in found if name.startswith(("JUPYTER", "JPY_"))]


def test_r_in_the_session_uses_the_same_python(host: Any, studio: Studio, expected: Expected) -> None:
    """The stand-in runs a real R; the real RStudio can be tested only with a browser."""
    if "stand-in" not in studio.opened.text:
        pytest.skip("this is the real RStudio Server: its R was not tested")
    code = "library(reticulate); matrix <- r_to_py(matrix(1:6, 2)); cat(py_config()$python, py_str(matrix$shape))"
    python = f"{layer(host, expected, studio.hub_user.name)}/bin/python"
    assert studio.call("console_input", code)["result"] == f"{python} (2, 3)"


def test_packages_are_installed_in_the_session(host: Any, studio: Studio, expected: Expected) -> None:
    """For R with a compiler, for Python into the user's layer."""
    if "stand-in" not in studio.opened.text:
        pytest.skip("this is the real RStudio Server: its R was not tested")
    name = studio.hub_user.name
    directory = f"{host.user(name).home}/verify-wheels"
    upload(host, name, directory, r_package("verifystudio"), wheel("verify-studio"))
    r = f'install.packages("{directory}/verifystudio_1.0.tar.gz", repos = NULL, quiet = TRUE)'
    options = f'pip_options = c("--no-index", "--find-links={directory}")'
    python = f'reticulate::py_install("verify-studio", {options})'
    show = 'cat("got", verifystudio::answer(), reticulate::import("verify_studio")$`__name__`)'
    try:
        assert studio.call("console_input", f"{r}; {python}; {show}")["result"].endswith("got 42 verify_studio")
    finally:
        own = layer(host, expected, name)
        remove = (
            f"rm -rf {directory} ~/R/*/*/verifystudio; {own}/bin/python -m pip uninstall --yes --quiet verify-studio"
        )
        host.check_output("runuser -u %s -- sh -c %s", name, remove)
