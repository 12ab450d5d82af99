# SPDX-License-Identifier: GPL-3.0-or-later
"""No message about variables holds a secret: each host of one inventory has another mistake next to a marked secret."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support.paths import ROOT
from tests.support.processes import run
from tests.support.secrets import forms, leaks, main

SECRET = "hunter2-Marked&Secret"
IN_URL = "hunter2-Marked%26Secret"
HASH = f"$6$salt${SECRET}"
ADDRESS = f"http://svc:{IN_URL}@mirror.lab.example/simple"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----"


def users(**entry: Any) -> dict[str, Any]:
    """Return the variable with one user."""
    return {"gpulab_users": [{"name": "ada", **entry}]}


def sources(**values: Any) -> dict[str, Any]:
    """Return the variables of a site with sources."""
    return {"gpulab_users": [], "gpulab_sources": values}


MISTAKES: dict[str, dict[str, Any]] = {
    "plain_password": users(password=SECRET),
    "plain_text_as_hash": users(password_hash=SECRET),
    "hash_and_unknown_key": users(password_hash=HASH, x_name="x"),
    "hash_and_wrong_type": users(password_hash=HASH, uid="one"),
    "hash_in_a_list": users(password_hash=[HASH]),
    "hash_in_a_dictionary": users(password_hash={"value": HASH}),
    "hash_under_a_wrong_key": users(passwd_hash=HASH),
    "hash_under_an_old_key": users(password_crypt=HASH),
    "private_key_as_key": users(ssh_keys=[KEY]),
    "private_key_as_text": users(ssh_keys=KEY),
    "secret_as_group": users(groups={"x": SECRET}),
    "user_as_text": {"gpulab_users": [f"name=ada password_hash={HASH}"]},
    "users_as_text": {"gpulab_users": f"ada:{HASH}"},
    "users_as_dictionary": {"gpulab_users": {"ada": {"password_hash": HASH}}},
    "users_in_a_list_of_lists": {"gpulab_users": [[{"name": "ada", "password_hash": HASH}]]},
    "role_option": {"gpulab_users": [], "users_accounts": [{"name": "ada", "password_hash": HASH, "uid": "one"}]},
    "role_option_as_text": {"gpulab_users": [], "users_accounts": f"ada:{HASH}"},
    "undefined_in_a_template": users(password_hash=f"{{{{ '{SECRET}' ~ vault_undefined }}}}"),
    "unknown_filter": users(password_hash=f"{{{{ '{SECRET}' | no_such_filter }}}}"),
    "index_and_unknown_key": sources(pip={"index_url": ADDRESS, "index": "x"}),
    "index_as_list": sources(pip={"index_url": [ADDRESS]}),
    "index_as_dictionary": sources(pip={"index_url": {"url": ADDRESS}}),
    "pip_as_text": sources(pip=ADDRESS),
    "sources_as_text": {"gpulab_users": [], "gpulab_sources": ADDRESS},
    "indexes_as_dictionary": sources(pip={"extra_index_urls": {"a": ADDRESS}}),
    "npm_as_text": sources(npm=ADDRESS),
    "apt_and_wrong_type": sources(apt={"mirror": ADDRESS, "components": {"a": 1}}),
    "proxy_as_text": sources(proxy=ADDRESS),
    "proxy_and_unknown_key": sources(proxy={"https": ADDRESS, "htps": ADDRESS}),
    "certificate_as_address": sources(ca_certificates=[ADDRESS]),
    "role_option_of_sources": {"gpulab_users": [], "sources_pip": ADDRESS},
    "key_itself_as_file": {"gpulab_users": [], "gpulab_tls": {"mode": "own", "certificate": "x", "key": KEY}},
    "tls_as_text": {"gpulab_users": [], "gpulab_tls": KEY},
    "unknown_variable": {"gpulab_users": [], "gpulab_token": SECRET},
    "reserved_variable": {"gpulab_users": [], "gpulab_login": {"kind": "oidc", "client_secret": SECRET}},
    "another_roles_variable": {"gpulab_users": [], "users_groups": [{"name": "lab", "password": SECRET}]},
    "secret_as_address": {"gpulab_users": [], "gpulab_hub_address": ADDRESS},
}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the output of one check of all hosts, in which each has one mistake."""
    directory = tmp_path_factory.mktemp("inventory")
    (directory / "host_vars").mkdir()
    (directory / "hosts.yml").write_text(json.dumps({"gpu_hosts": {"hosts": dict.fromkeys(MISTAKES)}}))
    for name, variables in MISTAKES.items():
        (directory / "host_vars" / f"{name}.yml").write_text(json.dumps(variables))
    return validated(directory, {})


