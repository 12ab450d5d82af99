# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/benchmark.yml prints the seconds of every framework, and the error of one that does not work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.lab import Lab

BROKEN = "/opt/gpulab/envs/broken"
SMALL = {"benchmark_images": 256, "benchmark_epochs": 2}


@pytest.fixture
def broken(host: Any) -> Iterator[None]:
    """Add an environment whose PyTorch cannot be imported."""
    site = f"{BROKEN}/current/lib/python3.11/site-packages"
    host.check_output(f"mkdir -p {BROKEN}/current/bin {site}/torch-2.13.0.dist-info {site}/torch")
    host.check_output(f"printf 'Name: torch\\nVersion: 2.13.0\\n' > {site}/torch-2.13.0.dist-info/METADATA")
    host.check_output(f"echo 'raise ImportError(\"libcudnn.so.9 does not exist\")' > {site}/torch/__init__.py")
    host.check_output(f"printf '#!/bin/sh\\nPYTHONPATH={site} exec python3 \"$@\"\\n' > {BROKEN}/current/bin/python")
    host.check_output(f"chmod +x {BROKEN}/current/bin/python")
    yield
    host.check_output(f"rm -r {BROKEN}")


def test_seconds_are_printed_and_nothing_changes(lab: Lab) -> None:
    """On a host without a GPU only the processor's, and no GPU is named."""
    done = lab.play("playbooks/benchmark.yml", **SMALL)
    assert (done.code, done.changed) == (0, 0), done.output
    assert "framework: torch" in done.text
    assert "gpus: []" in done.text
    assert "gpu_seconds: null" in done.text
    assert "cpu_seconds: null" not in done.text


@pytest.mark.usefixtures("broken")
def test_framework_that_fails_is_reported_with_the_results_of_the_others(lab: Lab, host: Any) -> None:
    """Its last line of output, the fix, exit code 2; the framework that works has its seconds."""
    done = lab.play("playbooks/benchmark.yml", **SMALL)
    assert (done.code, done.changed) == (2, 0), done.output
    assert "on the cpu: ImportError: libcudnn.so.9 does not exist" in done.text
    assert "run `gpulab doctor` on the host" in done.text
    assert "Traceback" not in done.output
    report = json.loads(host.run("gpulab bench --json --images 256 --epochs 2 --only torch").stdout)
    assert [bool(row["cpu_seconds"]) for row in report["results"]] == [False, True]
