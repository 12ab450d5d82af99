"""The command gpulab: kernels of one's own, archives, what a user is told."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from argparse import ArgumentParser
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
sys.path.insert(0, str(ROLES / "tools/files/gpulab_cli/src"))
sys.path.insert(0, str(ROLES / "jupyterhub/files/gpulab_server/src"))

from gpulab_cli import info, kernel, unpack  # noqa: E402


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make something that looks like an environment whose Python has ipykernel."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    python = tmp_path / "MyEnv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho /site-packages/ipykernel_launcher.py\n")
    python.chmod(0o755)
    return tmp_path / "MyEnv"


def test_environment_becomes_a_kernel_and_goes_again(environment: Path, tmp_path: Path) -> None:
    """Its programs come first on PATH; the environment itself is never touched."""
    assert "reload" in kernel.add(environment, None, None)
    spec = json.loads((tmp_path / "share/jupyter/kernels/myenv/kernel.json").read_text())
    assert spec["argv"][:3] == [str(environment / "bin/python"), "/site-packages/ipykernel_launcher.py", "-f"]
    assert spec["env"]["PATH"] == f"{environment}/bin:${{PATH}}"
    assert spec["env"]["VIRTUAL_ENV"] == str(environment)
    assert kernel.listed() == {"myenv": str(environment / "bin/python")}
    kernel.add(environment, None, "again")
    kernel.remove("myenv")
    assert kernel.listed() == {}
    assert environment.is_dir()


def test_conda_environment_is_known(environment: Path) -> None:
    """Programs ask for its prefix."""
    (environment / "conda-meta").mkdir()
    assert "CONDA_PREFIX" in kernel.specification(environment / "bin/python", "x", "/x")["env"]  # type: ignore[operator]


def test_what_cannot_be_a_kernel_is_rejected(environment: Path, tmp_path: Path) -> None:
    """One sentence each, with the fix."""
    with pytest.raises(kernel.KernelError, match="python3 -m venv"):
        kernel.add(tmp_path / "nowhere", None, None)
    with pytest.raises(kernel.KernelError, match="--name"):
        kernel.add(environment, "my env", None)
    with pytest.raises(kernel.KernelError, match="there are: none"):
        kernel.remove("ml")
    (tmp_path / "share/jupyter/kernels/other").mkdir(parents=True)
    with pytest.raises(kernel.KernelError, match="not from this command"):
        kernel.add(environment, "other", None)


def test_environment_without_ipykernel_and_pip_is_told_how(environment: Path) -> None:
    """Nothing is registered that could not start."""
    (environment / "bin/python").write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    with pytest.raises(kernel.KernelError, match="conda install ipykernel"):
        kernel.add(environment, None, None)
    assert kernel.listed() == {}


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        *(("a.tar.gz", "a"), ("b.ZIP", "b"), ("c.7z", "c"), ("d.v2.rar", "d.v2")),
        *(("e", "e-unpacked"), ("f.TGZ", "f"), ("g.csv.gz", "g.csv")),
    ],
)
def test_archive_goes_into_a_folder_of_its_name(name: str, directory: str) -> None:
    """Whatever packed it."""
    assert unpack.target_of(Path("/x") / name) == Path("/x") / directory


def test_folder_that_is_not_empty_is_not_unpacked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody's files are overwritten."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x", "1")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("2")
    command, parser = unpack.Unpack(), ArgumentParser()
    command.arguments(parser)
    assert command.run(parser.parse_args([str(tmp_path / "a.zip")])) == 1
    assert "--into" in capsys.readouterr().err
    assert command.run(parser.parse_args([str(tmp_path / "gone.zip")])) == 1


def test_limits_are_printed_in_words() -> None:
    """From what systemd shows of the slice."""
    shown = (
        "MemoryMax=3221225472\nMemoryCurrent=1610612736\nCPUQuotaPerSecUSec=1.500000s\nTasksMax=900\nTasksCurrent=12\n"
    )
    assert info.limits(shown) == {"cores": "1.5", "memory": "1.5 of 3.0 GB", "tasks": "12 of 900"}
    assert info.limits("MemoryMax=infinity\nCPUQuotaPerSecUSec=infinity\nTasksMax=infinity\n") == {}


def test_people_at_work_are_those_with_a_slice(tmp_path: Path) -> None:
    """Root is nobody's neighbour; a number without an account is passed over."""
    for name in ("user-0.slice", "user-1.slice", "user-4242424.slice", "other.slice"):
        (tmp_path / "user.slice" / name).mkdir(parents=True)
    assert info.at_work(tmp_path) == ["daemon"]


def test_links_come_from_every_role(tmp_path: Path) -> None:
    """A broken file hides no other."""
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"JupyterHub": "https://lab/"}')
    assert info.links(tmp_path) == {"JupyterHub": "https://lab/"}


def test_login_greeting_is_a_shell_script() -> None:
    """A fault in it would greet everybody at every login."""
    for path in (ROLES / "tools/templates/gpulab-info.sh.j2",):
        assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0


def test_kernel_is_looked_for_in_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gpulab kernel add` may be called in any directory."""
    (tmp_path / "ipykernel_launcher.py").write_text("print('foreign')\n")
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in (kernel.launcher(Path(sys.executable)) or "")
