# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes of tests and scripts end, whatever they do with signals."""

from __future__ import annotations

import ast
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.hub import tunnel
from tests.support.paths import ROOT

SSH = f"""#!{sys.executable}
import os, pathlib, signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
listener = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("-L") + 1].split(":")[1])))
time.sleep(600)
"""
"""A stand-in for ssh that forwards a port, as far as connecting to it goes, and ignores SIGTERM."""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
"""A program that ignores SIGTERM."""
CONNECTION = {"port": 22, "arguments": "", "key": "", "user": "", "address": "host.invalid"}


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give processes half a second to end by themselves."""
    monkeypatch.setattr(processes, "GRACE", 0.5)


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_tunnel_ends_although_ssh_ignores_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSH 9.2 can lose the signal: the tunnel kills it and goes on."""
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with tunnel(CONNECTION, "127.0.0.1", 443):
        pid = int((tmp_path / "pid").read_text())
        assert is_running(pid)
        begun = time.monotonic()
    assert time.monotonic() - begun < 60
    assert not is_running(pid)


def test_tunnel_that_cannot_be_made_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the host and how ssh ended."""
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    message = r"no SSH tunnel to host.invalid \(ssh ended with 255\)"
    with pytest.raises(ConnectionError, match=message), tunnel(CONNECTION, "127.0.0.1", 443):
        pass


def test_program_that_takes_too_long_is_stopped_and_named() -> None:
    """The message has the program, the limit, and what was printed."""
    begun = time.monotonic()
    with pytest.raises(processes.TimeLimitExceeded, match=r"did not end within 1 s and was stopped.*\nready"):
        processes.run([sys.executable, "-c", STUBBORN], timeout=1)
    assert time.monotonic() - begun < 60


def test_what_a_program_has_started_ends_with_it() -> None:
    """A grandchild that ignores SIGTERM does not outlive the time limit."""
    script = "(trap '' TERM; sleep 300; sleep 300) & echo $!; wait"
    with pytest.raises(processes.TimeLimitExceeded) as raised:
        processes.run(["sh", "-c", script], timeout=1)
    pid = int(str(raised.value).split()[-1])
    until = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_running(pid)


def test_exit_code_and_output_are_returned() -> None:
    """As subprocess.run does it."""
    done = processes.run(["sh", "-c", "cat; echo error >&2; exit 3"], timeout=20, text_input="text\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "text\n", "error\n")


def test_child_is_stopped_at_the_end_of_its_block() -> None:
    """Also when the block fails."""
    children = []

    def fail() -> None:
        with processes.started([sys.executable, "-c", STUBBORN]) as child:
            children.append(child)
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        fail()
    assert children[0].poll() is not None


# --- the rule, applied to the source of everything --------------------------------------------------------------------
SOURCES = ("bench", "molecule", "plugins", "roles", "scripts", "tests")
ENDLESS = {
    # Services, which their service manager or their test ends.
    "tests/integration/gcp/fakecloud/__main__.py": "threading.Event().wait()",
    "roles/jupyterhub/files/gpulab_server/src/gpulab_server/board.py": "threading.Event().wait()",
    "roles/gpu_sharing/files/gpulab_gpud/src/gpulab_gpud/main.py": "stop.wait()",
    # The user's own program, which may compute for days.
    "roles/tools/files/gpulab_cli/src/gpulab_cli/run.py": "subprocess.Popen(",
    # The program is timeout(1).
    "plugins/modules/privileged_files.py": "subprocess.run(argv",
    # Programs that run on the tested host: its service manager, or a cgroup, ends them.
    "tests/support/rstudio/rserver.py": "subprocess.Popen(",
    "tests/integration/hostile_users/primitives.py": "subprocess.Popen(",
    "tests/support/processes.py": "subprocess.Popen[str]",
    # The class that gives every wait a limit, on hosts that have the directory and nothing else.
    "scripts/gpu_acceptance/running.py": "subprocess.Popen(",
}
"""Calls without a time limit, and why they may stay, by file."""
REQUESTS = {"get", "post", "put", "patch", "delete", "head", "request"}


def unlimited(path: Path) -> Iterator[str]:
    """Return the calls of a file that may wait for ever; unit tests end what they start."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    within = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("wait_for")
        for part in node.args
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)) or id(node) in within:
            continue
        name, owner = node.func.attr, ast.unparse(node.func.value)
        limited = any(keyword.arg in ("timeout", None) for keyword in node.keywords)
        waits = (
            (owner == "subprocess" and name in ("run", "call", "check_call", "check_output") and not limited)
            or (owner == "subprocess" and name == "Popen" and "unit" not in path.parts)
            or (name in ("communicate", "wait") and not node.args and not limited)
            or (owner.rpartition(".")[2] in ("requests", "web") and name in REQUESTS and not limited)
            or (name == "urlopen" and not limited)
            or (name == "create_connection" and len(node.args) < 2 and not limited)
        )
        if waits:
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:100]}"


def test_every_wait_has_a_time_limit() -> None:
    """Child processes, HTTP requests and connections end by themselves, in the product, in tests and in scripts."""
    files = [path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py"))]
    assert len(files) > 50
    calls = [call for path in files for call in unlimited(path)]
    endless = [call for call in calls if ENDLESS.get(call.partition(":")[0], "never") not in call]
    assert not endless, "give these a timeout, or use tests.support.processes:\n" + "\n".join(endless)


@pytest.mark.parametrize(
    "code",
    [
        "subprocess.run(['true'])",
        "subprocess.Popen(['true'])",
        "process.communicate()",
        "process.wait()",
        "requests.get('http://x')",
        "urllib.request.urlopen('http://x')",
        "socket.create_connection(('x', 1))",
    ],
)
def test_call_without_a_limit_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """The rule sees each kind of wait."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "code.py").write_text(code)
    assert list(unlimited(tmp_path / "code.py"))
