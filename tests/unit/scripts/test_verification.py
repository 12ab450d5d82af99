# SPDX-License-Identifier: GPL-3.0-or-later
"""`make verify` connects as Ansible does: with a sudo password, a vault, a login without privileges, and options."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from scripts import verification
from tests.support.hub import ASKPASS
from tests.support.paths import ROOT
from tests.support.processes import run


@pytest.mark.parametrize(
    ("variables", "environment", "expected"),
    [
        ({"ansible_host": "192.0.2.1", "ansible_user": "admin", "ansible_become": True}, {}, False),
        ({"gpulab_users": "{{ x }}", "password": "x"}, {}, False),
        ({"ansible_become_password": "x"}, {}, True),
        ({"ansible_become_pass": {"__ansible_vault": "x"}}, {}, True),
        ({"ansible_ssh_pass": "x"}, {}, True),
        ({"ansible_host": "{{ address }}"}, {}, True),
        ({"ansible_user": {"__ansible_vault": "x"}}, {}, True),
        ({"ansible_become_method": "doas"}, {}, True),
        ({}, {"ANSIBLE_BECOME_PASSWORD_FILE": "/tmp/x"}, True),
        ({}, {"ANSIBLE_VAULT_PASSWORD_FILE": "/tmp/x"}, False),
    ],
)
def test_hosts_that_need_ansible_are_recognised(
    variables: dict[str, Any], environment: dict[str, str], expected: bool
) -> None:
    """The SSH connection of testinfra has no passwords, templates, vaults or other methods than sudo."""
    assert verification.needs_ansible(variables, environment) is expected


def test_password_is_read_once_into_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All programs of the run get its name in the environment; no argument holds the password."""
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"the {prompt}")
    options, others = verification.parser().parse_known_args(
        ["lab", "-K", "--ask-vault-pass", "-k", "test_users", "-x"]
    )
    values = verification.settings(options, tmp_path, {"HOME": "/root"})
    file = Path(values["ANSIBLE_BECOME_PASSWORD_FILE"])
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("the sudo password: ", 0o600)
    assert Path(values["ANSIBLE_VAULT_PASSWORD_FILE"]).read_text() == "the vault password: "
    assert "ANSIBLE_CONNECTION_PASSWORD_FILE" not in values
    assert others == ["-k", "test_users", "-x"]


def test_options_of_ansible_become_its_environment(tmp_path: Path) -> None:
    """As `ansible-playbook` takes them."""
    argv = ["lab", "--become", "--vault-id", "a@x", "--vault-id=b@y", "--conn-pass-file", "f", "--limit", "gpu1"]
    options, others = verification.parser().parse_known_args(argv)
    assert verification.settings(options, tmp_path, {}) == {
        "ANSIBLE_BECOME": "true",
        "ANSIBLE_VAULT_IDENTITY_LIST": "a@x,b@y",
        "ANSIBLE_CONNECTION_PASSWORD_FILE": str(Path("f").resolve()),
    }
    assert (options.limit, others) == ("gpu1", [])


def test_host_that_does_not_answer_ends_it_at_once(tmp_path: Path) -> None:
    """With Ansible's own message for the host, and without a test that was run."""
    (tmp_path / "hosts.yml").write_text("gpu_hosts: {hosts: {gpu1: {ansible_host: 127.0.0.1, ansible_port: 9}}}\n")
    done = run(["scripts/verify", str(tmp_path)], cwd=ROOT, timeout=120)
    assert done.returncode == 1
    assert "gpu1 | UNREACHABLE" in done.stderr
    assert "test session starts" not in done.stdout


@pytest.mark.parametrize("target", ["site", "verify"])
def test_make_passes_options_on(target: str) -> None:
    """ARGS are words after the inventory."""
    done = run(["make", "-n", target, "INVENTORY=inventory/mylab", "ARGS=-K --limit gpu1"], cwd=ROOT, timeout=60)
    assert f"scripts/{target} inventory/mylab -K --limit gpu1" in done.stdout


def test_ssh_gets_its_password_from_a_file(tmp_path: Path) -> None:
    """The tunnel to the hub takes it where the hosts are reached with a password."""
    (tmp_path / "password").write_text("hunter2")
    done = run([ASKPASS], env={"GPULAB_SSH_PASSWORD": str(tmp_path / "password")}, timeout=10)
    assert done.stdout == "hunter2"


@pytest.mark.parametrize(
    ("home", "expected"), [("/tmp", "/tmp"), (None, f"{ROOT}/build/home"), ("/nowhere", f"{ROOT}/build/home")]
)
def test_controller_without_a_home_gets_one(home: str | None, expected: str) -> None:
    """A container runs with a uid that has no home, or one that it cannot write."""
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    environment |= {"HOME": home} if home else {}
    done = run(
        ["make", "--no-print-directory", "--eval", "show: ; @echo $(HOME)", "show"],
        cwd=ROOT,
        env=environment,
        timeout=60,
    )
    assert done.stdout.strip() == expected
