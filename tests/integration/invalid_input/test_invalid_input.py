# SPDX-License-Identifier: GPL-3.0-or-later
"""Each invalid input gives one clear message before any change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils import run_identity
from tests.support.lab import Lab, Outcome
from tests.support.paths import ROOT
from tests.support.processes import run

LOCK = "/run/gpulab-converge.json"
KEY_LESS = {"name": "ada", "password": "hunter2-in-plain-text"}


def assert_rejected(outcome: Outcome, *words: str) -> None:
    """Check that it failed, changed nothing, printed these words, and no traceback."""
    assert outcome.code != 0, outcome.output[-3000:]
    assert outcome.changed == 0
    for word in words:
        assert word in outcome.text, outcome.output[-3000:]
    assert "Traceback" not in outcome.output


SETTINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"gpulab_user": []}, ["gpulab_user is not a variable", "gpulab_users"]),
    ({"jupyterhub_prot": 1}, ["jupyterhub_prot", "jupyterhub_port"]),
    ({"gpulab_gpu_sharing": "mps"}, ["gpulab_gpu_sharing", "mps is not supported"]),
    ({"gpulab_gpu_sharing": "shared"}, ["gpulab_gpu_sharing", "exclusive"]),
    ({"gpulab_gpu_hold_hours": -1}, ["gpulab_gpu_hold_hours", "negative"]),
    ({"users_leavers_home": "zip"}, ["users_leavers_home", "keep, archive"]),
    ({"jupyterhub_port": "https"}, ["jupyterhub_port is text, not a number."]),
    ({"jupyterhub_idle": {"kernel_minuts": 5}}, ["kernel_minuts", "kernel_minutes"]),
    ({"frameworks_profiles": "cpu,torch"}, ["frameworks_profiles"]),
    ({"nvidia_driver_state": "latest"}, ["nvidia_driver_state", "present, absent"]),
    ({"r_tensorflow_tarballs": [{"name": "x"}]}, ["r_tensorflow_tarballs", "sha256"]),
    ({"sources_pip": {"index": "x"}}, ["sources_pip", "index_url"]),
    ({"users_session_walls": True}, ["write users_session_isolation_enabled"]),
    ({"gpulab_users": [{"name": "ada"}, {"name": "ada"}]}, ["user ada is named 2 times"]),
    # The uid of an existing account is never changed.
    ({"gpulab_users": [{"name": "ada", "uid": 54321}]}, ["user ada exists with uid", "not 54321"]),
    ({"gpulab_users": [{"name": "Ada Lovelace"}]}, ["'Ada Lovelace'", "small letter"]),
    ({"gpulab_users": [KEY_LESS]}, ["plain-text passwords are not accepted", "openssl passwd -6"]),
    ({"gpulab_users": [{"name": "ada", "ssh_keys": ["no key"]}]}, ["user 'ada'", "SSH key 1 is not a public key"]),
    (
        {"gpulab_users": [{"name": "ada", "limits": {"memory": "lots"}}]},
        ["limits.memory: 'lots' is not a size", "16G"],
    ),
    (
        {"gpulab_groups": {"class-2026": {"limits": {"cpu": 0}}}},
        ["group class-2026", "limits.cpu: 0 is too little"],
    ),
    ({"gpulab_groups": {"class-2027": {}}}, ["class-2026", "did you mean class-2027?"]),
    (
        {"gpulab_users": [{"name": "ada", "limits": {"disk": "1G"}}]},
        ["limits.disk", "has no quotas for users", "remove the limits"],
    ),
    (
        {"gpulab_users": "{{ lookup('gpulab.core.class_list', 'tests/integration/invalid_input/class.csv') }}"},
        ["class.csv: line 3: user 'Jane Doe'", "line 5: user 'ivy': SSH key 1"],
    ),
    ({"gpulab_tls": {"mode": "none"}}, ["without TLS", "127.0.0.1"]),
    ({"gpulab_extra_packages": ["maps"]}, ["unknown set maps", "geo, nlp, vision"]),
    ({"rstudio_sha256": "0" * 64}, ["rstudio-server.deb has the SHA-256", f"rstudio_sha256 is {'0' * 64}"]),
    (
        {"rstudio_package": "", "rstudio_sha256": "", "rstudio_url": "http://127.0.0.1:9/server"},
        [
            "rstudio_url (gpulab_sources.rstudio): http://127.0.0.1:9/server/jammy",
            "cannot be used from the host",
            "or false",
        ],
    ),
    ({"gpulab_minimum": {"cores": 4096}}, ["cores", "4096", "lower gpulab_minimum.cores"]),
    ({"gpulab_minimum": {"memory_gb": 1e6}}, ["lower gpulab_minimum.memory_gb"]),
    ({"gpulab_minimum": {"disk_gb": 1e6}}, ["lower gpulab_minimum.disk_gb"]),
    ({"gpulab_hub_port": 22}, ["port 22 is in use by", "gpulab_hub_port"]),
    ({"gpulab_hub_port": 70000}, ["jupyterhub_port (gpulab_hub_port): 70000 is not a port"]),
    ({"jupyterhub_port": 0}, ["jupyterhub_port (gpulab_hub_port): 0 is not a port"]),
    ({"users_sshd_ports": [70000]}, ["users_sshd_ports: 70000 is not a port"]),
    (
        {"gpulab_hub_address": "192.0.2.77"},
        ["jupyterhub_address (gpulab_hub_address): a program cannot listen on 192.0.2.77"],
    ),
    ({"gpulab_idle": 5}, ["gpulab_idle is a number, not a dictionary with the keys kernel_minutes"]),
    ({"users_groups": [{"name": "lab", "gid": 3000}]}, ["users_groups is a list", "another role of your site"]),
    ({"gpulab_users": None}, ["gpulab_users is not set", "`gpulab_users: []`, which closes every account"]),
    (
        {"gpulab_users": [{"name": "Grace.Hopper"}]},
        ["user Grace.Hopper does not exist on the host"],
    ),
    (
        {"gpulab_tls": {"mode": "own", "certificate": "files/gone.pem", "key": "files/gone.key"}},
        ["gpulab_tls.certificate: files/gone.pem is not a file on the controller (searched in"],
    ),
    (
        {"gpulab_sources": {"ca_certificates": ["files/gone.crt"]}},
        ["gpulab_sources.ca_certificates: files/gone.crt is not a file on the controller"],
    ),
    ({"frameworks_python": "/nowhere/python3"}, ["frameworks_python: /nowhere/python3 is not a Python interpreter"]),
    ({"gpulab_gpu": "required"}, ['(gpulab_gpu) is "required"', "no NVIDIA GPU"]),
    (
        {"gpulab_cuda_versions": ["14.7"]},
        ["cuda_versions (gpulab_cuda_versions): 14.7 is unknown to this release of gpulab. Known: 11.5, 11.8"],
    ),
    (
        {"gpulab_cuda_versions": ["13.0"], "gpulab_cuda_default_version": "12.8"},
        ["cuda_default_version (gpulab_cuda_default_version) is 12.8, which cuda_versions"],
    ),
    (
        {"gpulab_cuda_versions": ["12.8"], "gpulab_cuda_source": "wheels"},
        ["CUDA 12.8 does not come from cuda_source (gpulab_cuda_source) wheels", "to 13.0 or 13.1"],
    ),
    (
        {"gpulab_cuda_versions": ["12.8"], "nvidia_driver_repository": "http://127.0.0.1:9/repos"},
        ["nvidia_driver_repository (gpulab_sources.nvidia): http://127.0.0.1:9/repos", "cannot be used from the host"],
    ),
    (
        {"gpulab_cudnn_enabled": True, "gpulab_cuda_versions": []},
        ["gpulab_cudnn_enabled", "gpulab_cuda_versions names none"],
    ),
    (
        {"gpulab_cudnn_enabled": True, "gpulab_cuda_versions": ["13.0"], "gpulab_cudnn_version": "9.99"},
        ["cudnn_version (gpulab_cudnn_version): 9.99 is unknown to this release of gpulab. Known: 9.10 and 9.28"],
    ),
    (
        {"gpulab_cudnn_enabled": True, "gpulab_cuda_versions": ["13.0"], "gpulab_cudnn_version": "9.10"},
        ["cuDNN 9.10 is not built for CUDA 13 (toolkit 13.0)", "to 9.28, or list a toolkit of CUDA 12"],
    ),
    (
        {"gpulab_cudnn_enabled": True, "gpulab_cuda_versions": ["13.0"], "gpulab_cudnn_source": "distro"},
        ["cudnn_source (gpulab_cudnn_source) is distro: the distribution's package nvidia-cudnn has no library"],
    ),
    (
        {
            "gpulab_cudnn_enabled": True,
            "gpulab_cuda_versions": ["13.0"],
            "gpulab_cudnn_source": "nvidia_repo",
            "nvidia_driver_repository": "http://127.0.0.1:9/repos",
        },
        ["nvidia_driver_repository (gpulab_sources.nvidia): http://127.0.0.1:9/repos", "cannot be used from the host"],
    ),
    ({"gpulab_conda": "true"}, ["gpulab_conda", "not implemented"]),
    (
        {"gpulab_sources": {"pip": {"index_url": "http://127.0.0.1:9/simple"}}},
        [
            "sources_pip.index_url (gpulab_sources.pip.index_url): http://127.0.0.1:9/simple",
            "cannot be used from the host",
        ],
    ),
]
"""Settings, and words of the message that each of them gets."""


@pytest.fixture(scope="module")
def outcomes(lab: Lab) -> list[Outcome]:
    """Check all settings in one run."""
    return lab.preflight([setting for setting, _ in SETTINGS])


@pytest.mark.parametrize("number", range(len(SETTINGS)), ids=[next(iter(setting)) for setting, _ in SETTINGS])
def test_bad_setting_is_rejected_before_anything_changes(outcomes: list[Outcome], number: int) -> None:
    """The message names the setting and the fix."""
    assert_rejected(outcomes[number], *SETTINGS[number][1])
    assert "hunter2" not in outcomes[number].output


def test_run_with_a_bad_setting_ends_before_the_first_role(lab: Lab) -> None:
    """Here with the whole of site.yml, by a check on the controller and by one of the host."""
    assert_rejected(lab.converge(users_leavers_home="zip"), "users_leavers_home", "keep, archive")
    assert_rejected(lab.converge(gpulab_hub_port=22), "port 22 is in use by", "gpulab_hub_port")


@pytest.fixture
def fedora(lab: Lab) -> Iterator[None]:
    """Make the host identify as another system."""
    lab.shell("printf 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME=\"Fedora Linux 42\"\n' > /run/os-release")
    lab.shell("mount --bind /run/os-release /usr/lib/os-release")
    yield
    lab.shell("umount /usr/lib/os-release && rm /run/os-release")


def test_unsupported_system_is_rejected_by_name(lab: Lab, fedora: None) -> None:
    """The message names the host's system and the supported ones."""
    assert_rejected(lab.converge(), "Fedora Linux 42", "Supported: Debian 12, 13; Ubuntu 22.04, 24.04")


