# SPDX-License-Identifier: GPL-3.0-or-later
"""Users compile with toolkits from wheels. The host has no GPU: compiled programs are not run."""

from __future__ import annotations

import pytest

from tests.support.cuda import CudaHost

WHEELS = "/opt/gpulab/cuda"


@pytest.mark.parametrize(("module", "version"), [("cuda", "13.0"), ("cuda/13.0", "13.0"), ("cuda/13.5", "13.5")])
def test_user_compiles_in_a_login_session(lab: CudaHost, user: str, module: str, version: str) -> None:
    """With the default and with each version; the program is the user's own file."""
    compile_it = "nvcc -arch=sm_80 -o program program.cu && test -x program && stat -c owner=%U program"
    command = f"module load {module} && nvcc --version && {compile_it}"
    output = lab.logged_in(user, command)
    assert f"release {version}," in output, output
    assert f"owner={user}\n" in output
    assert output.endswith("exit 0\n")


def test_versions_exclude_each_other(lab: CudaHost, user: str) -> None:
    """A session has one toolkit; another one replaces it only on request."""
    output = lab.logged_in(user, "module load cuda/13.0; module load cuda/13.5; nvcc --version")
    assert "conflict" in output.lower(), output
    assert "release 13.0," in output
    assert "release 13.5," in lab.logged_in(user, "module load cuda/13.0; module switch cuda/13.5; nvcc --version")


def test_host_compiler_is_the_one_of_the_plan(lab: CudaHost, user: str) -> None:
    """Also where the user's own compiler is another one, and for CMake."""
    output = lab.logged_in(user, "module load cuda && nvcc --dryrun program.cu; echo $CUDAHOSTCXX $CUDACXX")
    assert '"/usr/bin/g++-12"' in output or "/usr/bin/g++-12 " in output, output
    assert "/usr/bin/g++-12 /opt/gpulab/cuda/13.0/current/" in output
    assert lab.record()["toolkits"]["13.0"]["compiler"] == "g++-12"


def test_user_can_choose_another_compiler(lab: CudaHost, user: str) -> None:
    """A flag of the command line counts more."""
    output = lab.logged_in(user, "module load cuda && nvcc --dryrun -ccbin /usr/bin/gcc-12 program.cu")
    assert "redefinition" not in output
    assert "g++-12" not in output, output


def test_nothing_is_global(lab: CudaHost, user: str) -> None:
    """Without the module there is no nvcc, and no library path is set in any session: frameworks have their own."""
    assert "exit 1" in lab.logged_in(user, "command -v nvcc")
    assert "LD_LIBRARY_PATH" not in lab.logged_in(user, "module load cuda; env")
    assert "cuda" not in lab.output("cat /etc/ld.so.conf.d/*; ldconfig -p")


def test_users_can_change_no_toolkit(lab: CudaHost, user: str) -> None:
    """All files belong to root."""
    assert lab.logged_in(user, f"find {WHEELS} /etc/environment-modules -writable -not -type l") == "exit 0\n"
    assert lab.output(f"find {WHEELS} -not -user root") == ""


def test_check_leaves_no_file(lab: CudaHost) -> None:
    """It works in a directory of its own."""
    output = lab.output("/usr/local/lib/gpulab/cuda-check 13.0:75 13.5:75,90")
    assert "CUDA 13.0: compiled for 75; not run" in output, output
    assert "CUDA 13.5: compiled for 75,90; not run" in output
    assert lab.output(f"ls -A {WHEELS}").split() == ["13.0", "13.5"]
