# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to sign in, its number of requests, and its error messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.gcp.fakecloud import FakeCloud, Fault
from tests.integration.gcp.harness import Inventory
from tests.support.paths import ROOT

ACCOUNT = "inventory@lab-00.iam.gserviceaccount.com"


@pytest.fixture(scope="session")
def private_key() -> str:
    """Return an RSA key of no real account."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _key(cloud: FakeCloud, private_key: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "service_account", "project_id": "lab-00", "private_key_id": "abc", "private_key": private_key,
        "client_email": ACCOUNT, "client_id": "1", "token_uri": f"{cloud.url}/token", **changes,
    }  # fmt: skip


def _endpoints(cloud: FakeCloud, **more: Any) -> dict[str, Any]:
    options = {**cloud.options, "hostnames": ["name"], "projects": ["lab-00"]}
    options.pop("access_token")
    return {**options, **more}


def _file(directory: Path, content: object) -> str:
    path = directory / "credentials.json"
    path.write_text(json.dumps(content))
    return str(path)


def _tokens(cloud: FakeCloud) -> set[str]:
    return {entry.headers.get("authorization", "") for entry in cloud.seen if "/compute/" in entry.path}


@pytest.mark.parametrize("kind", ["serviceaccount", None])
def test_key_file_with_one_token_for_the_run(
    cloud: FakeCloud, inventory: Inventory, private_key: str, tmp_path: Path, kind: str | None
) -> None:
    path = _file(tmp_path, _key(cloud, private_key))
    options = _endpoints(cloud, service_account_file=path, projects=["lab-00", "lab-01"])
    loaded = inventory.load({**options, **({"auth_kind": kind} if kind else {})})
    assert len(loaded.hosts) == 40
    assert cloud.paths().count("/token") == 1
    assert len(_tokens(cloud)) == 1


def test_key_file_gives_the_project(cloud: FakeCloud, inventory: Inventory, private_key: str, tmp_path: Path) -> None:
    options = _endpoints(cloud, service_account_file=_file(tmp_path, _key(cloud, private_key)))
    options.pop("projects")
    loaded = inventory.load(options)
    assert {variables["gcp_project"] for variables in loaded.hosts.values()} == {"lab-00"}


@pytest.mark.parametrize(
    "variable", ["GCP_SERVICE_ACCOUNT_FILE", "GCE_CREDENTIALS_FILE_PATH", "GCP_SERVICE_ACCOUNT_CONTENTS"]
)
def test_key_from_the_environment(
    cloud: FakeCloud,
    inventory: Inventory,
    private_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    key = _key(cloud, private_key)
    monkeypatch.setenv(variable, json.dumps(key) if variable.endswith("CONTENTS") else _file(tmp_path, key))
    monkeypatch.setenv("GCP_AUTH_KIND", "serviceaccount")
    monkeypatch.setenv("GCP_SCOPES", "https://www.googleapis.com/auth/cloud-platform")
    assert len(inventory.load(_endpoints(cloud)).hosts) == 20
    assertion = next(entry.body for entry in cloud.seen if entry.path == "/token")
    assert "jwt-bearer" in assertion


def test_least_scope_is_requested(cloud: FakeCloud, inventory: Inventory, private_key: str, tmp_path: Path) -> None:
    path = _file(tmp_path, _key(cloud, private_key))
    inventory.load(_endpoints(cloud, service_account_file=path))
    inventory.load(_endpoints(cloud, service_account_file=path, projects=["lab-*"]))
    scopes = [_claims(entry.body)["scope"] for entry in cloud.seen if entry.path == "/token"]
    assert scopes[0] == "https://www.googleapis.com/auth/compute.readonly"
    assert scopes[1].endswith("https://www.googleapis.com/auth/cloud-platform.read-only")


def test_token_from_the_environment(cloud: FakeCloud, inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCP_ACCESS_TOKEN", "good-token")
    assert len(inventory.load(_endpoints(cloud)).hosts) == 20


def test_user_login_is_the_default(
    cloud: FakeCloud, inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {
        "type": "authorized_user",
        "client_id": "1",
        "client_secret": "s",
        "refresh_token": "good-refresh",
        "token_uri": f"{cloud.url}/token",
    }
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    (tmp_path / "application_default_credentials.json").write_text(
        json.dumps({**login, "quota_project_id": "lab-quota"})
    )
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{cloud.url}/token")
    assert len(inventory.load(_endpoints(cloud)).hosts) == 20
    assert cloud.seen[-1].headers["x-goog-user-project"] == "lab-quota"


def test_workload_identity_federation(
    cloud: FakeCloud, inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subject").write_text("good-subject")
    federated = {
        "type": "external_account", "audience": "//iam.googleapis.com/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": f"{cloud.url}/v1/token",
        "credential_source": {"file": str(tmp_path / "subject")},
    }  # fmt: skip
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", _file(tmp_path, federated))
    assert len(inventory.load(_endpoints(cloud)).hosts) == 20
    assert "Bearer token-sts" in _tokens(cloud).pop()


def test_impersonation_with_delegates_and_quota_project(cloud: FakeCloud, inventory: Inventory) -> None:
    options = _endpoints(
        cloud, access_token="good-token", impersonate_service_account=ACCOUNT, impersonate_delegates=["hop@lab-00.iam.gserviceaccount.com"],
        iam_credentials_endpoint=f"{cloud.url}/v1", quota_project="lab-quota",
    )  # fmt: skip
    assert len(inventory.load(options).hosts) == 20
    asked = next(entry for entry in cloud.seen if "generateAccessToken" in entry.path)
    assert "hop@lab-00" in asked.body
    assert "compute.readonly" in asked.body
    assert "Bearer token-impersonated" in _tokens(cloud).pop()
    assert cloud.seen[-1].headers["x-goog-user-project"] == "lab-quota"


def test_impersonation_that_is_not_allowed(cloud: FakeCloud, inventory: Inventory) -> None:
    options = _endpoints(
        cloud, access_token="good-token", impersonate_service_account="forbidden@lab-00.iam.gserviceaccount.com",
        iam_credentials_endpoint=f"{cloud.url}/v1",
    )  # fmt: skip
    error = inventory.error(options)
    assert "impersonate_service_account" in error
    assert "roles/iam.serviceAccountTokenCreator" in error


MACHINE = """
import sys
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader()
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
hosts = InventoryManager(loader=DataLoader(), sources=[sys.argv[1]]).hosts.values()
print(len(hosts), {host.vars["gcp_project"] for host in hosts})
"""


@pytest.mark.parametrize("kind", ["machineaccount", "application"])
def test_machine_account(cloud: FakeCloud, inventory: Inventory, kind: str) -> None:
    options = _endpoints(cloud, auth_kind=kind)
    options.pop("projects")
    path = inventory.write(options)
    address = cloud.url.removeprefix("http://")
    environment = {
        **os.environ, "GCE_METADATA_HOST": address, "GCE_METADATA_IP": address, "NO_GCE_CHECK": "false",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_INVENTORY_ENABLED": "auto",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MACHINE, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == "20 {'lab-00'}", done.stderr
    assert sum(path.endswith("/token") for path in cloud.paths()) == 1
    assert "Bearer token-machine" in _tokens(cloud).pop()


def test_universe_domain_moves_all_addresses(tls_cloud: FakeCloud, inventory: Inventory) -> None:
    options = {
        "access_token": "good-token",
        "projects": ["lab-*"],
        "hostnames": ["name"],
        "universe_domain": "cloud.example",
    }
    assert len(inventory.load(options).hosts) == 40
    assert {entry.headers["host"] for entry in tls_cloud.seen} == {
        "compute.cloud.example",
        "cloudresourcemanager.cloud.example",
    }


def test_google_is_the_default_address(tls_cloud: FakeCloud, inventory: Inventory) -> None:
    assert len(inventory.load({"access_token": "good-token", "projects": ["lab-*"], "hostnames": ["name"]}).hosts) == 40
    assert {entry.headers["host"] for entry in tls_cloud.seen} == {
        "compute.googleapis.com",
        "cloudresourcemanager.googleapis.com",
    }


def test_token_that_runs_out_in_the_middle_is_renewed(
    cloud: FakeCloud, inventory: Inventory, private_key: str, tmp_path: Path
) -> None:
    cloud.faults.append(Fault("aggregated/instances", "status", 1, 401, reason="authError", message="expired"))
    options = _endpoints(cloud, service_account_file=_file(tmp_path, _key(cloud, private_key)), projects=["lab-00"])
    assert len(inventory.load(options).hosts) == 20
    assert cloud.paths().count("/token") == 2


# --- failures -------------------------------------------------------------------------------------------------------
def test_expired_token(cloud: FakeCloud, inventory: Inventory) -> None:
    error = inventory.error(_endpoints(cloud, access_token="stale-secret-token", projects=["lab-00", "lab-01"]))
    assert error.startswith("option 'access_token': it is expired or not valid; 'gcloud auth print-access-token'")
    assert "stale-secret-token" not in error


def test_missing_credentials_off_cloud_are_reported_soon(
    cloud: FakeCloud, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "false")
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:9")
    start = time.monotonic()
    error = inventory.error(_endpoints(cloud))
    assert time.monotonic() - start < 8
    assert "gcloud auth application-default login" in error


def test_silent_metadata_server_is_given_up_soon(
    cloud: FakeCloud, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "false")
    monkeypatch.setenv("GCE_METADATA_IP", cloud.url.removeprefix("http://"))
    cloud.faults.append(Fault("^/$", "hang", None, seconds=9))
    start = time.monotonic()
    inventory.error(_endpoints(cloud))
    assert time.monotonic() - start < 8


def test_missing_default_credentials_file(
    cloud: FakeCloud, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "nowhere.json")
    assert "GOOGLE_APPLICATION_CREDENTIALS names 'nowhere.json', which is not there" in inventory.error(
        _endpoints(cloud)
    )


def test_machine_account_off_cloud(cloud: FakeCloud, inventory: Inventory) -> None:
    assert "works on a Google Cloud machine only" in inventory.error(_endpoints(cloud, auth_kind="machineaccount"))


def test_revoked_login(cloud: FakeCloud, inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = {
        "type": "authorized_user",
        "client_id": "1",
        "client_secret": "s",
        "refresh_token": "revoked-refresh-secret",
    }
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", _file(tmp_path, login))
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{cloud.url}/token")
    error = inventory.error(_endpoints(cloud))
    assert "gcloud auth application-default login" in error
    assert "revoked-refresh-secret" not in error


KEY_FAULTS = {
    "missing": (None, "cannot read"),
    "no JSON": ("not json", "this is not JSON"),
    "a list": ("[]", "not a service account key"),
    "other type": ('{"type": "external_account"}', "use auth_kind: application with GOOGLE_APPLICATION_CREDENTIALS"),
    "no key": ('{"type": "service_account", "client_email": "a@b.c", "token_uri": "https://t"}', "damaged"),
    "bad key": (
        '{"type": "service_account", "client_email": "a@b.c", "token_uri": "https://t", "private_key": "c2VjcmV0"}',
        "damaged",
    ),
}


@pytest.mark.parametrize("case", KEY_FAULTS)
def test_unusable_key_file(cloud: FakeCloud, inventory: Inventory, tmp_path: Path, case: str) -> None:
    content, words = KEY_FAULTS[case]
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    error = inventory.error(_endpoints(cloud, service_account_file=str(path)))
    assert error.startswith("option 'service_account_file': ")
    assert words in error
    assert "c2VjcmV0" not in error


def test_unreadable_key_file(cloud: FakeCloud, inventory: Inventory, tmp_path: Path) -> None:
    error = inventory.error(_endpoints(cloud, service_account_file=str(tmp_path)))
    assert "cannot read" in error


def test_deleted_key(cloud: FakeCloud, inventory: Inventory, private_key: str, tmp_path: Path) -> None:
    path = _file(tmp_path, _key(cloud, private_key, client_email="disabled@lab-00.iam.gserviceaccount.com"))
    error = inventory.error(_endpoints(cloud, service_account_file=path))
    assert error.startswith("option 'service_account_file': the key was rejected")
    assert private_key.splitlines()[1] not in error


def test_certificate_that_is_not_trusted(
    tls_cloud: FakeCloud, inventory: Inventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    start = time.monotonic()
    error = inventory.error({"access_token": "good-token", "projects": ["lab-00"]})
    assert "REQUESTS_CA_BUNDLE" in error
    assert time.monotonic() - start < 8


def test_password_file_of_the_user_is_not_sent(
    cloud: FakeCloud, inventory: Inventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert len(inventory.load(_endpoints(cloud, access_token="good-token")).hosts) == 20


def _claims(body: str) -> dict[str, Any]:
    import base64
    from urllib.parse import parse_qs

    payload = parse_qs(body)["assertion"][0].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
