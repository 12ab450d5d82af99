# SPDX-License-Identifier: GPL-3.0-or-later
"""CA certificates in the forms in which IT departments hand them out."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import lookup_loader
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

from ansible_collections.gpulab.core.plugins.plugin_utils.certificates import ca_certificates

NOW = datetime.now(timezone.utc)
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_TEXT = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def certificate(name: str, issuer: str = "", ca: bool | None = True, days: int = 30) -> x509.Certificate:
    """Return a certificate; without `ca`, it has no basic constraints."""

    def names(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(names(issuer or name), names(name), KEY.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=400)).not_valid_after(NOW + timedelta(days=days))
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return builder.sign(KEY, hashes.SHA256())


ROOT, MIDDLE = certificate("Lab Root"), certificate("Lab Issuing", "Lab Root")
PEM = [each.public_bytes(Encoding.PEM) for each in (ROOT, MIDDLE)]
TEXTS = [pem.decode() for pem in PEM]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (PEM[0], 1),
        (PEM[0].replace(b"\n", b"\r\n"), 1),
        (b"\xef\xbb\xbf" + PEM[0], 1),
        (b"Subject: CN=Lab Root\n" + PEM[0] + b"\nIssuing CA:\n\n" + PEM[1], 2),
        (PEM[0] + PEM[1] + PEM[0], 2),
        (ROOT.public_bytes(Encoding.DER), 1),
        (pkcs7.serialize_certificates([ROOT, MIDDLE], Encoding.DER), 2),
        (pkcs7.serialize_certificates([ROOT, MIDDLE], Encoding.PEM), 2),
        (certificate("old", ca=None).public_bytes(Encoding.PEM), 1),
    ],
    ids=["PEM", "CRLF", "BOM", "text between", "twice", "DER", "PKCS #7", "PKCS #7 in PEM", "without constraints"],
)
def test_usual_forms_are_read(data: bytes, count: int) -> None:
    """Each certificate becomes a text of its own."""
    texts, problems = ca_certificates(data)
    assert problems == []
    assert len(texts) == count
    assert all(text.count("BEGIN CERTIFICATE") == 1 and "\r" not in text for text in texts)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html>Please log in</html>", "it holds no certificate. PEM, DER and PKCS #7"),
        (b"", "it holds no certificate"),
        (PEM[0][:200], "a damaged certificate"),
        (PEM[0] + KEY_TEXT, "it holds a private key"),
        (certificate("Lab Root", days=-1).public_bytes(Encoding.PEM), "CN=Lab Root expired on 20"),
        (certificate("www", "Lab Root", ca=False).public_bytes(Encoding.PEM), "CN=www is not a CA certificate"),
    ],
)
def test_other_files_are_rejected(data: bytes, words: str) -> None:
    """In one sentence; a private key is never passed on."""
    texts, problems = ca_certificates(data)
    assert len(problems) == 1
    assert words in problems[0]
    assert not any("PRIVATE" in text for text in texts)


def look_up(directory: Path, *names: str) -> dict[str, Any]:
    """Return what the lookup returns for files next to an inventory."""
    lookup = lookup_loader.get("gpulab.core.ca_certificates")
    return dict(lookup.run([list(names)], {"inventory_dir": str(directory)})[0])


def test_files_are_named_as_the_host_reads_them(tmp_path: Path) -> None:
    """The ending is .crt whatever the file's own is; several certificates of a file are numbered."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lab.pem").write_bytes(PEM[0])
    (tmp_path / "chain.p7b").write_bytes(pkcs7.serialize_certificates([ROOT, MIDDLE], Encoding.DER))
    found = look_up(tmp_path, "files/lab.pem", "chain.p7b")
    assert found["problems"] == []
    assert [file["name"] for file in found["files"]] == ["gpulab-lab.crt", "gpulab-chain-1.crt", "gpulab-chain-2.crt"]


def test_missing_file_and_two_files_of_one_name_are_named(tmp_path: Path) -> None:
    """With the variable that names them."""
    for directory, pem in (("a", PEM[0]), ("b", PEM[1])):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "ca.crt").write_bytes(pem)
    problems = look_up(tmp_path, "a/ca.crt", "b/ca.crt", "gone.crt")["problems"]
    assert len(problems) == 2
    assert all(problem.startswith("sources_ca_certificates (gpulab_sources.ca_certificates): ") for problem in problems)
    assert "two files are named ca. Rename one." in problems[0]
    assert f"gone.crt is not a file on the controller (searched in {tmp_path}" in problems[1]
