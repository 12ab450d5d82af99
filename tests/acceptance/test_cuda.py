# SPDX-License-Identifier: GPL-3.0-or-later
"""CUDA toolkits and cuDNN for users who compile. Where none is requested every test is skipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.cuda import CUDNN_PROGRAM, PROGRAM
from tests.support.expected import Expected

CUDA_RECORD, CUDNN_RECORD = "/var/lib/gpulab/cuda.json", "/var/lib/gpulab/cudnn.json"
COPIES = "/opt/gpulab/tools/current/lib/python3*/site-packages/gpulab_cli/loaded_cudnn.py"


@pytest.fixture(scope="module")
def toolkits(expected: Expected) -> list[str]:
    """Return the requested versions; skip where there is none."""
    if not expected.cuda["versions"]:
        pytest.skip("no CUDA toolkit is requested (gpulab_cuda_versions): compiling was not tested")
    return [str(version) for version in expected.cuda["versions"]]


@pytest.fixture(scope="module")
def libraries(host: Any, expected: Expected) -> dict[str, Any]:
    """Return the installed libraries by name; skip where none is requested."""
    if not expected.cudnn:
        pytest.skip("no cuDNN is requested (gpulab_cudnn_enabled): compiling against it was not tested")
    return dict(json.loads(host.file(CUDNN_RECORD).content_string)["libraries"])


def as_user(host: Any, expected: Expected, command: str, program: str = "") -> str:
    """Run a command in a login session of a user, in a directory with the program; return its output and exit code."""
    if not expected.present:
        pytest.skip("no user has access: nobody can compile")
    script = (
        f'd=$(mktemp -d) && cd "$d" && printf "%s\\n" "$PROGRAM" >program.cu && {{ {command}; }} 2>&1; echo "exit $?"'
    )
    argv = "timeout 600 runuser --login %s --command %s"
    done = host.run(argv, expected.present[-1], f"PROGRAM='{program}'; {script}; rm -rf \"$d\"")
    return str(done.stdout + done.stderr)


def test_user_compiles_with_every_toolkit(host: Any, expected: Expected, toolkits: list[str]) -> None:
    """Each version's own nvcc, with its host compiler, makes a program."""
    for version in toolkits:
        command = f"module load cuda/{version} && nvcc --version && nvcc -o program program.cu && test -s program"
        output = as_user(host, expected, command, PROGRAM)
        assert f"release {version}," in output, output
        assert output.endswith("exit 0\n"), output


def test_default_toolkit_is_the_requested_one(host: Any, expected: Expected, toolkits: list[str]) -> None:
    """The newest where none is named."""
    newest = max(toolkits, key=lambda version: [int(part) for part in version.split(".")])
    output = as_user(host, expected, "module load cuda && nvcc --version")
    assert f"release {expected.cuda['default'] or newest}," in output, output


def test_no_other_toolkit_is_offered(host: Any, expected: Expected, toolkits: list[str]) -> None:
    """Versions that are no longer listed are gone."""
    record = json.loads(host.file(CUDA_RECORD).content_string)
    assert sorted(record["toolkits"]) == sorted(toolkits)
    offered = as_user(host, expected, "module --terse avail cuda/").split()
    assert {name.partition("(")[0] for name in offered if name.startswith("cuda/1")} == {f"cuda/{v}" for v in toolkits}


def test_compiled_program_runs_on_the_gpus(host: Any, gpus: list[str], toolkits: list[str]) -> None:
    """The role's own check, with each toolkit."""
    record = json.loads(host.file(CUDA_RECORD).content_string)["toolkits"]
    arguments = " ".join(f"{version}:{','.join(record[version]['capabilities'])}" for version in toolkits)
    output = host.check_output(f"timeout 600 /usr/local/lib/gpulab/cuda-check {arguments}")
    assert output.count("; run on ") == len(toolkits), output


def test_user_compiles_against_cudnn(host: Any, expected: Expected, libraries: dict[str, Any]) -> None:
    """The program loads the library without any path in the session."""
    for name, library in libraries.items():
        load = f"module load cuda/{library['toolkits'][-1]} cudnn/{name}"
        run = "module purge && ./program && env"
        output = as_user(host, expected, f"{load} && nvcc -o program program.cu -lcudnn && {run}", CUDNN_PROGRAM)
        assert f"cuDNN {library['version']}\n" in output, output
        assert output.endswith("exit 0\n"), output
        assert "LD_LIBRARY_PATH" not in output


@pytest.mark.parametrize("modules", [False, True], ids=["plain", "modules"])
def test_frameworks_load_their_own_cudnn(
    host: Any, expected: Expected, libraries: dict[str, Any], modules: bool
) -> None:
    """Also in a session with the modules of toolkit and cuDNN."""
    name, library = next(iter(libraries.items()))
    load = f"module load cuda/{library['toolkits'][-1]} cudnn/{name} && " if modules else ""
    output = as_user(host, expected, f"{load}{expected.interpreter} -I {COPIES}")
    assert output.endswith("exit 0\n"), output
    if "loads its own cuDNN" not in output:
        pytest.skip(" ".join(output.splitlines()[:-1]) or "no framework is installed")


def test_cudnn_computes_on_the_gpus(host: Any, gpus: list[str], libraries: dict[str, Any]) -> None:
    """The role's own check, with each toolkit."""
    pairs = [f"{toolkit}:{name}" for name, library in libraries.items() for toolkit in library["toolkits"]]
    output = host.check_output(f"timeout 600 /usr/local/lib/gpulab/cudnn-check {' '.join(pairs)}")
    assert output.count("; computed on ") == len(pairs), output


def test_libraries_of_toolkits_are_not_global(host: Any, expected: Expected, toolkits: list[str]) -> None:
    """No session gets a path of libraries, which would replace those of the frameworks."""
    assert "LD_LIBRARY_PATH" not in as_user(host, expected, "module load cuda && env")
