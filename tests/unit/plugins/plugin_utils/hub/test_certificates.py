# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate or a key with which the hub cannot work is recognised on the controller."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.gpulab.core.plugins.lookup.hub_certificate import LookupModule
from ansible_collections.gpulab.core.plugins.plugin_utils.hub import certificates

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=timezone.utc)
NAMES = ("lab.example", "*.gpu.example", "192.0.2.7", "2001:db8::7")
ROOT_KEY, KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


def certificate(
    subject: str = "lab.example",
    key: Any = KEY,
    issuer: str = "lab CA",
    days: tuple[int, int] = (-1, 90),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> x509.Certificate:
    """Make a certificate that the lab's CA signed."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    entries = [
        x509.IPAddress(ipaddress.ip_address(each)) if ":" in each or each[0].isdigit() else x509.DNSName(each)
        for each in NAMES
    ]
    builder = (
        x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
    )
    builder = builder.serial_number(7).not_valid_before(NOW + timedelta(days=days[0]))
    builder = builder.not_valid_after(NOW + timedelta(days=days[1]))
    builder = builder.add_extension(x509.SubjectAlternativeName(entries), False)
    return builder.add_extension(x509.ExtendedKeyUsage([usage]), False).sign(ROOT_KEY, hashes.SHA256())


def pem(*chain: x509.Certificate) -> bytes:
    """Return certificates as one file."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in chain)


def key_pem(key: Any = KEY, password: bytes = b"", kind: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    """Return a private key as a file."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, kind, encryption))


LEAF, AUTHORITY = certificate(), certificate("lab CA", ROOT_KEY)
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505  # rejected below
EDWARDS = ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize("kind", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("chain", [(LEAF,), (LEAF, AUTHORITY)])
def test_matching_files_pass(chain: tuple[x509.Certificate, ...], kind: PrivateFormat) -> None:
    """With and without the chain, whatever wrote the key."""
    report = certificates.check(pem(*chain), key_pem(kind=kind), ["lab.example"], NOW)
    assert (report.problems, report.warnings, report.names) == ([], [], list(NAMES))


def test_text_around_the_blocks_does_not_matter() -> None:
    """As `openssl x509 -text`, `openssl ecparam -genkey` and Windows write files."""
    key = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + key_pem(
        kind=PrivateFormat.TraditionalOpenSSL
    )
    text = b"subject=CN = lab.example\n" + pem(LEAF, AUTHORITY)
    assert certificates.check(text.replace(b"\n", b"\r\n"), key, [], NOW).problems == []


@pytest.mark.parametrize(
    ("certificate_file", "key_file", "words"),
    [
        (pem(LEAF), key_pem(OTHER), "not the key of the certificate"),
        (pem(AUTHORITY, LEAF), key_pem(), "Write the server's certificate first"),
        (pem(certificate(days=(-400, -2))), key_pem(), "expired on 2026-11-25"),
        (pem(certificate(days=(2, 90))), key_pem(), "Correct the clock"),
        (pem(certificate(usage=ExtendedKeyUsageOID.CLIENT_AUTH)), key_pem(), "not for servers"),
        (pem(LEAF), key_pem(password=b"hunter2"), "encrypted"),
        (pem(LEAF), key_pem(password=b"hunter2", kind=PrivateFormat.TraditionalOpenSSL), "encrypted"),
        (pem(LEAF), pem(LEAF), "the file holds a certificate"),
        (key_pem(), key_pem(), "the file holds a key"),
        (pem(LEAF), b"ssh-ed25519 AAAA", "not a private key in PEM"),
        (pem(LEAF), b"", "not a private key in PEM"),
        (b"hello", key_pem(), "not a certificate in PEM"),
        (pem(LEAF)[:300], key_pem(), "not a certificate in PEM"),
        (LEAF.public_bytes(Encoding.DER), key_pem(), "openssl x509 -inform der"),
        (pkcs12.serialize_key_and_certificates(b"x", KEY, LEAF, None, NoEncryption()), key_pem(), "openssl pkcs12"),
        (pem(certificate(key=WEAK)), key_pem(WEAK), "1024 bits are too few"),
        (pem(certificate(key=EDWARDS)), key_pem(EDWARDS), "RSA and ECDSA keys only"),
    ],
)
def test_files_that_cannot_work_are_rejected(certificate_file: bytes, key_file: bytes, words: str) -> None:
    """One sentence for each, which names the option and the site variable and holds nothing of the key."""
    problems = certificates.check(certificate_file, key_file, [], NOW).problems
    assert len(problems) == 1, problems
    assert words in problems[0]
    assert problems[0].startswith(
        ("jupyterhub_tls.certificate (gpulab_tls.certificate)", "jupyterhub_tls.key (gpulab_tls")
    )
    assert "hunter2" not in problems[0]


@pytest.mark.parametrize(
    ("chain", "requested", "words"),
    [
        ((LEAF,), ["gpu1.lab.example"], "not valid for gpu1.lab.example"),
        ((LEAF,), ["a.b.gpu.example"], "not valid for a.b.gpu.example"),
        ((LEAF,), ["192.0.2.8"], "not valid for 192.0.2.8"),
        ((certificate(days=(-80, 5)),), [], "expires on 2026-12-02"),
        ((LEAF, certificate("unrelated", OTHER)), [], "did not issue certificate 1"),
        ((LEAF, certificate("lab CA", ROOT_KEY, days=(-900, -1))), [], "certificate 2 expired"),
    ],
)
def test_files_that_browsers_do_not_like_give_a_warning(
    chain: tuple[x509.Certificate, ...], requested: list[str], words: str
) -> None:
    """The hub works with them, so the run goes on."""
    report = certificates.check(pem(*chain), key_pem(), requested, NOW)
    assert report.problems == []
    assert len(report.warnings) == 1
    assert words in report.warnings[0]


@pytest.mark.parametrize("name", ["lab.example", "LAB.example", "gpu1.gpu.example", "192.0.2.7", "2001:DB8::7"])
def test_names_are_compared_as_browsers_do(name: str) -> None:
    """Without regard to case; a star is one label."""
    assert certificates.is_covered(name, NAMES)


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that calls the lookup in a site with files next to the inventory and in playbooks/files."""
    for directory, name, content in (
        ("inventory/files", "hub.pem", pem(certificate(days=(-3650, 3650)))),
        ("playbooks/files", "hub.key", key_pem()),
    ):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / name).write_bytes(content)

    def lookup(**tls: str) -> dict[str, Any]:
        variables = {"inventory_dir": str(tmp_path / "inventory"), "playbook_dir": str(tmp_path / "playbooks")}
        result: dict[str, Any] = LookupModule().run([{"mode": "own", **tls}], variables)[0]
        return result

    return lookup


def test_files_are_searched_next_to_the_inventory_and_the_playbook(
    site: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """The same places as for class lists, and playbooks/files as for the module copy."""
    result = site(certificate="files/hub.pem", key="hub.key")
    assert (result["problems"], result["names"]) == ([], list(NAMES))
    assert result["certificate"] == str(tmp_path / "inventory/files/hub.pem")
    assert result["key"] == str(tmp_path / "playbooks/files/hub.key")


def test_missing_file_names_where_it_was_searched(site: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """For the certificate and the key alike."""
    problems = site(certificate="hub.crt", key=str(tmp_path / "gone.key"))["problems"]
    assert len(problems) == 2
    assert f"hub.crt is not a file on the controller (searched in {tmp_path}/inventory, " in problems[0]
    assert "gpulab_tls.key" in problems[1]
