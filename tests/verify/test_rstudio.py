"""RStudio behind the hub: one login, on a socket, inside the person's own unit, with the environment of notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hub import Person, server_unit
from test_tools import LISTENING
from wishes import Wishes

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
folder, name = os.path.split({place!r})
with socket.socket(socket.AF_UNIX) as client:
    try:
        # The whole name may be longer than the address of a socket can be.
        os.chdir(folder)
        client.connect(name)
        print("CONNECTED")
    except OSError as error:
        print(type(error).__name__)
"""


class Studio:
    """RStudio in a person's browser."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.page = f"{person.base}/user/{person.name}/rstudio/"
        self.opened = person.web.get(self.page, timeout=120)

    def ask(self, method: str, *params: Any) -> Any:
        """Send what the page sends, with the token that shows that it comes from there."""
        tokens = [str(cookie.value) for cookie in self.person.web.cookies if cookie.name == "rs-csrf-token"]
        headers = {"X-RS-CSRF-Token": tokens[-1]} if tokens else {}
        body = {"method": method, "params": params, "clientId": "", "clientVersion": ""}
        answer = self.person.web.post(f"{self.page}rpc/{method}", json=body, headers=headers, timeout=120)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture(scope="module")
def installed(host: Any, wishes: Wishes) -> None:
    """Skip where RStudio Server was left out; where it is wished, it must be there."""
    there = host.file(SESSION).exists
    assert there or wishes.rstudio != "true"
    if wishes.rstudio == "false":
        assert not there
    if not there:
        pytest.skip("RStudio Server is not on this host: nothing was proven about it (docs/rstudio.md)")


@pytest.fixture(scope="module")
def tcp_before(host: Any, installed: None, person: Person) -> set[str]:
    """Read on which ports the person's programs listen before RStudio is opened."""
    return listening(host, person)


@pytest.fixture(scope="module")
def studio(tcp_before: set[str], person: Person, host: Any) -> Iterator[Studio]:
    """Open it with the login of the hub, and start a session; end both at the end."""
    found = Studio(person)
    assert found.opened.status_code == 200, found.opened.text[:2000]
    started = found.ask("client_init", "", "{}")
    assert "error" not in started, started
    yield found
    host.run("pkill -u %s -x rserver", person.name)


def listening(host: Any, person: Person) -> set[str]:
    """Give the TCP ports that a person's programs listen on."""
    uid = str(host.user(person.name).uid)
    lines = (line.split() for line in host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines())
    return {fields[1] for fields in lines if fields[3] == LISTENING and fields[7] == uid}


def process(host: Any, person: Person, program: str) -> int:
    """Give the number of the person's one process of a program."""
    return int(host.check_output("pgrep -u %s -x %s", person.name, program))


def test_no_server_for_everybody_runs(host: Any, installed: None) -> None:
    """The vendor's service is barred: no listener on its port, no key that keeps people's own servers from starting."""
    assert host.check_output("systemctl is-enabled rstudio-server.service || :") == "masked"
    assert host.check_output("systemctl is-active rstudio-server.service || :") == "inactive"
    assert not host.socket("tcp://8787").is_listening
    assert not host.file("/var/lib/rstudio-server/session-rpc-key").exists


def test_login_of_the_hub_is_enough(studio: Studio) -> None:
    """The page is RStudio's own and not one of a second login."""
    assert "RStudio" in studio.opened.text
    assert studio.opened.url == studio.page


def test_launcher_offers_it_once(studio: Studio) -> None:
    """There is a tile."""
    person = studio.person
    found = person.web.get(f"{person.base}/user/{person.name}/server-proxy/servers-info", timeout=60).json()
    entries = [each["launcher_entry"] for each in found["server_processes"]]
    assert [entry["enabled"] for entry in entries if entry["title"] == "RStudio"] == [True]


@pytest.mark.parametrize("program", ["rserver", "rsession"])
def test_it_runs_inside_the_persons_unit(host: Any, studio: Studio, program: str) -> None:
    """So the person's one budget, the private /tmp and the walls hold for it, and it ends with the server."""
    group = host.file(f"/proc/{process(host, studio.person, program)}/cgroup").content_string
    uid = host.user(studio.person.name).uid
    assert re.search(rf"/user-{uid}\.slice/(\S+/)?{re.escape(server_unit(host, studio.person.name))}", group)


