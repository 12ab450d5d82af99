# SPDX-License-Identifier: GPL-3.0-or-later
"""Access to device nodes: real files, real users and the kernel's own decision; only the GPU behind them is a mock."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.gpu_acceptance import access, running
from scripts.gpu_acceptance.context import Context
from scripts.gpu_acceptance.gpus import Reading
from scripts.gpu_acceptance.report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED
from scripts.gpu_acceptance.running import SkippedError, StepError, UnsupportedError
from tests.support.paths import ROOT
from tests.support.processes import started
from tests.unit.scripts.gpu_acceptance.conftest import gpu

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="changing device nodes needs root")


def mode(path: Path) -> int:
    """Return the mode of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def host(tmp_path: Path, mocks: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the root of a host with two GPUs and the nodes of the whole driver, which users can reach."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
        (tmp_path / "dev" / name).chmod(0o666)
    monkeypatch.setenv("GPULAB_MOCK_DEV", str(tmp_path / "dev"))
    opened = [path for path in (tmp_path, *tmp_path.parents) if path.is_relative_to("/tmp") and path != Path("/tmp")]
    modes = {path: mode(path) for path in opened}
    for path in opened:
        path.chmod(0o755)
    yield tmp_path
    for path, was in modes.items():
        path.chmod(was)


@pytest.fixture
def two_gpus(context: Callable[..., Context], host: Path) -> Context:
    """Return the context of a run on that host."""
    return context(root=host, reading=Reading("NVML", gpus=[gpu(), gpu(1)]))


def test_acl_is_the_one_that_setfacl_writes() -> None:
    """Owner, named users in order, group, mask, others."""
    data = access.acl([70000, 1001])
    assert data[:4] == b"\x02\x00\x00\x00"
    entries = [data[start : start + 8] for start in range(4, len(data), 8)]
    assert [(int.from_bytes(e[:2], "little"), int.from_bytes(e[2:4], "little")) for e in entries] == [
        *((0x01, 6), (0x02, 6), (0x02, 6), (0x04, 6), (0x10, 6), (0x20, 0))
    ]
    assert [int.from_bytes(entry[4:], "little") for entry in entries[1:3]] == [1001, 70000]


@root_only
def test_user_with_an_entry_computes_and_the_other_does_not(two_gpus: Context, host: Path) -> None:
    """Granted and revoked without a restart; modes and ACLs are as before afterwards."""
    verdict, kept = access.two_users(two_gpus)
    if verdict["status"] == NOT_SUPPORTED:
        pytest.skip(verdict["reason"])
    assert verdict["status"] == PASSED, verdict["reason"]
    assert kept["status"] in (PASSED, SKIPPED)
    for path in (host / "dev").iterdir():
        assert (mode(path), access.current_acl(path)) == (0o666, None)


@root_only
def test_program_that_resets_nodes_is_named(
    two_gpus: Context, host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nvidia-modprobe does with other module parameters; here its stand-in, with root's rights as setuid gives."""
    program = tmp_path / "bin" / "nvidia-modprobe"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    gpus, _shared = access.nodes(host)
    left_alone = access.modprobe(gpus, os.geteuid())
    assert left_alone["status"] == PASSED
    program.write_text(f"#!/bin/sh\nchmod 0644 {gpus[0]}\n")
    reset = access.modprobe(gpus, os.geteuid())
    assert reset["status"] == FAILED
    assert f"{gpus[0]} has mode 0644 now" in reset["reason"]
    assert "NVreg_DeviceFileMode=0660" in reset["reason"]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ((2, 2), "the user without access, turn 1 computes on 2 GPUs"),
        ((0, 0), "the user with access, turn 1 computes on 0 of 2 GPUs no device"),
        ((1, 0), "computes on 1 of 2 GPUs"),
    ],
)
def test_wrong_access_is_named(seen: tuple[int, int], words: str) -> None:
    """Too much, none, and not all of it."""
    counts = {"with access, turn 1": seen[0], "without access, turn 1": seen[1]}
    verdict = access.verdict(counts, dict.fromkeys(counts, "no device"), 2)
    assert verdict["status"] == FAILED
    assert words in verdict["reason"]


