# SPDX-License-Identifier: GPL-3.0-or-later
"""Login shells of users get the environment; other accounts, and what other files put on PATH, stay as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.support.paths import ROOT

SECONDS = 30
BIN = "/opt/gpulab/envs/ml/current/bin"
PROGRAMS = "/opt/gpulab/bin"
SESSION = f"{PROGRAMS}:{BIN}:/usr/local/bin:/usr/bin:/bin"
LAYER = ".local/share/gpulab/envs/ml/3.11/bin"


def login(
    directory: Path, groups: str = "ada gpulab-users", uid: int = 1001, path: str = "/usr/local/cuda/bin:/usr/bin:/bin"
) -> list[str]:
    """Return PATH, an installer's setting, and variables left behind, after a login shell has read the file."""
    template = trust_as_template((ROOT / "roles/frameworks/templates/profile.sh.j2").read_text(encoding="utf-8"))
    variables: dict[str, object] = {
        "ansible_managed": "x",
        "frameworks_users_group": "gpulab-users",
        "__frameworks_bin": BIN,
        "__frameworks_programs": PROGRAMS,
        "__frameworks_layer_bin": LAYER,
    }
    variables["__frameworks_session"] = {"PATH": SESSION}
    text = str(Templar(loader=DataLoader(), variables=variables).template(template, escape_backslashes=False))
    (directory / "sources.env").write_text("PIP_INDEX_URL='http://m/?a=1&b=2'\n")
    (directory / "session.env").write_text(f"PATH={SESSION}\n")
    programs = f'id() {{ case $1 in -u) echo {uid} ;; *) echo "{groups}" ;; esac; }}\n'
    script = f"{programs}{text.replace('/etc/gpulab', str(directory))}"
    show = '\nprintf "%s\\n" "$PATH" "$PIP_INDEX_URL" "${gpulab_path-}${gpulab_file-}"\n'
    argv = ["/bin/sh", "-eu", "-c", f"PIP_INDEX_URL=; {script}{show}"]
    environment = {"PATH": path, "HOME": "/home/ada"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SECONDS, env=environment)
    assert done.stderr == ""
    return done.stdout.split("\n")[:3]


def test_environment_comes_first_and_the_rest_stays(tmp_path: Path) -> None:
    """cuda.sh, conda.sh and others sort before gpulab.sh; conda's R does not hide the host's."""
    path = f"/home/ada/{LAYER}:{SESSION}:/usr/local/cuda/bin:/usr/bin:/bin"
    assert login(tmp_path) == [path, "http://m/?a=1&b=2", ""]


def test_path_that_has_the_environment_stays(tmp_path: Path) -> None:
    """A user's own environment may be in front of it."""
    path = f"/home/ada/mine/bin:/home/ada/{LAYER}:{SESSION}"
    assert login(tmp_path, path=path)[0] == path


def test_own_packages_come_before_the_environment_and_after_own_environments(tmp_path: Path) -> None:
    """As in a terminal of JupyterLab, whose server has the session environment without them."""
    path = login(tmp_path, path=f"/home/ada/mine/bin:{SESSION}")[0]
    assert path == f"/home/ada/mine/bin:/home/ada/{LAYER}:{SESSION}"


@pytest.mark.parametrize(
    ("groups", "uid"), [("admin sudo", 1000), ("root gpulab-users", 0), ("bob gpulab-users-old", 1002), ("", 1003)]
)
def test_other_accounts_are_left_alone(tmp_path: Path, groups: str, uid: int) -> None:
    """Root, an administrator who is not a user, and a group with a similar name."""
    assert login(tmp_path, groups, uid) == ["/usr/local/cuda/bin:/usr/bin:/bin", "", ""]
