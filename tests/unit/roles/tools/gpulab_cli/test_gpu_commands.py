# SPDX-License-Identifier: GPL-3.0-or-later
"""The subcommands gpu, run and top, against a broker that runs in a thread."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gpulab_cli import broker, gpu, main, run, top

from tests.support.gpud import Lab

SECONDS = 60


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Yield a broker that runs in a thread; the commands connect to it as ada."""
    monkeypatch.setattr("gpulab_gpud.access.acl.apply", lambda node, access: False)  # noqa: ARG005
    monkeypatch.setattr(broker, "SOCKET", tmp_path / "gpu.sock")
    lab = Lab(tmp_path)
    started, ended = threading.Event(), threading.Event()

    async def work() -> None:
        async with lab.running():
            started.set()
            while not ended.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    assert started.wait(SECONDS)
    yield lab
    ended.set()
    thread.join(SECONDS)


def gpulab(command: type[Any], *words: str) -> int:
    """Run a subcommand."""
    parser, instance = ArgumentParser(), command()
    instance.arguments(parser)
    return int(instance.run(parser.parse_args(words)))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_request_list_extend_and_release(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """One request needs no number."""
    gpulab(gpu.Gpu, "request", "--time", "30m", "--note", "thesis")
    assert re.search(r"request 1 holds GPU 0 until .*\d\d:\d\d", capsys.readouterr().out)
    gpulab(gpu.Gpu, "extend")
    gpulab(gpu.Gpu, "list", "--json")
    assert '"note": "thesis"' in capsys.readouterr().out
    gpulab(gpu.Gpu, "release")
    assert capsys.readouterr().out == "request 1 is released\n"
    gpulab(gpu.Gpu, "list")
    assert "You hold no GPU" in capsys.readouterr().out
    with pytest.raises(broker.BrokerError, match="hold no GPU"):
        gpulab(gpu.Gpu, "release")
    assert lab.service.state.entries() == []


def test_several_requests_need_a_number(lab: Lab) -> None:
    """The message lists them."""
    own = str(os.getpid())
    lab.accounts.numbers["ada"] = os.getuid()
    for _ in range(2):
        gpulab(gpu.Gpu, "adopt", own)
    with pytest.raises(broker.BrokerError, match=r"request 1 holds GPU 0 .*\n.*request 2"):
        gpulab(gpu.Gpu, "release")
    assert all(entry.request.process for entry in lab.service.state.grants)


def test_waiting_request_reports_its_place(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change of it once, then the grant, which is taken."""
    lab.accounts.connects = "bob"
    lab.send("POST", "/v1/requests", {"gpus": 2, "whole": True})
    lab.accounts.connects = "ada"
    waiting = threading.Thread(target=gpulab, args=(gpu.Gpu, "request", "--wait"))
    waiting.start()
    wait_for(lambda: len(lab.service.state.requests) == 1)
    lab.accounts.connects = "boss"
    lab.send("DELETE", "/v1/requests/1")
    lab.accounts.connects = "ada"
    waiting.join(SECONDS)
    shown = capsys.readouterr()
    assert "waits at position 1: held by bob, expected start" in shown.err
    assert "request 2 holds GPU 0" in shown.out
    assert lab.service.state.grants[0].confirmed


def test_top_shows_holders_and_queue(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Who, since when, until when, and who waits; the line at login is from the same state."""
    gpulab(gpu.Gpu, "request", "--gpus", "2", "--whole", "--note", "thesis")
    lab.accounts.connects = "bob"
    lab.send("POST", "/v1/requests", {})
    capsys.readouterr()
    gpulab(top.Top)
    text = capsys.readouterr().out
    assert re.search(
        r"GPU 0  Test 0 \(MOCK\)  0 of 2 slots free\n    ada .*since \d\d:\d\d, until .*whole, ssh  \(thesis\)", text
    )
    assert re.search(r"waiting:\n    bob .* 1 GPUs, request 2 waits at position 1: held by ada", text)
    line = top.login_line(broker.call("GET", "/v1/state"))
    assert line.startswith("you hold none; 0 of 4 slots are free, 1 requests wait")


PROGRAM = "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['GPULAB_REQUEST']); sys.exit(7)"


def test_run_gives_the_program_its_gpu_and_returns_its_code(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    """And releases it; options of the program are its own."""
    assert gpulab(run.Run, "--gpus", "2", "--", sys.executable, "-c", PROGRAM, "--gpus", "5") == 7
    assert capfd.readouterr().out == "GPU-0,GPU-1 1\n"
    assert lab.service.state.entries() == []
    assert gpulab(run.Run, "--", "/nonexistent/program") == 127
    assert lab.service.state.entries() == []
    assert gpulab(run.Run, "--gpus", "1", "--") == 2


def test_run_reports_a_grant_that_ended(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    """The broker ends the program; the user learns why."""
    gpulab(gpu.Gpu, "request")
    lab.accounts.connects = "boss"
    lab.send("DELETE", "/v1/requests/1")
    lab.accounts.connects = "ada"
    run.report_end(1)
    assert "request 1 is over: released" in capfd.readouterr().err


def test_signal_ends_the_program(tmp_path: Path) -> None:
    """SIGTERM for the command is one for the program, whose end it reports as a shell does."""
    code = (
        "import sys; from gpulab_cli import run; "
        "sys.exit(run.run([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)'], {}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=SECONDS) == 128 + signal.SIGTERM


def test_detached_run_has_its_output_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readable to its user only; --detach of the program itself is not taken away."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    assert run.detach([str(program), "run", "--detach", "--", "train", "--detach"]) == 0
    log = next(tmp_path.glob("gpulab-run-*.log"))
    wait_for(lambda: log.read_text() != "")
    assert log.read_text() == "run -- train --detach\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_host_without_a_broker_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """From every subcommand, without a traceback."""
    monkeypatch.setattr(broker, "SOCKET", tmp_path / "gpu.sock")
    monkeypatch.setattr(main, "installed_commands", lambda: {"top": top.Top(), "gpu": gpu.Gpu(), "run": run.Run()})
    for words in (["top"], ["gpu", "list"], ["run", "--", "true"]):
        assert main.main(words) == 1
        assert "this host shares no GPUs, or the broker does not run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("1d", 86400)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    """As users write them."""
    assert broker.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "-1h", "2 h", "h", "2x", "nan"])
def test_time_without_a_unit_is_rejected(text: str) -> None:
    """With examples."""
    with pytest.raises(ValueError, match="write 30m, 2h"):
        broker.duration(text)
