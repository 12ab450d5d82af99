# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding of `gpulab doctor` is provoked once, and is absent without its cause."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from gpulab_cli import doctor, paths
from gpulab_cli.paths import Environment

NEW, OLD = "580.95.05", "535.183.01"


def package(site: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Install a package as an installer does: files, METADATA, RECORD with hashes."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}\n")
    (info / "RECORD").write_text("".join(lines))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Return an environment like those of the role frameworks, without packages."""
    root = tmp_path / "envs" / "ml" / "current"
    (root / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin" / "python").touch()
    return paths.environments(tmp_path / "envs")[0]


def site(environment: Environment) -> Path:
    """Return the directory of its packages."""
    assert environment.site
    return environment.site


def test_cpu_only_build_is_found_on_a_host_with_a_gpu(environment: Environment) -> None:
    """The most frequent reason: the framework cannot use a GPU at all."""
    package(site(environment), "torch", "2.13.0+cpu", {})
    package(site(environment), "tensorflow-cpu", "2.21.0", {})
    findings = doctor.cpu_only(environment, environment.versions(), gpus=2)
    assert "ml has torch 2.13.0+cpu and tensorflow-cpu 2.21.0" in findings[0].evidence
    assert doctor.cpu_only(environment, environment.versions(), gpus=0) == []


def test_tensorflow_without_its_cuda_is_found(environment: Environment) -> None:
    """Pip install tensorflow does not install CUDA libraries; pip install tensorflow[and-cuda] does."""
    package(site(environment), "tensorflow", "2.21.0", {})
    assert "without its CUDA libraries" in doctor.cpu_only(environment, environment.versions(), 1)[0].evidence
    package(site(environment), "nvidia-cudnn-cu12", "9.28.0.42", {})
    assert doctor.cpu_only(environment, environment.versions(), 1) == []


def test_gpu_without_a_driver_is_found() -> None:
    """The GPU is on the bus, and no driver is loaded."""
    assert doctor.no_driver(1, "")[0].name == "no driver"
    assert doctor.no_driver(1, NEW) == []
    assert doctor.no_driver(0, "") == []


def test_driver_too_old_for_cuda_is_found(environment: Environment) -> None:
    """Both versions are in the evidence."""
    package(site(environment), "nvidia-cudnn-cu13", "9.26.0.51", {})
    findings = doctor.old_driver(environment, environment.versions(), OLD)
    assert f"CUDA 13, which needs driver 580 or newer; {OLD} is loaded" in findings[0].evidence
    assert doctor.old_driver(environment, environment.versions(), NEW) == []
    assert doctor.old_driver(environment, environment.versions(), "") == []


def test_overwritten_libraries_are_found(environment: Environment) -> None:
    """Two packages with the same file: the one that was installed last overwrote the other's."""
    package(site(environment), "nvidia-cudnn-cu12", "9.28.0.42", {"nvidia/cudnn/lib/libcudnn.so.9": "12"})
    assert doctor.overwritten_libraries(environment) == []
    package(site(environment), "nvidia-cudnn-cu13", "9.26.0.51", {"nvidia/cudnn/lib/libcudnn.so.9": "13"})
    findings = doctor.overwritten_libraries(environment)
    assert "1 files in ml" in findings[0].evidence
    assert "libcudnn.so.9" in findings[0].evidence


def test_system_libraries_before_those_of_the_wheels_are_found(tmp_path: Path) -> None:
    """LD_LIBRARY_PATH with a cuDNN in it comes before the wheels' libraries; without one it does no harm."""
    assert doctor.shadowed_libraries(f"/nonexistent:{tmp_path}") == []
    (tmp_path / "libcudnn.so.8").touch()
    assert str(tmp_path / "libcudnn.so.8") in doctor.shadowed_libraries(f"/nonexistent:{tmp_path}")[0].evidence


@pytest.mark.parametrize(("path", "name"), [("/dev/shm", "shared memory full"), ("HOME", "disk full")])
def test_full_file_system_is_found(tmp_path: Path, path: str, name: str) -> None:
    """Less than a twentieth free; each with its own fix."""
    full = str(tmp_path) if path == "HOME" else path

    def usage(directory: str) -> SimpleNamespace:
        """Report one file system as full."""
        return SimpleNamespace(total=10e9, free=1e6 if directory == full else 9e9)

    findings = doctor.full_disks(usage, home=tmp_path)
    assert [(finding.name, full in finding.evidence) for finding in findings] == [(name, True)]


def kernel(directory: Path, name: str, program: str) -> None:
    """Write a kernel."""
    (directory / name).mkdir(parents=True)
    (directory / name / "kernel.json").write_text(f'{{"argv": ["{program}", "-m", "ipykernel_launcher"]}}')


def test_kernel_without_a_program_or_with_the_name_of_the_hosts_is_found(tmp_path: Path) -> None:
    """A kernel of a removed environment, and one that hides the host's."""
    own, shared = tmp_path / "own", tmp_path / "shared"
    kernel(shared, "ml", "/opt/gpulab/envs/ml/current/bin/python")
    kernel(own, "fine", sys.executable)
    assert doctor.wrong_kernels(own, shared) == []
    kernel(own, "gone", "/home/ada/venv/bin/python")
    kernel(own, "ml", sys.executable)
    findings = doctor.wrong_kernels(own, shared)
    assert [finding.evidence.split()[-1 if "hides" in finding.evidence else 2] for finding in findings]
    assert "/home/ada/venv/bin/python, which does not exist" in findings[0].evidence
    assert "hides the host's kernel of the same name" in findings[1].evidence


@pytest.mark.parametrize(
    ("load", "starved"),
    [
        (doctor.Load(1, 0.99, 0, 12), True),
        (doctor.Load(1, 0.99, 4, 12), False),
        (doctor.Load(1, 0.99, 0, 95), False),
        (doctor.Load(1, 0.05, 0, 12), False),
    ],
)
def test_loader_is_starved_when_one_thread_is_busy_and_the_gpu_is_not(load: doctor.Load, starved: bool) -> None:
    """Loader processes, a busy GPU or an idle thread have other causes."""
    assert doctor.is_starved(load) == starved


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Start a program that prepares data in one thread, and add an nvidia-smi that reports it on an idle GPU."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        smi = tmp_path / "nvidia-smi"
        smi.write_text(
            "#!/bin/sh\n"
            f'case $1 in *compute-apps*) echo "{process.pid}, GPU-1 (MOCK)";; *) echo "GPU-1 (MOCK), 7";; esac\n'
        )
        smi.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        yield process.pid
        process.kill()


def test_starved_data_loader_is_found_on_a_running_program(training: int) -> None:
    """The fix names a number of workers that fits the cores."""
    findings = doctor.starved_loaders(cores=4, seconds=1.0)
    assert f"process {training}" in findings[0].evidence
    assert "the GPU is used 7 %" in findings[0].evidence
    assert "num_workers=3" in findings[0].fix
    assert "num_workers=1," in doctor.starved_loaders(cores=1, seconds=1.0)[0].fix


def test_exit_code_shows_whether_there_are_findings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts read the exit code, users the text."""
    options = SimpleNamespace(json=False, python=None, quick=True)
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: [doctor.Finding("disk full", "x has 1 MB", "delete")])
    assert doctor.Doctor().run(options) == 1  # type: ignore[arg-type]
    assert "evidence: x has 1 MB" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: [])
    assert doctor.Doctor().run(options) == 0  # type: ignore[arg-type]
