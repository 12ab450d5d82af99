# SPDX-License-Identifier: GPL-3.0-or-later
"""Use by a user: ansible-inventory, ansible-playbook and ansible-doc as processes, and the shipped inventory."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpulab.core.plugins.inventory.gcp import DOCUMENTATION, EXAMPLES
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import options as option_module
from tests.integration.gcp.fakecloud import FakeCloud, make_world
from tests.integration.gcp.fakecloud.world import add_instance
from tests.integration.gcp.harness import Inventory
from tests.support.paths import ROOT

SHIPPED = ROOT / "inventory" / "gcp"
PLAY = """
- name: Look at the hosts
  hosts: gpu_hosts
  gather_facts: false
  tasks:
    - name: Show
      ansible.builtin.debug:
        msg: "{{ inventory_hostname }} {{ gcp_gpu_type }} {{ ansible_host }}"
"""


def _run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    tool = str(Path(sys.executable).with_name(command[0]))
    clean = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "NO_COLOR": "1"}
    # Ansible's own settings: the project's callback is not tested here.
    own = Path(clean["HOME"]) / "ansible.cfg"
    own.parent.mkdir(exist_ok=True)
    own.write_text("[inventory]\nany_unparsed_is_failed = True\n")
    clean["ANSIBLE_CONFIG"] = str(own)
    clean |= {"COLUMNS": "500", **environment}
    return subprocess.run(
        [tool, *command[1:]], cwd=ROOT, env=clean, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def login(tls_cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """Return a cloud that the shipped file can reach: a token and a project in the environment."""
    monkeypatch.setenv("GCP_ACCESS_TOKEN", "good-token")
    return tls_cloud


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Return a copy of the shipped inventory with the one line that a user of a token has to add."""
    directory = tmp_path / "gcp"
    shutil.copytree(SHIPPED, directory)
    file = directory / "gcp.yml"
    file.write_text(file.read_text() + "projects: [lab-00, lab-01]\n")
    return directory


def test_shipped_inventory_puts_running_gpu_hosts_into_gpu_hosts(login: FakeCloud, shipped: Path) -> None:
    done = _run("ansible-inventory", "-i", str(shipped), "--list")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    listed = json.loads(done.stdout)
    running = [
        row for project in login.world.projects.values() for row in project.instances if row["status"] == "RUNNING"
    ]
    assert set(listed["_meta"]["hostvars"]) == {row["name"] for row in running}
    assert len(listed["gpu_hosts"]["hosts"]) > 5
    assert set(listed["gpu_hosts"]["hosts"]) == set(listed["gpu"]["hosts"])


@pytest.fixture
def vaulted(tls_cloud: FakeCloud, tmp_path: Path) -> Path:
    """Return an inventory file whose access token is vaulted, next to the vault's password."""
    word = tmp_path / "word"
    word.write_text("the vault's password\n")
    done = _run(
        "ansible-vault", "encrypt_string", "--vault-password-file", str(word), "--name", "access_token", "good-token"
    )
    assert "$ANSIBLE_VAULT" in done.stdout, done.stderr
    file = tmp_path / "gcp.yml"
    file.write_text(
        f"plugin: gpulab.core.gcp\nauth_kind: accesstoken\nprojects: [lab-00]\nhostnames: [name]\n{done.stdout}"
    )
    return file


def test_vaulted_option_is_decrypted(tls_cloud: FakeCloud, vaulted: Path) -> None:
    password = ("--vault-password-file", str(vaulted.with_name("word")))
    done = _run("ansible-inventory", "-i", str(vaulted), "--list", *password)
    assert done.returncode == 0, done.stderr
    names = {row["name"] for row in tls_cloud.world.projects["lab-00"].instances}
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == names
    assert {call.headers["authorization"] for call in tls_cloud.seen} == {"Bearer good-token"}


def test_vaulted_option_without_its_password_is_one_message(tls_cloud: FakeCloud, vaulted: Path) -> None:
    done = _run("ansible-inventory", "-i", str(vaulted), "--list")
    assert done.returncode != 0
    assert str(vaulted) in done.stderr
    assert "access_token" in done.stderr, done.stderr
    assert "vault" in done.stderr
    assert "Traceback" not in done.stderr
    assert tls_cloud.seen == []


def test_playbook_runs_on_the_shipped_inventory(login: FakeCloud, shipped: Path, tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY)
    done = _run("ansible-playbook", "-i", str(shipped), str(playbook))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nvidia-tesla-t4 34." in done.stdout
    assert "WARNING" not in done.stdout + done.stderr


def test_shipped_file_is_read_as_it_is(inventory: Inventory, login: FakeCloud) -> None:
    assert "option 'projects': none given" in inventory.attempt(SHIPPED / "gcp.yml").error


def test_core_has_nothing_to_warn_about(login: FakeCloud, inventory: Inventory) -> None:
    options = {"projects": ["lab-00"], "hostnames": ["name"], "raw": True, "metadata": True, "retrieve_image_info": True,
               "group_by": list(option_module.GROUP_BY), "connect_with": "iap", "os_login_user": "me",
               "keyed_groups": [{"key": "zone", "prefix": "z"}], "compose": {"my_zone": "zone"}}  # fmt: skip
    done = _run("ansible-inventory", "-i", str(inventory.write(options)), "--list")
    assert (done.returncode, done.stderr) == (0, "")


