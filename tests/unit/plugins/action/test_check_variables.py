# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an inventory, as Ansible reads them: what stops a run on the controller, and with which message."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.processes import run

ENVIRONMENT = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "COLUMNS": "2000"}


def validated(inventory: Path, *options: str, playbook: str = "validate.yml") -> tuple[int, str]:
    """Run a playbook up to its checks on the controller; return its status and its output in one line."""
    argv = ["ansible-playbook", "--inventory", str(inventory), str(ROOT / "playbooks" / playbook), *options]
    done = run(argv, cwd=ROOT, env=ENVIRONMENT, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return a directory with one host that does not exist, and no variables."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "hosts.yml").write_text("gpu_hosts: {hosts: {gpu1: {ansible_host: 192.0.2.1}}}\n")
    return tmp_path


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"


def write(inventory: Path, name: str = "gpu_hosts.yml", **variables: Any) -> None:
    """Write variables into a file of group_vars."""
    path = inventory / "group_vars" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(variables))


@pytest.mark.parametrize("playbook", ["site.yml", "users.yml"])
def test_undefined_users_stop_every_playbook_that_would_close_accounts(inventory: Path, playbook: str) -> None:
    """A typo in the name of the file is the usual cause."""
    write(inventory, "gpu_host.yml", gpulab_users=[{"name": "ada"}])
    code, output = validated(inventory, playbook=playbook)
    assert code != 0
    assert f"gpulab_users is not set. Write it into {inventory}/group_vars, or write `gpulab_users: []`" in output
    assert "which closes every account" in output


def test_file_next_to_a_directory_of_its_name_is_reported(inventory: Path) -> None:
    """Ansible reads the directory alone, without a word: hashes in a vault are put there."""
    write(inventory, gpulab_users=[{"name": "ada"}])
    write(inventory, "gpu_hosts/vault.yml", vault_hash="x")
    code, output = validated(inventory)
    assert code != 0
    directory = f"{inventory}/group_vars/gpu_hosts"
    assert f"Ansible ignores {directory}.yml, because {directory} exists. Move it into {directory}/." in output
    assert "gpulab_users is not set" in output