def test_it_is_a_child_of_the_persons_server(host: Any, studio: Studio) -> None:
    """The session belongs to rserver, and rserver to the server that the hub started."""
    rserver, rsession = (process(host, studio.person, program) for program in ("rserver", "rsession"))
    main = host.check_output("systemctl show --property MainPID --value %s", server_unit(host, studio.person.name))
    assert host.check_output("ps -o ppid= -p %s", str(rsession)).strip() == str(rserver)
    assert host.check_output("ps -o ppid= -p %s", str(rserver)).strip() == main


def test_it_listens_on_no_port(host: Any, studio: Studio, tcp_before: set[str]) -> None:
    """On a port, everybody on the host would be in, without a login."""
    arguments = host.file(f"/proc/{process(host, studio.person, 'rserver')}/cmdline").content_string.split("\0")
    assert [word for word in arguments if word.startswith("--www-socket=/")]
    assert not [word for word in arguments if word.startswith("--www-port")]
    assert listening(host, studio.person) == tcp_before


def test_neighbour_does_not_reach_it(host: Any, studio: Studio, neighbour: Person, wishes: Wishes) -> None:
    """Not on the socket, whichever name it is called by, and not through the hub."""
    number = process(host, studio.person, "rserver")
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
    assert host.check_output(shell, studio.person.name, CONNECT.format(place=inside)) == "CONNECTED"
    with neighbour.kernel(wishes.kernels["python"]) as kernel:
        for name in (place, outside, inside):
            code = CONNECT.format(place=name)
            found = {kernel.run(code).strip(), host.check_output(shell, neighbour.name, code)}
            assert found <= {"FileNotFoundError", "PermissionError"}, name
    page = neighbour.web.get(studio.page, timeout=60, allow_redirects=False)
    assert page.status_code in (302, 403, 404)


def test_secrets_are_the_persons_own(host: Any, studio: Studio) -> None:
    """The key of its cookies and its database are in a folder that nobody else opens."""
    number = process(host, studio.person, "rserver")
    arguments = host.file(f"/proc/{number}/cmdline").content_string.split("\0")
    given = dict(word.removeprefix("--").partition("=")[::2] for word in arguments if word.startswith("--"))
    key = f"/proc/{number}/root{given['secure-cookie-key-file']}"
    assert host.check_output("stat -c '%%U %%a' %s", key) == f"{studio.person.name} 600"
    data = f"/proc/{number}/root{given['server-data-dir']}/.."
    assert host.check_output("stat -c '%%U %%a' %s", data) == f"{studio.person.name} 700"


def test_session_has_the_environment_of_notebooks(host: Any, studio: Studio, wishes: Wishes) -> None:
    """It has what rserver does not hand on, and nothing of what speaks to the hub."""
    path = f"/proc/{process(host, studio.person, 'rsession')}/environ"
    found = dict(line.partition("=")[::2] for line in host.check_output("tr '\\0' '\\n' < %s", path).splitlines())
    with studio.person.kernel(wishes.kernels["python"]) as kernel:
        wanted = json.loads(kernel.run(SHOW))
    assert {name: found.get(name) for name in SAME} == wanted
    assert wanted["RETICULATE_PYTHON"] == wishes.interpreter
    assert not [name for name in found if name.startswith(("JUPYTER", "JPY_"))]


def test_r_in_the_session_uses_the_same_python(host: Any, studio: Studio, wishes: Wishes) -> None:
    """The stand-in lets a real R answer; a browser alone can ask the real RStudio."""
    if "stand-in" not in studio.opened.text:
        pytest.skip("this is the real RStudio Server: what R sees in it was not asked")
    code = "library(reticulate); matrix <- r_to_py(matrix(1:6, 2)); cat(py_config()$python, py_str(matrix$shape))"
    folder = host.check_output("readlink -f %s", wishes.interpreter.removesuffix("/python"))
    assert studio.ask("console_input", code)["result"] == f"{folder}/python (2, 3)"