def test_failure_ends_the_command_with_one_message(login: FakeCloud, inventory: Inventory) -> None:
    path = inventory.write({"projects": ["lab-00", "lab-typo"]})
    done = _run("ansible-inventory", "-i", str(path), "--list", ANSIBLE_INVENTORY_ENABLED="auto")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert (
        f"{path}: project 'lab-typo': The resource 'projects/lab-typo' was not found (HTTP 404). Is the name right"
        in done.stderr
    )


def test_missing_credentials_are_reported_without_a_traceback(inventory: Inventory) -> None:
    path = inventory.write({"projects": ["lab-00"]})
    elsewhere = {"NO_GCE_CHECK": "false", "GCE_METADATA_IP": "127.0.0.1:9", "ANSIBLE_INVENTORY_ENABLED": "auto"}
    done = _run("ansible-inventory", "-i", str(path), "--list", **elsewhere)
    assert done.returncode != 0
    assert "gcloud auth application-default login" in done.stderr
    assert "Traceback" not in done.stderr


def test_flush_cache_rewrites_it(login: FakeCloud, inventory: Inventory, tmp_path: Path) -> None:
    options = {
        "projects": ["lab-00"],
        "hostnames": ["name"],
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "c"),
    }
    path = str(inventory.write(options))
    sizes = []
    for flags in ([], ["--flush-cache"], []):
        listed = json.loads(_run("ansible-inventory", "-i", path, "--list", *flags).stdout)
        sizes.append(len(listed["_meta"]["hostvars"]))
        if not flags:
            add_instance(login.world.projects["lab-00"], f"new-{len(sizes)}", "us-east1-b")
    assert sizes == [20, 21, 21]
    assert len(login.seen) == 2


# --- documentation -----------------------------------------------------------------------------------------------------------
def test_documentation_is_valid_for_ansible() -> None:
    done = _run("ansible-doc", "-t", "inventory", "--json", "gpulab.core.gcp")
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)["gpulab.core.gcp"]["doc"]
    assert {"projects", "compose", "cache_plugin", "connect_with"} <= set(described["options"])


EXAMPLE_FILES = [(number, document) for number, document in enumerate(yaml.safe_load_all(EXAMPLES), 1)]


@pytest.mark.parametrize(("number", "document"), EXAMPLE_FILES)
def test_examples_are_accepted(number: int, document: dict[str, Any]) -> None:
    known = {
        **yaml.safe_load(DOCUMENTATION)["options"],
        **dict.fromkeys(["compose", "groups", "keyed_groups", "cache"]),
    }
    known |= dict.fromkeys(["cache_plugin", "cache_connection", "cache_timeout"])
    option_module.reject_unknown(document, known)
    assert option_module.settings_from(document, document)


def test_every_option_has_an_example_or_is_one_of_gcp_compute() -> None:
    shown = {key for _number, document in EXAMPLE_FILES for key in document}
    plain = {"auth_kind", "scopes", "service_account_contents", "service_account_email", "access_token", "zones", "name_suffix",
             "use_contrib_script_compatible_sanitization", "vars_prefix"}  # fmt: skip
    rare = {
        "impersonate_delegates",
        "resource_manager_endpoint",
        "iam_credentials_endpoint",
        "universe_domain",
        "workers",
    }
    assert set(yaml.safe_load(DOCUMENTATION)["options"]) - plain - rare <= shown


def test_every_option_of_gcp_compute_is_here_with_its_environment_variables() -> None:
    from ansible_collections.google.cloud.plugins.inventory.gcp_compute import DOCUMENTATION as THEIRS

    ours = yaml.safe_load(DOCUMENTATION)["options"]
    for name, option in yaml.safe_load(THEIRS)["options"].items():
        assert name in ours
        assert option.get("env", []) == ours[name].get("env", []), name


def test_layers_below_the_entry_file_do_not_import_ansible() -> None:
    files = [
        *(ROOT / "plugins" / "plugin_utils" / "gcp").glob("*.py"),
        ROOT / "plugins" / "module_utils" / "gpu" / "models.py",
    ]
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            names = [name for name in names if not name.startswith("ansible_collections.gpulab.core.")]
            assert not [name for name in names if name.split(".")[0] in ("ansible", "ansible_collections")], file


# --- speed -----------------------------------------------------------------------------------------------------
def test_one_connection_per_worker_and_few_requests(tls_cloud: FakeCloud, inventory: Inventory) -> None:
    tls_cloud.world = make_world(1800, 3)
    options = {
        "access_token": "good-token",
        "projects": list(tls_cloud.world.projects),
        "hostnames": ["name"],
        "workers": 2,
    }
    assert len(inventory.load(options).hosts) == 1800
    assert len(tls_cloud.seen) == 6
    assert len({entry.connection for entry in tls_cloud.seen}) <= 2
    assert {entry.params["maxResults"] for entry in tls_cloud.seen} == {"500"}
    assert all("gzip" in entry.headers["accept-encoding"] for entry in tls_cloud.seen)


def test_time_is_linear_in_instances(cloud: FakeCloud, inventory: Inventory) -> None:
    cloud.gate = False
    options = {
        **cloud.options,
        "projects": ["lab-00"],
        "hostnames": ["name"],
        "keyed_groups": [{"key": "zone"}, {"key": "labels.env"}],
    }

    def cost(instances: int) -> float:
        cloud.world = make_world(instances, 1)
        inventory.load(options)
        start = time.process_time()
        inventory.load(options)
        return time.process_time() - start

    small, large = cost(500), cost(4000)
    # Eight times the instances: linear is 8, quadratic would be 64.
    assert large / small < 14
