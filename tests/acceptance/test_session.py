# SPDX-License-Identifier: GPL-3.0-or-later
"""A user logs in, starts a server and computes, in Python and in R."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support import cells
from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel
from tests.support.packages import layer
from tests.support.shell import Shell

TOLERANCE = 1e-4
"""Single precision, sums of at most 48 products of numbers of size 1: rounding stays below 48 * 2**-24 * 10."""


KERNELS = "/usr/local/share/jupyter/kernels"
RSCRIPT = "Rscript - <<'END'\n{}\nEND"
"""The shell's command that runs a cell for R without a kernel."""


@pytest.fixture(scope="module")
def offered(host: Any) -> dict[str, dict[str, Any]]:
    """Return the metadata of the kernels of the role frameworks by name."""
    paths = host.check_output("grep --files-with-matches gpulab_profile %s/*/kernel.json", KERNELS).split()
    return {Path(path).parent.name: json.loads(host.file(path).content_string)["metadata"] for path in paths}


class Kernels:
    """Python kernels of a user, started when they are needed first."""

    def __init__(self, hub_user: HubUser, stack: ExitStack) -> None:
        self.hub_user, self.stack = hub_user, stack
        self.running: dict[str, Kernel] = {}

    def __getitem__(self, name: str) -> Kernel:
        """Return a kernel in which the expected results are computed."""
        if name not in self.running:
            self.running[name] = self.stack.enter_context(self.hub_user.kernel(name))
            self.running[name].run(cells.PYTHON)
        return self.running[name]


@pytest.fixture(scope="module")
def r_kernel(hub_user: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return an R kernel of the user."""
    with hub_user.kernel(expected.kernels["r"]) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def kernels(hub_user: HubUser) -> Iterator[Kernels]:
    """Return the kernels; they end with the module."""
    with ExitStack() as stack:
        yield Kernels(hub_user, stack)


def compute(kernel: Kernel, cell: str, device: str) -> dict[str, Any]:
    """Run one framework's cell on a device and return its report."""
    printed = kernel.run(cell.replace("DEVICE", repr(device)))
    return dict(json.loads(printed.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    ("framework", "cell", "device"),
    [("tensorflow", cells.TENSORFLOW, "/CPU:0"), pytest.param("torch", cells.TORCH, "cpu", marks=pytest.mark.smoke)],
)
def test_framework_computes_in_a_users_session(
    offered: dict[str, dict[str, Any]], kernels: Kernels, framework: str, cell: str, device: str
) -> None:
    """The framework lists a device, and its product and convolution agree with NumPy, in every kernel that has it."""
    having = [name for name, it in offered.items() if framework in it["gpulab_on_gpu"] + it["gpulab_on_cpu"]]
    assert having
    for name in having:
        report = compute(kernels[name], cell, device)
        assert report["devices"]
        assert max(report["off"].values()) < TOLERANCE, (name, report)


@pytest.mark.parametrize(
    ("framework", "cell", "device"), [("tensorflow", cells.TENSORFLOW, "/GPU:0"), ("torch", cells.TORCH, "cuda:0")]
)
def test_framework_computes_on_the_gpu(
    granted_gpus: list[str],
    expected: Expected,
    offered: dict[str, dict[str, Any]],
    kernels: Kernels,
    framework: str,
    cell: str,
    device: str,
) -> None:
    """The framework lists every GPU, and what it computes on the first agrees with the CPU."""
    if expected.gpu == "none":
        pytest.skip('gpulab_gpu is "none": the GPU is not used')
    having = [name for name, it in offered.items() if framework in it["gpulab_on_gpu"]]
    if not having:
        pytest.skip(f"no kernel offers {framework} on the GPU of this host (see docs/how-to/frameworks.md)")
    for name in having:
        report = compute(kernels[name], cell, device)
        listed = [device for device in report["devices"] if "CPU" not in device.upper()]
        assert len(listed) == len(granted_gpus), (name, report)
        assert max(report["off"].values()) < TOLERANCE * 10, (name, report)  # TF32 may be on


def check_r(host: Any, expected: Expected, user: str, printed: str) -> None:
    """Check what the cell for R printed: the user's layer, a matrix there and back, a fitted model."""
    report = json.loads(printed.strip().splitlines()[-1])
    assert report["python"] == f"{layer(host, expected, user)}/bin/python"
    assert report["devices"] >= 1
    assert report["back"]
    assert report["product"]
    assert report["shape"] == [2, 3]
    assert report["losses"] == 40
    assert abs(report["weights"][0] - 2) < 0.05, report
    assert abs(report["weights"][1] - 1) < 0.05, report


def check_numpy_in_r(host: Any, expected: Expected, user: str, printed: str) -> None:
    """Check what R printed: NumPy of the environment, with the user's own packages, multiplies a matrix as R does."""
    report = json.loads(printed.strip().splitlines()[-1])
    assert report["same"]
    assert report["python"] == f"{layer(host, expected, user)}/bin/python"


@pytest.mark.smoke
def test_r_kernel_computes_with_numpy(host: Any, r_kernel: Kernel, expected: Expected) -> None:
    """In the R kernel, without TensorFlow, which takes long to load."""
    check_numpy_in_r(host, expected, r_kernel.hub_user.name, r_kernel.run(cells.R_NUMPY))


def test_r_kernel_and_python_share_tensorflow(host: Any, r_kernel: Kernel, expected: Expected) -> None:
    """In the R kernel a matrix becomes a tensor and comes back, and a Keras model learns a line."""
    check_r(host, expected, r_kernel.hub_user.name, r_kernel.run(cells.R))


@pytest.mark.parametrize("options", ["-l", ""], ids=["login shell", "command"])
def test_rscript_of_a_user_has_the_same_python(host: Any, expected: Expected, options: str) -> None:
    """In a user's login shell, and without one, as cron starts it."""
    user, command = expected.present[-1], f"cd / && {RSCRIPT.format(cells.R_NUMPY)}"
    check_numpy_in_r(host, expected, user, host.check_output(f"runuser {options} {user} -c %s", command))


def test_rscript_over_ssh_shares_tensorflow(host: Any, ssh: Shell, expected: Expected) -> None:
    """Through sshd and PAM, with the user's limits and isolation."""
    done = ssh.run(RSCRIPT.format(cells.R), timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    check_r(host, expected, ssh.name, done.stdout)


def test_session_environment_sets_no_library_path(host: Any, expected: Expected) -> None:
    """It names the interpreter, lets TensorFlow share GPUs, and no library path of ours is set anywhere."""
    lines = host.check_output("grep -v ^# /etc/gpulab/session.env").splitlines()
    wanted = dict(line.partition("=")[::2] for line in lines)
    assert wanted["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert wanted["RETICULATE_PYTHON"] == expected.interpreter
    assert "LD_LIBRARY_PATH" not in wanted
    assert host.run("grep -rl gpulab /etc/ld.so.conf.d").stdout == ""