def test_access_is_skipped_without_root_a_gpu_or_nodes(
    context: Callable[..., Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its reason."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert {each["status"] for each in access.two_users(context(root=tmp_path))} == {SKIPPED}
    assert "no device nodes of their own" in access.two_users(context(root=tmp_path))[0]["reason"]
    assert "no NVIDIA GPU" in access.two_users(context(reading=Reading("NVML")))[0]["reason"]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    parts = context(root=tmp_path, reading=Reading("NVML", gpus=[gpu(mig=True)]))
    assert "MIG is on" in access.two_users(parts)[0]["reason"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in access.two_users(context(root=tmp_path))[0]["reason"]


def test_nodes_of_the_broker_are_left_alone(two_gpus: Context, host: Path) -> None:
    """It would end the programs of users without a grant, and set the ACLs again meanwhile."""
    (host / access.BROKER).parent.mkdir(parents=True)
    (host / access.BROKER).touch()
    before = [(path.stat().st_mode, access.current_acl(path)) for path in access.nodes(host)[0]]
    results = access.two_users(two_gpus)
    assert {(each["status"], "broker" in each["reason"]) for each in results} == {("skipped", True)}
    assert [(path.stat().st_mode, access.current_acl(path)) for path in access.nodes(host)[0]] == before


def test_file_system_without_acls_is_not_supported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a result, not a failure."""

    def unsupported(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    with pytest.raises(UnsupportedError, match="has no ACLs"):
        access.grant(tmp_path, [1])


@root_only
def test_python_of_a_private_directory_is_not_used_for_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is, and without one the check is skipped."""
    private = tmp_path / "python"
    private.write_text("#!/bin/sh\n")
    private.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(private))
    assert access.python_for(64990) in ("/usr/bin/python3", "/usr/local/bin/python3")

    def closed(*_arguments: object, **_options: object) -> None:
        raise StepError("could not be started")

    monkeypatch.setattr(running, "run", closed)
    with pytest.raises(SkippedError, match=f"other users may not start {private}"):
        access.python_for(64990)


def test_user_ids_belong_to_nobody() -> None:
    """And differ."""
    one, other = access.unused_uids(2)
    assert one != other


CHANGES = """
import json, signal, sys, time
from pathlib import Path
from scripts.gpu_acceptance import access, running
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit(143))
path = Path(sys.argv[1])
with access.kept([path]):
    path.chmod(0o600)
    print("changed", flush=True)
    while True:
        time.sleep(0.1)  # a signal that arrives just before a sleep is handled only after it
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_modes_are_put_back_whatever_ends_the_program(tmp_path: Path, number: int) -> None:
    """Also when it is killed: a process of its own waits for its end."""
    path = tmp_path / "nvidia0"
    path.touch()
    path.chmod(0o666)
    argv = [sys.executable, "-c", CHANGES, str(path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with started(argv, cwd=ROOT, **pipes) as child:
        assert child.stdout
        assert child.stdout.readline() == "changed\n"
        assert mode(path) == 0o600
        child.send_signal(number)
        # The guard has the pipe, too: it ends with the guard.
        child.communicate(timeout=60)
    for _ in range(600):
        if mode(path) == 0o666:
            break
        signal.sigtimedwait([], 0.1)
    assert mode(path) == 0o666


def test_failure_to_put_back_is_named(tmp_path: Path) -> None:
    """With the file."""
    path = tmp_path / "nvidia0"
    path.touch()

    def lose() -> None:
        with access.kept([path]):
            path.rename(tmp_path / "elsewhere")

    with pytest.raises(StepError, match=r"were not put back: .*nvidia0"):
        lose()


def test_acl_is_put_back(tmp_path: Path) -> None:
    """One that was there before."""
    path = tmp_path / "nvidia0"
    path.touch(mode=0o660)
    try:
        access.grant(path, [4711])
    except UnsupportedError as error:
        pytest.skip(str(error))
    before = access.current_acl(path)
    with access.kept([path]):
        access.grant(path, [4712])
        assert access.current_acl(path) != before
    assert access.current_acl(path) == before
