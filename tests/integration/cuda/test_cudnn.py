# SPDX-License-Identifier: GPL-3.0-or-later
"""Users compile against a cuDNN from wheels (a download of 1 GB). In order, on one host. Part of `make nightly`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cuda import CudaHost
from tests.support.lab import Outcome

ON = {"cudnn_enabled": True, "cudnn_cuda_versions": ["13.0"]}
LIBRARIES = "/opt/gpulab/cudnn/9.28-cuda13/current/lib/python3*/site-packages/nvidia/cudnn/lib"
CHECK = "/usr/local/lib/gpulab/cudnn-check"
COMPILE = "nvcc -o cudnn cudnn.cu -lcudnn"


def assert_rejected(outcome: Outcome, *words: str) -> None:
    """Assert that a run failed before it changed anything, with a message that has these words."""
    assert (outcome.code != 0, outcome.changed) == (True, 0), outcome.output[-3000:]
    for word in words:
        assert word in outcome.text, outcome.output[-3000:]


def test_nothing_is_installed_by_default(lab: CudaHost) -> None:
    """The role does nothing on a host that did not have it."""
    outcome = lab.apply_cudnn()
    assert (outcome.code, outcome.changed) == (0, 0), outcome.output[-3000:]
    assert lab.cudnn_files() == []


def test_check_mode_on_a_host_without_anything(lab: CudaHost) -> None:
    """It succeeds, reports changes and makes none: the toolkit may come in the same run."""
    outcome = lab.apply_cudnn("--check", **ON)
    assert outcome.code == 0, outcome.output[-3000:]
    assert outcome.changed > 0
    assert lab.cudnn_files() == []


def test_host_without_the_toolkit_is_rejected(lab: CudaHost) -> None:
    """By its version, or in general where none is listed."""
    outcome = lab.apply_cudnn(**ON)
    assert_rejected(outcome, "the host has no CUDA toolkit 13.0, which", "Apply the role cuda before this role")
    assert_rejected(lab.apply_cudnn(cudnn_enabled=True), "the host has no CUDA toolkit, whose major version decides")
    assert lab.cudnn_files() == []


def test_disk_that_is_too_small_is_rejected(lab: CudaHost) -> None:
    """With the size, and the file system that it misses."""
    assert lab.apply("13.0").code == 0
    lab.shell("mkdir -p /mnt/small && mount -t tmpfs -o size=10m tmpfs /mnt/small")
    try:
        outcome = lab.apply_cudnn(**ON, cudnn_path="/mnt/small/cudnn")
    finally:
        lab.shell("umount /mnt/small && rmdir /mnt/small")
    assert_rejected(outcome, "mounted at /mnt/small has 0.0 GB free and needs 2.5 GB for /mnt/small/cudnn")


def test_user_compiles_links_and_runs(lab: CudaHost, user: str) -> None:
    """The program finds the library without a path in the session."""
    outcome = lab.apply_cudnn(cudnn_enabled=True)
    assert outcome.code == 0, outcome.output[-4000:]
    assert "compiled, linked and loaded (928" in outcome.text
    output = lab.logged_in(user, f"module load cuda cudnn && {COMPILE} && module purge && ./cudnn")
    assert "cuDNN 9.28\n" in output, output
    assert output.endswith("exit 0\n")


def test_second_run_changes_nothing(lab: CudaHost) -> None:
    """Also where the toolkits are listed."""
    assert lab.apply_cudnn(cudnn_enabled=True).changed == 0
    assert lab.apply_cudnn(**ON).changed == 0


def test_module_loads_a_toolkit_that_fits(lab: CudaHost, user: str) -> None:
    """Its headers need those of CUDA; the toolkit that is loaded already stays."""
    assert "release 13.0," in lab.logged_in(user, "module load cudnn && nvcc --version")


def test_nothing_is_global(lab: CudaHost, user: str) -> None:
    """The frameworks' own cuDNN is not replaced, in no session."""
    assert "LD_LIBRARY_PATH" not in lab.logged_in(user, "module load cuda cudnn; env")
    assert "cudnn" not in lab.output("cat /etc/ld.so.conf.d/*; ldconfig -p")
    assert "CUDNN" not in lab.logged_in(user, "env")


def test_damaged_library_is_installed_again(lab: CudaHost, user: str) -> None:
    """The check of each run notices that a part is gone, which the library would load on a GPU only."""
    lab.shell(f"rm {LIBRARIES}/libcudnn_ops.so.9")
    assert "a part is missing: libcudnn_ops.so.9" in lab.output(f"{CHECK} 13.0:9.28-cuda13")
    outcome = lab.apply_cudnn(cudnn_enabled=True)
    assert outcome.code == 0, outcome.output[-3000:]
    assert "cuDNN 9.28\n" in lab.logged_in(user, f"module load cuda cudnn && {COMPILE} && ./cudnn")


@pytest.fixture
def framework(lab: CudaHost) -> Iterator[str]:
    """Yield the site directory of an environment whose PyTorch is a stand-in: it loads its own cuDNN or another one."""
    root = "/opt/gpulab/envs/standin/current"
    lab.within("python3", "-m", "venv", "--without-pip", root)
    site = f"{root}/lib/python3.11/site-packages"
    code = f"import ctypes, os\nctypes.CDLL(os.environ.get('OTHER', '{site}/libcudnn.so.9'))\n"
    code += "class backends:\n    class cudnn:\n        version = int\n"
    lab.within("mkdir", f"{site}/torch")
    lab.within("sh", "-c", f'printf "%s" "$0" >{site}/torch/__init__.py; cp {LIBRARIES}/libcudnn.so.9 {site}', code)
    yield site
    lab.shell("rm -r /opt/gpulab/envs/standin && rmdir --ignore-fail-on-non-empty /opt/gpulab/envs")


def test_framework_that_loads_this_cudnn_is_reported(lab: CudaHost, framework: str) -> None:
    """From the files that its process has mapped."""
    arguments = "--frameworks 13.0:9.28-cuda13; echo exit $?"
    own = lab.output(f"{CHECK} {arguments}")
    assert "PyTorch loads its own cuDNN\n" in own, own
    assert "exit 0" in own
    other = lab.output(f"export OTHER=$(echo {LIBRARIES}/libcudnn.so.9); {CHECK} {arguments}")
    assert "PyTorch loads /opt/gpulab/cudnn/9.28-cuda13/releases/" in other, other
    assert "instead of the cuDNN of its environment" in other
    assert "exit 4" in other


def test_removal_leaves_nothing(lab: CudaHost) -> None:
    """No file and no record stays, the toolkit does."""
    outcome = lab.apply_cudnn()
    assert outcome.code == 0, outcome.output[-3000:]
    assert outcome.changed > 0
    assert lab.cudnn_files() == []
    assert lab.apply_cudnn().changed == 0
    assert list(lab.record()["toolkits"]) == ["13.0"]
    assert lab.apply().code == 0
    assert lab.files() == []