@pytest.fixture
def foreign_kernel(lab: Lab) -> Iterator[str]:
    """Put a foreign kernel in the place of gpulab's; restore gpulab's afterwards."""
    path = "/usr/local/share/jupyter/kernels/ir/kernel.json"
    lab.shell(f"mv {path} {path}.ours && echo foreign > {path}")
    yield path
    lab.shell(f"grep -q foreign {path} && mv {path}.ours {path}")


def test_foreign_kernel_is_rejected_by_name(lab: Lab, foreign_kernel: str) -> None:
    """A lab server often has an R kernel already: it is not overwritten."""
    assert_rejected(lab.converge(), f"{foreign_kernel} exists and was not written by gpulab", "move it away")


@pytest.fixture
def old_hub(lab: Lab) -> Iterator[None]:
    """Let another program use the requested port of the hub."""
    lab.shell("systemd-run --quiet --unit=old-hub python3 -m http.server 8000")
    yield
    lab.shell("systemctl stop old-hub")


def test_old_hub_on_the_port_is_rejected_by_name(lab: Lab, old_hub: None) -> None:
    """The message names the unit that uses the port."""
    assert_rejected(lab.converge(gpulab_hub_port=8000), "port 8000 is in use by", "old-hub.service", "gpulab_hub_port")


