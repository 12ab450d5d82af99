# SPDX-License-Identifier: GPL-3.0-or-later
"""CA certificates from files as they are handed out: PEM, DER or PKCS #7, one or several. Pure functions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone

with suppress(ImportError):  # ansible-test imports without it; ansible-core itself needs it
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

PEM = re.compile(rb"-----BEGIN (CERTIFICATE|TRUSTED CERTIFICATE|X509 CERTIFICATE)-----")
PRIVATE_KEY = re.compile(rb"BEGIN [A-Z ]*PRIVATE KEY-{5}")


def ca_certificates(data: bytes, now: datetime | None = None) -> tuple[list[str], list[str]]:
    """Return the certificates of a file as PEM texts, and the problems of the file."""
    if PRIVATE_KEY.search(data):
        return [], ["it holds a private key. Remove the key from the file; hosts need the certificate alone"]
    certificates = parsed(data)
    if not certificates:
        kind = "a damaged certificate" if PEM.search(data) else "no certificate"
        return [], [f"it holds {kind}. PEM, DER and PKCS #7 (.p7b) are read"]
    problems = []
    for certificate in certificates:
        name = certificate.subject.rfc4514_string() or "a certificate without a name"
        if certificate.not_valid_after_utc < (now or datetime.now(timezone.utc)):
            problems.append(f"{name} expired on {certificate.not_valid_after_utc:%Y-%m-%d}. Set a newer certificate")
        elif not is_ca(certificate):
            problems.append(f"{name} is not a CA certificate: no program trusts what it has signed")
    texts = [certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates]
    return list(dict.fromkeys(texts)), problems


def parsed(data: bytes) -> list[x509.Certificate]:
    """Return the certificates of a file; none where it is in no known form."""
    # Editors on Windows begin a text with a mark.
    data = data.removeprefix(b"\xef\xbb\xbf")
    readers: list[Callable[[bytes], list[x509.Certificate]]] = [
        x509.load_pem_x509_certificates,
        lambda der: [x509.load_der_x509_certificate(der)],
        pkcs7.load_pem_pkcs7_certificates,
        pkcs7.load_der_pkcs7_certificates,
    ]
    with warnings.catch_warnings():
        # Serial numbers and encodings that newer standards do not allow are common in certificates of campuses.
        warnings.simplefilter("ignore")
        for read in readers:
            try:
                if certificates := read(data):
                    return certificates
            except ValueError:
                continue
    return []


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether a certificate may sign others, or is trusted by itself because its subject has signed it."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca or self_signed(
            certificate
        )
    except x509.ExtensionNotFound:
        return self_signed(certificate)


def self_signed(certificate: x509.Certificate) -> bool:
    """Return whether the issuer is the subject."""
    return certificate.issuer == certificate.subject
