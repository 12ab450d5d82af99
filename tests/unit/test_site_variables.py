"""Settings that cannot be met are rejected with a sentence that names the setting and the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpulab.core.plugins.action.check_variables import wrong_types
from ansible_collections.gpulab.core.plugins.plugin_utils import site_variables

SPEC = yaml.safe_load((Path(__file__).resolve().parents[2] / "playbooks/vars/site_variables.yml").read_text())[
    "__site_variables"
]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP ada@laptop"
HASH = "$6$salt$" + "x" * 86


def test_known_names_and_other_peoples_variables_pass() -> None:
    """Only names with our prefix are looked at."""
    assert site_variables.unknown_names(["gpulab_users", "ansible_host", "users_of_somebody"], SPEC) == []


def test_misspelt_setting_is_rejected_with_the_likeliest_meant_one() -> None:
    """A slip of the pen is named together with what was probably meant."""
    assert site_variables.unknown_names(["gpulab_user"], SPEC) == [
        "there is no setting gpulab_user: did you mean gpulab_users?"
    ]


def test_setting_like_no_other_points_to_the_list() -> None:
    """Where nothing is near, the list of all settings is named."""
    assert "docs/variables.md" in site_variables.unknown_names(["gpulab_xyzzy"], SPEC)[0]


def test_near_miss_of_a_role_option_is_rejected() -> None:
    """An option that differs by a letter would be passed over by Ansible in silence."""
    options = {"jupyterhub": ["jupyterhub_port", "jupyterhub_address"]}
    found = site_variables.misspelt_options(["jupyterhub_prot", "jupyterhub_theme_of_ours"], options)
    assert found == ["jupyterhub_prot looks like a slip of the pen for jupyterhub_port (role jupyterhub)."]


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"name": "Ada"}, "small letter"),
        ({"name": "1ada"}, "small letter"),
        ({"name": "a" * 32}, "at most 31"),
        ({"name": "root"}, "account of the system"),
        ({"name": "ada", "password": "hunter2"}, "plain-text"),
        ({"name": "ada", "password_hash": "hunter2"}, "no crypt hash"),
        ({"name": "ada", "password_hash": "$1$salt$weak"}, "no crypt hash"),
        ({"name": "ada", "uid": 999}, "belongs to the system"),
        ({"name": "ada", "ssh_keys": [KEY, "ssh-ed25519 AAAA"]}, "SSH key 2"),
        ({"name": "ada", "ssh_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "SSH key 1"),
        ({"name": "ada", "expires": "31.3.2027"}, "2027-03-31"),
        ({"name": "ada", "groups": ["Class 2026"]}, "not an acceptable name"),
    ],
)
def test_unacceptable_user_is_rejected(user: dict[str, Any], words: str) -> None:
    """Each fault gives exactly one sentence with these words in it."""
    found = site_variables.user_problems([user])
    assert len(found) == 1
    assert words in found[0]


def test_acceptable_user_passes() -> None:
    """A user with everything set right is no problem."""
    user = {"name": "ada", "uid": 2000, "password_hash": HASH, "ssh_keys": [KEY], "expires": "2027-03-31"}
    assert site_variables.user_problems([user], ["class-2026"]) == []


def test_duplicates_are_rejected() -> None:
    """The same name or number twice is a mistake, whichever entry comes last."""
    found = site_variables.user_problems([{"name": "ada", "uid": 2000}, {"name": "ada", "uid": 2000}])
    assert found == ["user ada is named 2 times.", "uid 2000 is given to 2 users."]


def test_secrets_are_never_repeated() -> None:
    """A message goes to a terminal and a log; what was taken for a password must not."""
    found = site_variables.user_problems([{"name": "ada", "password": "hunter2", "password_hash": "hunter3"}])
    assert len(found) == 2
    assert not any("hunter" in problem for problem in found)


@pytest.mark.parametrize(
    ("address", "tls", "login", "words"),
    [
        ("0.0.0.0", {"mode": "none"}, {}, "without TLS"),
        ("::", {"mode": "none"}, {}, "without TLS"),
        ("lab.example", {}, {}, "not an IP address"),
        ("0.0.0.0", {"mode": "own"}, {}, "gpulab_tls.certificate"),
        ("0.0.0.0", {"mode": "acme"}, {}, "not implemented yet"),
        ("0.0.0.0", {}, {"kind": "oidc"}, "not implemented yet"),
    ],
)
def test_unsafe_hub_is_rejected(address: str, tls: dict[str, Any], login: dict[str, Any], words: str) -> None:
    """Each combination gives one sentence with these words in it."""
    found = site_variables.hub_problems(address, tls, login)
    assert len(found) == 1
    assert words in found[0]


def test_loopback_needs_no_certificate() -> None:
    """Nobody else hears what stays on the host."""
    assert site_variables.hub_problems("127.0.0.1", {"mode": "none"}, {}) == []
    assert site_variables.hub_problems("0.0.0.0", {}, None) == []


def test_settings_that_are_not_built_are_rejected_by_name() -> None:
    """A known setting that this release cannot apply is not passed over."""
    found = site_variables.unbuilt(
        {"gpulab_gpu_sharing": "mig", "gpulab_cuda_versions": ["12.8"], "gpulab_gpu": "auto"}
    )
    assert [problem.partition(":")[0] for problem in found] == ["gpulab_gpu_sharing", "gpulab_cuda_versions"]
    assert site_variables.unbuilt({"gpulab_conda": False, "gpulab_cuda_versions": []}) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gpulab_gpu_sharing", "exclusiv", "exclusive"),
        ("gpulab_users", "ada", "gpulab_users"),
        ("gpulab_users", [{"nane": "ada"}], "nane"),
        ("gpulab_tls", {"mode": "on"}, "generated"),
        ("gpulab_hub_port", "https", "gpulab_hub_port"),
        ("gpulab_sources", {"pip": {"index": "x"}}, "index_url"),
    ],
)
def test_wrong_types_and_keys_are_rejected(name: str, value: Any, words: str) -> None:
    """Ansible's validator names the setting, the key or the choices."""
    found = wrong_types(SPEC, {name: value})
    assert found
    assert any(words in problem for problem in found), found


def test_type_errors_do_not_repeat_a_hash() -> None:
    """The validator quotes unknown keys, never secrets."""
    found = wrong_types(SPEC, {"gpulab_users": [{"name": "ada", "password_hash": HASH, "nane": 1}]})
    assert found
    assert not any(HASH in problem for problem in found)