def test_home_without_an_account_is_rejected_by_name(lab: Lab) -> None:
    """A home without an account may hold a user's work: it is not given to a new account."""
    lab.shell("mkdir /home/hopper && echo data > /home/hopper/work")
    try:
        assert_rejected(
            lab.converge(gpulab_users=[{"name": "hopper"}]), "/home/hopper (uid 0) exists and user hopper does not"
        )
        assert "data" in lab.shell("cat /home/hopper/work")
    finally:
        lab.shell("rm -r /home/hopper")


@pytest.fixture
def foreign_lock(lab: Lab, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Put the lock of another run on the host, and remove it afterwards."""
    record = {**run_identity.identity(1), "controller": "other", "user": "eve", **request.param}
    record["run"] = f"{record['machine']}:{record['pid']}:{record['started']}"
    lab.shell(f"printf %s '{json.dumps(record)}' > {LOCK}")
    yield record
    lab.shell(f"rm -f {LOCK}")


def now() -> str:
    """Return the time in the lock's format."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    "foreign_lock", [{}, {"machine": "another-controller", "since": now()}], indirect=True, ids=["here", "elsewhere"]
)
def test_second_converge_is_rejected_while_the_first_runs(lab: Lab, foreign_lock: dict[str, Any]) -> None:
    """The message names who runs it, since when, and how to take over the lock of a dead run."""
    assert_rejected(lab.converge(), "another run holds the lock of this host", "eve on other", "gpulab_lock_hours=0")


