# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: exit codes, the time limit, interruptions, and what it runs on."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.gpu_acceptance import main, report
from scripts.gpu_acceptance.context import Context
from scripts.gpu_acceptance.main import Step
from scripts.gpu_acceptance.report import FAILED, NOT_SUPPORTED, PASSED, SKIPPED, Check
from scripts.gpu_acceptance.running import SkippedError, StepError, UnsupportedError
from tests.support.paths import ROOT
from tests.support.processes import started

PACKAGE = ROOT / "scripts" / "gpu_acceptance"


def test_it_runs_alone_as_a_directory_with_nothing_else(tmp_path: Path) -> None:
    """Copied to a host: no other package, no network, no root; without a GPU every check of one is skipped."""
    copy = tmp_path / "carried"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    argv = [
        sys.executable,
        "-I",
        str(copy),
        str(tmp_path / "out"),
        "--environments",
        str(tmp_path),
        "--root",
        str(tmp_path),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = report.read(tmp_path / "out" / "report.json")
    assert content["tier"] == 0
    assert content["finished"]
    assert {each["status"] for each in content["checks"]} == {SKIPPED}
    assert "the host has no NVIDIA GPU" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "not tested: " in done.stdout


def test_mock_of_nvml_gives_tier_1_and_no_check_of_computing(mocks: Path, tmp_path: Path) -> None:
    """Its hardware passes on that tier; the rest is skipped with the reason."""
    assert main.main([str(tmp_path), "--quiet", "--root", str(tmp_path), "--environments", str(tmp_path)]) == 0
    content = report.read(tmp_path / "report.json")
    assert content["tier"] == 1
    assert {each["name"] for each in content["checks"] if each["status"] == PASSED} >= {
        "hardware.gpus",
        "hardware.pcie",
    }
    others = [
        each for each in content["checks"] if not each["name"].startswith(("hardware", "versions", "compute.frame"))
    ]
    assert {each["status"] for each in others} == {SKIPPED}
    assert any("a mock, which computes nothing" in each["reason"] for each in others)


def test_fault_of_the_hardware_is_exit_code_1(
    mocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its line is printed."""
    monkeypatch.setenv("GPULAB_MOCK_LOST", "1")
    assert main.main([str(tmp_path), "--root", str(tmp_path), "--only", "hardware"]) == 1
    assert "failed        hardware.gpus: read by NVML: GPU 1: the GPU is lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--limit", "0", "OUT"], "--limit must be positive"),
        (["--user", "no-such-user", "OUT"], "there is no such user" if os.geteuid() == 0 else "--user needs root"),
        (["/proc/nowhere"], "/proc/nowhere"),
        ([], "the following arguments are required: out"),
        (["OUT", "--typo"], "unrecognized arguments: --typo"),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """With one message each."""
    try:
        code = main.main([str(tmp_path) if each == "OUT" else each for each in arguments])
    except SystemExit as error:
        code = int(str(error.code))
    assert code == 2
    assert words in capsys.readouterr().err


def good(context: Context) -> list[Check]:
    """Return a check that passes."""
    return [report.check("good", PASSED, "well", context.tier)]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (StepError("it did not end within 5 s"), FAILED, "it did not end within 5 s"),
        (SkippedError("PyTorch is not installed"), SKIPPED, "PyTorch is not installed"),
        (UnsupportedError("no ACLs"), NOT_SUPPORTED, "not supported here: no ACLs"),
        (KeyError("matmul"), FAILED, "this check itself failed: KeyError: 'matmul'"),
    ],
)
def test_check_that_fails_does_not_stop_the_others(
    context: Callable[..., Context],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: str,
    words: str,
) -> None:
    """Its reason is in the report."""

    def bad(_context: Context) -> list[Check]:
        raise error

    monkeypatch.setattr(main, "steps", lambda _context: [Step("bad", bad), Step("good", good)])
    content = main.go(context(), tmp_path, [], True)
    assert [(each["name"], each["status"]) for each in content["checks"]] == [("bad", status), ("good", PASSED)]
    assert content["checks"][0]["reason"] == words


def test_time_limit_names_what_it_left_out(
    context: Callable[..., Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that needs more than is left is not begun, and a program gets no more than that."""
    monkeypatch.setattr(main, "steps", lambda _context: [Step("long", good, 60), Step("short", good, 1)])
    short = context(deadline=time.monotonic() + 30)
    content = main.go(short, tmp_path, [], True)
    assert content["left_out"] == ["long"]
    assert [each["name"] for each in content["checks"]] == ["good"]
    assert short.left(100) <= 30
    assert short.left(5) == 5
    with pytest.raises(StepError, match="time limit of the run"):
        context(deadline=time.monotonic() - 1).left(5)


SLOW = '#!/bin/sh\ncase $1 in *versions.py) exec {python} "$@" ;; esac\necho begun >{mark}; exec sleep 300\n'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_run_keeps_its_report_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    """What was done until then; no process and no temporary directory stays."""
    site = tmp_path / "fake" / "torch-1.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1\n")
    python, mark, scratch = tmp_path / "fake" / "bin" / "python", tmp_path / "begun", tmp_path / "scratch"
    python.parent.mkdir()
    scratch.mkdir()
    # versions.py runs for real, with a package called torch on its path; the computing program sleeps.
    text = SLOW.format(python=f"env PYTHONPATH={tmp_path / 'fake'} {sys.executable}", mark=mark)
    python.write_text(text)
    python.chmod(0o755)
    argv = [sys.executable, str(PACKAGE), str(tmp_path / "out"), "--python", str(python), "--root", str(tmp_path)]
    argv += ["--environments", str(tmp_path / "none")]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with started(argv, env=environment, **pipes) as child:
        for _ in range(600):
            if mark.exists() or child.poll() is not None:
                break
            time.sleep(0.1)
        assert mark.exists()
        child.send_signal(number)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, "Traceback" in errors) == (128 + number, False)
    content = report.read(tmp_path / "out" / "report.json")
    assert content["finished"] == ""
    assert any(each["name"] == "hardware.gpus" for each in content["checks"])
    assert "did not come to its end" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert list(scratch.iterdir()) == []


def test_only_named_checks_run(tmp_path: Path) -> None:
    """By the beginning of their names."""
    assert main.main([str(tmp_path), "--quiet", "--root", str(tmp_path), "--only", "driver"]) == 0
    names = [each["name"] for each in report.read(tmp_path / "report.json")["checks"]]
    assert names
    assert all(name.startswith("driver") for name in names)


def test_every_step_may_be_begun_within_the_whole_limit(context: Callable[..., Context]) -> None:
    """Each needs less than the whole run has; their least times together fit it."""
    steps = main.steps(context())
    assert sum(step.least for step in steps) < main.LIMIT
    assert len({step.name for step in steps}) == len(steps)


def test_sources_are_python_3_9() -> None:
    """Hosts have older versions than the controller."""
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 20
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_reports_hold_no_path_and_no_name_of_the_host(tmp_path: Path) -> None:
    """They are meant to be committed."""
    main.main([str(tmp_path), "--quiet", "--root", str(tmp_path), "--environments", str(tmp_path)])
    text = json.dumps(report.read(tmp_path / "report.json"))
    assert os.uname().nodename not in text
    assert str(tmp_path) not in text