def validated(directory: Path, environment: Mapping[str, str]) -> str:
    """Return the output of playbooks/validate.yml."""
    plain = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **environment}
    argv = ["ansible-playbook", "-v", "--diff", "--inventory", str(directory), str(ROOT / "playbooks/validate.yml")]
    done = run(argv, cwd=ROOT, env={**os.environ, **plain}, timeout=300)
    return done.stdout + done.stderr


# The role's own specification rejects the last kind.
@pytest.mark.parametrize("host", [host for host in MISTAKES if host != "role_option"])
def test_mistake_is_reported(output: str, host: str) -> None:
    """Otherwise its message would not have been searched."""
    assert f"fatal: [{host}]" in output


@pytest.mark.parametrize("host", MISTAKES)
def test_message_holds_no_secret(output: str, host: str) -> None:
    """Not the secret itself, nor a form of it in an address or a login header."""
    begin = output.find(f"[{host}]: FAILED!")
    message = output[begin : output.find("fatal: [", begin + 1)] if begin >= 0 else ""
    assert leaks(message, [SECRET, IN_URL, HASH]) == []


def test_whole_output_holds_no_secret(output: str) -> None:
    """Warnings and the context of errors included."""
    assert leaks(output, [SECRET, IN_URL, HASH]) == []


def test_vaulted_values_are_read_and_not_shown(tmp_path: Path) -> None:
    """A vaulted file and vaulted values inside the variables, with a mistake next to them."""
    library = VaultLib([("default", VaultSecret(b"vault-password"))])
    (tmp_path / "password").write_text("vault-password\n")
    (tmp_path / "hosts.yml").write_text("gpu_hosts: {hosts: {gpu1: , gpu2: }}\n")
    for directory in ("group_vars/gpu_hosts", "host_vars"):
        (tmp_path / directory).mkdir(parents=True)
    vaulted = library.encrypt(HASH).decode().replace("\n", "\n      ")
    text = f"gpulab_users:\n- name: ada\n  password_hash: !vault |\n      {vaulted}\n"
    (tmp_path / "group_vars/gpu_hosts/users.yml").write_text(text)
    secret = json.dumps({"gpulab_sources": {"pip": {"index_url": ADDRESS}}})
    (tmp_path / "group_vars/gpu_hosts/vault.yml").write_bytes(library.encrypt(secret))
    (tmp_path / "host_vars/gpu2.yml").write_text(text + "  uid: one\n")
    output = validated(tmp_path, {"ANSIBLE_VAULT_PASSWORD_FILE": str(tmp_path / "password")})
    assert "ok: [gpu1]" in output
    assert "fatal: [gpu2]" in output
    assert leaks(output, [SECRET, IN_URL, HASH, "vault-password"]) == []


@pytest.mark.parametrize("text", [f"x {SECRET}", f"http://a:{IN_URL}@b", "Basic c3ZjOmh1bnRlcjItTWFya2VkJlNlY3JldA=="])
def test_search_finds_every_form(text: str) -> None:
    """Also across the end of a line, as a terminal breaks it."""
    assert leaks(f"ok\n{text}\n", [SECRET])
    assert leaks(f"ok\n{text[:14]}\n   {text[14:]}\n", [SECRET])
    assert not leaks("ok: [gpu1]", [SECRET])
    assert all(len(form) > 5 for form in forms(SECRET))


def test_search_of_logs_names_them_and_not_the_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory of demo passwords has more in each file; a search for nothing, or in nothing, does not pass."""
    passwords, clean, log, empty = tmp_path / "passwords", tmp_path / "clean", tmp_path / "log", tmp_path / "empty"
    passwords.mkdir()
    clean.write_text("ok: [gpu1]")
    empty.touch()
    assert main([str(passwords), str(clean)]) == 2
    (passwords / "ada").write_text(f"{SECRET} salt=abc")
    log.write_text(f"changed: {SECRET}")
    assert main([str(passwords), str(empty)]) == 2
    assert main([str(passwords), str(clean)]) == 0
    assert main([str(passwords), str(clean), str(log)]) == 1
    output = capsys.readouterr().out
    assert f"{log} holds a secret" in output
    assert SECRET not in output
