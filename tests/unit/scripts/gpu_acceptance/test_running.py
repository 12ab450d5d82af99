# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs end within their time limit with all that they started, and their failures are in words."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.gpu_acceptance import running
from scripts.gpu_acceptance.running import Child, StepError, User


def gone(pid: int) -> bool:
    """Return whether a process has ended within a generous time; one that nobody has waited for counts as ended."""
    for _ in range(300):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_program_that_hangs_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    """The message has the program and its limit."""
    mark = tmp_path / "pid"
    script = f"sleep 300 & echo $! >{mark}; trap '' TERM; wait"
    with pytest.raises(StepError, match=r"-c did not end within 1 s and was stopped"):
        running.run(["sh", "-c", script], 1)
    assert gone(int(mark.read_text()))


def test_program_without_a_line_in_time_is_named() -> None:
    """One that ended, with its own last words."""
    with Child(["sh", "-c", "sleep 300"]) as child, pytest.raises(StepError, match="printed nothing for 0 s"):
        child.line(0.2)
    script = "echo first >&2; echo out of memory >&2"
    with Child(["sh", "-c", script]) as child, pytest.raises(StepError, match="ended early: out of memory"):
        child.line(30)


def test_lines_that_are_no_json_are_passed_over() -> None:
    """Frameworks print what they like."""
    with Child(["sh", "-c", "echo hello; echo 3; echo '{\"ready\": true}'; cat"]) as child:
        assert child.json(30) == {"ready": True}
        child.send('{"again": 1}\n')
        assert child.json(30) == {"again": 1}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'RuntimeError: no kernel image' >&2; exit 1", r"-c: RuntimeError: no kernel image \(exit code 1\)"),
        ("kill -9 $$", r"it printed nothing \(was ended by signal 9\)"),
        ("echo no json", r"no json \(exit code 0\)"),
    ],
)
def test_failure_of_a_program_is_its_last_line(script: str, words: str) -> None:
    """With how it ended."""
    with pytest.raises(StepError, match=words):
        running.result(running.run(["sh", "-c", script], 30))


def test_programs_do_not_see_settings_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would hide GPUs, or change limits; caches go to the directory that is removed."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:native")
    values = running.clean_environment(tmp_path, {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.1"})
    assert "CUDA_VISIBLE_DEVICES" not in values
    assert "PYTORCH_CUDA_ALLOC_CONF" not in values
    assert values["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.1"
    assert values["HOME"] == values["TMPDIR"] == str(tmp_path)
    assert values["PATH"] == os.environ["PATH"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs programs as other users")
def test_program_runs_as_the_user_without_further_groups() -> None:
    """By number: no account is needed."""
    done = running.run(["id"], 30, user=User(64990, 64991))
    assert done.stdout.strip() == "uid=64990 gid=64991 groups=64991"


def test_missing_program_is_one_message() -> None:
    """No traceback."""
    with pytest.raises(StepError, match="/nowhere could not be started"):
        running.run(["/nowhere"], 30)


def test_signal_during_a_program_ends_it(tmp_path: Path) -> None:
    """SIGTERM of this program does not leave others behind."""
    mark = tmp_path / "pid"
    code = "import signal, sys; from scripts.gpu_acceptance import main, running\n"
    code += (
        f"signal.signal(signal.SIGTERM, main.stop); running.run(['sh', '-c', 'echo $$ >{mark}; exec sleep 300'], 200)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[4]) as child:
        for _ in range(300):
            if mark.exists() and mark.read_text():
                break
            time.sleep(0.1)
        child.terminate()
        assert child.wait(timeout=60) == 143
    assert gone(int(mark.read_text()))
