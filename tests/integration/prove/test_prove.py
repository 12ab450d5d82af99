# SPDX-License-Identifier: GPL-3.0-or-later
"""`make prove` computes on the CPU as a user, skips all GPU checks with the reason, and leaves nothing on the host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.gpu_acceptance import report
from scripts.gpu_acceptance.report import FAILED, PASSED, SKIPPED, Report
from tests.support.lab import Lab
from tests.support.paths import ROOT
from tests.support.processes import run

TRACES = "find /tmp /var/tmp /home /root /dev -xdev | grep -v -e /.ansible/tmp -e /dev/pts -e /ansible_ansible | sort"


def prove(lab: Lab, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/prove` for the host, with its reports below a directory of the test."""
    variables = json.dumps({"prove_directory": str(directory)})
    argv = ["scripts/prove", lab.inventory, "--limit", lab.host, "--extra-vars", variables, *options]
    return run(argv, cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}, timeout=1200)


@pytest.fixture(scope="module")
def proven(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Report, str, str]]:
    """Return the output and the report of one run, and what was on the host before and after it."""
    directory = tmp_path_factory.mktemp("proof")
    before = lab.shell(TRACES)
    done = prove(lab, directory)
    after = lab.shell(TRACES)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    yield done.stdout, report.read(directory / lab.host / "report.json"), before, after
    shutil.rmtree(directory)


def test_host_without_a_gpu_computes_on_the_cpu_and_skips_the_rest(proven: tuple[str, Report, str, str]) -> None:
    """In Python and in R, with the versions of the lock, and never passed for a GPU."""
    _, content, _, _ = proven
    status = {each["name"]: each["status"] for each in content["checks"]}
    assert content["tier"] == 0
    assert (content["system"]["runs as"], content["system"]["computes as"]) == ("root", "an ordinary user")
    for name in ("compute.torch.cpu", "compute.tensorflow.cpu", "compute.r.cpu", "versions.ml"):
        assert status.pop(name) == PASSED, content["checks"]
    assert {name for name, each in status.items() if each not in (SKIPPED, PASSED)} == set()
    assert all(each["tier"] == 0 for each in content["checks"])
    assert status["compute.torch.gpu"] == status["hardware.gpus"] == status["access.two_users"] == SKIPPED


def test_result_is_one_line_with_the_page(lab: Lab, proven: tuple[str, Report, str, str]) -> None:
    """For each host."""
    output, content, _, _ = proven
    text = " ".join(output.split())
    assert f"{lab.host}: {report.counts(content)['passed']} passed, " in text
    assert "on tier 0 (no GPU) Page: " in text


def test_nothing_stays_on_the_host(proven: tuple[str, Report, str, str]) -> None:
    """Neither the program nor caches of frameworks, also not in the home of the user who computed."""
    _, _, before, after = proven
    assert before == after


def test_check_mode_runs_nothing(lab: Lab, tmp_path: Path) -> None:
    """It names the hosts."""
    done = prove(lab, tmp_path, "--check")
    assert done.returncode == 0
    assert f"Check mode: the checks would run on {lab.host}" in " ".join(done.stdout.split())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def broken(lab: Lab) -> Iterator[str]:
    """Put files on the host that show a GPU on the bus of which no driver is loaded."""
    root = "/tmp/prove-root"
    device = f"{root}/sys/bus/pci/devices/0000:01:00.0"
    lab.shell(f"mkdir -p {device}; echo 0x10de > {device}/vendor; echo 0x030200 > {device}/class")
    yield root
    lab.shell(f"rm -r {root}")


def test_failed_check_fails_the_host_with_the_reason(lab: Lab, broken: str, tmp_path: Path) -> None:
    """The report is fetched, too."""
    options = json.dumps({"prove_options": ["--root", broken, "--only", "driver"]})
    done = prove(lab, tmp_path, "--extra-vars", options)
    assert done.returncode == 2
    text = " ".join(done.stdout.split())
    assert "failed: driver.versions: 1 NVIDIA GPUs are on the PCI bus, and no NVIDIA driver is loaded." in text
    checks = {each["name"]: each for each in report.read(tmp_path / lab.host / "report.json")["checks"]}
    assert checks["driver.versions"]["status"] == FAILED
    # The plan is that of the host itself, which has no GPU.
    assert "action none" in checks["driver.plan"]["reason"]


def test_program_that_cannot_run_is_one_message_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    """As with a wrong option."""
    before = lab.shell(TRACES)
    done = prove(lab, tmp_path, "--extra-vars", json.dumps({"prove_options": ["--typo"]}))
    assert done.returncode == 2
    assert "unrecognized arguments: --typo" in done.stdout + done.stderr
    assert lab.shell(TRACES) == before


def test_artefact_without_the_program_is_one_message(lab: Lab, tmp_path: Path) -> None:
    """The collection's artefact has the playbook and not the program: the message names both remedies."""
    done = prove(lab, tmp_path, "--extra-vars", json.dumps({"prove_program": str(tmp_path / "nowhere")}))
    assert done.returncode == 2
    text = " ".join(done.stdout.split() + done.stderr.split())
    assert "Run `make prove` in a checkout of the project, or set prove_program" in text