def test_other_files_next_to_the_inventory_are_no_inventory(inventory: Path) -> None:
    """Class lists, keys and certificates, in a directory or not, with endings as Windows writes them."""
    files = (
        *("class-2026.csv", "CLASS.CSV", "class.tsv", "class.xlsx", "lab-ca.crt", "ca.PEM", "gpu1.key", "grace.pub"),
        *("files/lab-ca", "keys/grace", "README", "notes.txt", "README.md", "rstudio.deb", "class-2026.csv.lock"),
    )
    for name in files:
        (inventory / name).parent.mkdir(exist_ok=True)
        (inventory / name).write_text(f"name;group\ngrace;class-2026,{KEY}\n")
    argv = ["ansible-inventory", "--inventory", str(inventory), "--list"]
    done = run(argv, cwd=ROOT, env=ENVIRONMENT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert list(json.loads(done.stdout)["_meta"]["hostvars"]) == ["gpu1"]


FOREIGN = "is an option of gpulab's role users; where it belongs to another role of your site, rename it there."
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"gpulab_idle": 5}, "gpulab_idle is a number, not a dictionary with the keys kernel_minutes, server_minutes."),
    ({"gpulab_tls": "none"}, "gpulab_tls is text, not a dictionary with the keys mode, names, certificate, key."),
    ({"gpulab_tls": {"names": "lab.example"}}, "gpulab_tls.names is text, not a list."),
    ({"gpulab_sources": {"pip": "https://svc:hunter2@mirror"}}, "gpulab_sources.pip is text, not a dictionary"),
    ({"gpulab_sources": {"ca_certificates": "ca.crt"}}, "gpulab_sources.ca_certificates is text, not a list."),
    ({"gpulab_login_allow_list": "192.0.2.0/24"}, "gpulab_login_allow_list is text, not a list."),
    ({"gpulab_groups": ["class-2026"]}, "gpulab_groups is a list, not a dictionary."),
    ({"gpulab_hub_port": [443]}, "gpulab_hub_port is a list, not a number."),
    ({"gpulab_groups": None}, "gpulab_groups has no value. Write one, or remove the line."),
    ({"gpulab_users": ["ada"]}, "gpulab_users[0] is text, not a dictionary with the keys name, groups"),
    ({"gpulab_users": {"ada": {}}}, "gpulab_users is a dictionary, not a list."),
    ({"gpulab_users": [{"name": "ada", "limits": "4G"}]}, "gpulab_users[0].limits is text, not a dictionary"),
    ({"gpulab_users": [{"name": "ada", "groups": [{"name": "x"}]}]}, "gpulab_users[0].groups[0] is a dictionary, not"),
    ({"users_groups": [{"name": "lab"}]}, f"users_groups is a list, not a dictionary. users_groups {FOREIGN}"),
    ({"users_groups": []}, "users_groups is a list, not a dictionary."),
    (
        {"users_group": "staff"},
        "users_group is set alone, and frameworks_users_group, gpu_sharing_users_group, jupyterhub_users_group must be "
        "the same. Set ",
    ),
    ({"users_sshd_ports": 22}, "users_sshd_ports is a number, not a list."),
    (
        {"gpulab_tls": {"mode": "own", "certificate": "files/gone.pem", "key": __file__}},
        "gpulab_tls.certificate: files/gone.pem is not a file on the controller (searched in ",
    ),
    (
        {"gpulab_sources": {"ca_certificates": ["/nowhere/ca.crt"]}},
        "gpulab_sources.ca_certificates: /nowhere/ca.crt is not a file on the controller (searched in /nowhere).",
    ),
    ({"gpulab_users": None}, "gpulab_users is not set. Write it into "),
    ({"gpulab_hub_port": 0}, "jupyterhub_port (gpulab_hub_port): 0 is not a port. Set a number from 1 to 65535."),
    ({"gpulab_hub_port": 70000}, "70000 is not a port"),
    ({"gpulab_hub_port": -1}, "gpulab_hub_port is a negative number, and no option of gpulab has negative values."),
    ({"gpulab_idle": {"kernel_minutes": -5}}, "gpulab_idle.kernel_minutes is a negative number"),
    ({"gpulab_token_days": "-7"}, "gpulab_token_days is a negative number"),
    ({"gpulab_users": [{"name": "ada", "uid": -1}]}, "gpulab_users[0].uid is a negative number"),
    ({"gpulab_session_days": 10**12}, "gpulab_session_days is too large: write 100000000 or less."),
    ({"gpulab_hub_port": "many"}, "gpulab_hub_port is text, not a number."),
    ({"gpulab_minimum": {"cores": "many"}}, "gpulab_minimum.cores is text, not a number."),
    ({"gpulab_tls": {"names": ["https://lab.example/"]}}, "'https://lab.example/' is not the name or the address of a"),
    ({"gpulab_tls": {"names": ["a b", None]}}, "gpulab_tls.names[1] has no value."),
    ({"gpulab_users": [{"name": "ada", "groups": [None]}]}, "gpulab_users[0].groups[0] has no value."),
    ({"gpulab_users": [{"name": "ada", "uid": 2**32}]}, "uid 4294967296 is not one that a user can have."),
    ({"gpulab_users": [{"name": "ada", "uid": 65534}]}, "uid 65534 is not one that a user can have."),
    ({"gpulab_users": [{"name": "ada", "expires": "9999-12-31"}]}, "expires: 9999-12-31 is not between 1971 and 2199."),
    ({"gpulab_users": [{"name": "ada", "limits": {"cpu": 1e308}}]}, "limits.cpu: 1e+308 is too much; the maximum is"),
    ({"gpulab_users": [{"name": "ada", "limits": {"memory": "9" * 12 + "T"}}]}, "is too much; the maximum is 1024T."),
    ({"jupyterhub_path": "relative"}, "jupyterhub_path: 'relative' is not an absolute path."),
    ({"frameworks_path": ""}, "frameworks_path: '' is not an absolute path."),
    ({"gpulab_hub_address": 5}, "jupyterhub_address (gpulab_hub_address): '5' is not an IP address."),
    ({"gpulab_idle": {1: 2}}, "gpulab_idle has a number as a key, 1, not text. Write it in quotes."),
    ({"gpulab_users": [{"name": "ada", "limits": {4: "G"}}]}, "gpulab_users[0].limits has a number as a key, 4"),
    ({"gpulab_admin_group": ""}, "gpulab_admin_group: '' is not an acceptable name."),
    ({"gpulab_users_group": 5}, "gpulab_users_group: '5' is not an acceptable name."),
    ({"gpulab_environment_name": "../ml"}, "gpulab_environment_name: '../ml' is not an acceptable name."),
    ({"frameworks_name": ""}, "frameworks_name: '' is not an acceptable name."),
    (
        {"gpulab_cudnn_enabled": True},
        "compile with a toolkit, and gpulab_cuda_versions names none. Add a version to it",
    ),
    ({"cudnn_enabled": "yes", "gpulab_cuda_versions": []}, "and gpulab_cuda_versions names none."),
    (
        {"gpulab_hub_port": "{{ port_of_the_lab }}"},
        "gpulab_hub_port cannot be evaluated: 'port_of_the_lab' is undefined.",
    ),
]


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the message for each of the wrong variables: each is that of a host, and one run names them all."""
    path = tmp_path_factory.mktemp("wrong") / "hosts.yml"
    hosts = {f"host{number}": {"gpulab_users": [], **variables} for number, (variables, _words) in enumerate(WRONG)}
    path.write_text(yaml.safe_dump({"gpu_hosts": {"hosts": hosts}}))
    code, output = validated(path)
    assert code != 0
    assert "Traceback" not in output
    assert "hunter2" not in output
    failures = output.partition(" PLAY RECAP ")[0].split("fatal: [")[1:]
    problems = [failure.partition("problems: ")[2].partition(" [ERROR]")[0] for failure in failures]
    return {failure.partition("]")[0]: text for failure, text in zip(failures, problems, strict=True)}


@pytest.mark.parametrize(("number", "words"), [(number, words) for number, (_, words) in enumerate(WRONG)])
def test_value_of_another_kind_is_named(messages: dict[str, str], number: int, words: str) -> None:
    """One sentence, which names the variable and never the value: it may hold a secret."""
    assert words in messages[f"host{number}"].replace("''", "'")
    assert messages[f"host{number}"].count("- ") == 1


def test_class_list_next_to_the_inventory_gets_start_passwords(inventory: Path) -> None:
    """Hosts are evaluated at the same time, and all have the passwords of one sheet; a column is named once."""
    hosts = {f"gpu{number}": {"ansible_host": "192.0.2.1"} for number in range(6)}
    (inventory / "hosts.yml").write_text(json.dumps({"gpu_hosts": {"hosts": hosts}}))
    names = [f"user{number}" for number in range(8)]
    lines = "".join(f"{name};class-2026;none\r\n" for name in names)
    (inventory / "class.csv").write_bytes(b"sep=;\r\nName;Group;Comment\r\n" + lines.encode())
    write(inventory, gpulab_users="{{ lookup('gpulab.core.class_list', 'class.csv', start_passwords=true) }}")
    code, output = validated(inventory)
    assert code == 0, output
    assert output.count("columns that are not used: comment.") == 1
    assert output.count("8 start passwords were made") == 1
    sheet = (inventory / "class.passwords.csv").read_text()
    assert [line.partition(",")[0] for line in sheet.splitlines()] == ["name", *names]


def test_class_list_in_a_vault_is_read(inventory: Path) -> None:
    """It holds hashes."""
    (inventory / "class.csv").write_text(f"name,password_hash\nada,$6$salt${'x' * 86}\n")
    (inventory / "word").write_text("word")
    run(["ansible-vault", "encrypt", "--vault-password-file", str(inventory / "word"), str(inventory / "class.csv")],
        cwd=ROOT, env=ENVIRONMENT, check=True, timeout=60)  # fmt: skip
    (inventory / "word").rename(inventory / "word.key")
    write(inventory, gpulab_users="{{ lookup('gpulab.core.class_list', 'class.csv') }}")
    assert validated(inventory, "--vault-password-file", str(inventory / "word.key"))[0] == 0


KEY_FILE = "{{ lookup('ansible.builtin.file', inventory_dir ~ '/keys/grace.pub') }}"
ACCEPTED: list[dict[str, Any]] = [
    {"gpulab_users": []},
    {"users_accounts": [{"name": "ada"}]},
    {
        "gpulab_users": [
            {
                "name": "grace",
                "groups": "class-2026",
                "ssh_keys": "{{ lookup('file', inventory_dir ~ '/keys/grace.pub') }}",
            }
        ]
    },
    {"gpulab_users": [], "gpulab_sources": {"ca_certificates": ["files/lab-ca.crt"]}},
    {"gpulab_users": [], "gpulab_tls": {"mode": "own", "certificate": "files/hub.pem", "key": "files/hub.key"}},
    {
        "gpulab_users": [],
        "users_group": "lab",
        "jupyterhub_users_group": "lab",
        "gpu_sharing_users_group": "lab",
        "frameworks_users_group": "lab",
    },
    {"gpulab_users": [], "gpulab_admin_group": "staff", "users_admin_group": "staff"},
    {"gpulab_users": [], "users_sshd_trusted": ["{{ ansible_facts['default_ipv4'].address }}"]},
    {"gpulab_users": [], "gpulab_hub_port": "8443"},
    {"gpulab_users": [], "gpulab_cudnn_enabled": True, "gpulab_cuda_versions": ["13.0"]},
]


def test_usual_forms_are_accepted(inventory: Path) -> None:
    """An empty list, one text for a list, files next to the inventory, options that agree, and values of the host."""
    for name in ("files/lab-ca.crt", "files/hub.pem", "files/hub.key", "keys/grace.pub"):
        (inventory / name).parent.mkdir(exist_ok=True)
        (inventory / name).write_text(f"{KEY}\n")
    hosts = {f"host{number}": variables for number, variables in enumerate(ACCEPTED)}
    (inventory / "hosts.yml").write_text(json.dumps({"gpu_hosts": {"hosts": hosts}}))
    code, output = validated(inventory)
    assert code == 0, output