def test_failed_run_releases_the_lock(lab: Lab) -> None:
    """The next run, of any controller, can start at once."""
    outcome = lab.converge(tools_packages=["gpulab-no-such-package"])
    assert outcome.code != 0
    assert "gpulab-no-such-package could not be installed" in outcome.text
    assert "gone" in lab.shell(f"test -e {LOCK} && cat {LOCK} || echo gone")


@pytest.mark.parametrize(
    "foreign_lock", [{"started": "0"}, {"machine": "x", "since": "2020-01-01T00:00:00+00:00"}], indirect=True,
    ids=["dead", "old"],
)  # fmt: skip
def test_lock_that_was_left_behind_is_taken_over(lab: Lab, foreign_lock: dict[str, Any]) -> None:
    """A run that was killed leaves its lock; the next one takes it over and removes it at the end."""
    done = lab.ansible("ansible-playbook", "site.yml", "--limit", lab.host, "--tags", "tools")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "gone" in lab.shell(f"test -e {LOCK} && cat {LOCK} || echo gone")


@pytest.mark.parametrize(
    ("inventory", "words"),
    [
        ("inventory/example", "the group gpu_hosts of .*inventory/example is empty"),
        ("inventory/nowhere", "there is no inventory inventory/nowhere: copy inventory/example to it"),
    ],
)
def test_inventory_without_hosts_is_rejected(inventory: str, words: str) -> None:
    """The message of a first run without hosts."""
    done = run(["scripts/site", inventory], cwd=ROOT, timeout=120)
    assert done.returncode != 0
    assert re.search(words, " ".join((done.stdout + done.stderr).split()))
