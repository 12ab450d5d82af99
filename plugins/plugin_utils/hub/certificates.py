# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of a site's own certificate and key, on the controller, before a host gets them.

Sentences name the role option and, in brackets, the site variable. None holds a part of the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from itertools import pairwise

with suppress(ImportError):  # ansible-test imports without it; ansible-core itself needs it
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

CERTIFICATE = "jupyterhub_tls.certificate (gpulab_tls.certificate)"
KEY = "jupyterhub_tls.key (gpulab_tls.key)"
PRIVATE_KEY = re.compile(rb"PRIVATE KEY-{5}")
SOON = timedelta(days=14)
"""Time before the end of a certificate from which on a warning is given."""
SHORTEST_RSA, SHORTEST_EC = 2048, 256
"""Bits of the shortest keys that the proxy's OpenSSL (security level 2) and browsers accept."""


@dataclass
class Report:
    """What is wrong with a certificate: `problems` keep the hub from working, `warnings` do not."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Names and addresses of the certificate, in its order."""


def check(certificate: bytes, key: bytes, requested: Sequence[str], now: datetime | None = None) -> Report:
    """Check a certificate with its chain and its key, both the content of a file.

    `requested` holds the names and addresses that users type.
    """
    report = Report()
    now = now or datetime.now(timezone.utc)
    chain = _chain(certificate, report)
    private = _private_key(key, report)
    if not chain:
        return report
    leaf = chain[0]
    report.names = names_of(leaf)
    _check_dates(chain, now, report)
    _check_order(chain, report)
    _check_use(leaf, report)
    if private is not None:
        _check_pair(chain, private, report)
    for name in requested:
        if not is_covered(name, report.names):
            report.warnings.append(
                f"{CERTIFICATE}: it is not valid for {name} of jupyterhub_tls.names (gpulab_tls.names), only for "
                f"{', '.join(report.names) or 'no name'}. Browsers warn there."
            )
    return report


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses for which a certificate is valid."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(entry.value) for entry in alternatives if isinstance(entry, (x509.DNSName, x509.IPAddress))]


def is_covered(name: str, names: Sequence[str]) -> bool:
    """Return whether a name is among those of a certificate; a star stands for one label (RFC 6125)."""
    return any(
        fnmatchcase(name.lower(), pattern.lower()) and name.count(".") == pattern.count(".") for pattern in names
    )


def _chain(data: bytes, report: Report) -> list[x509.Certificate]:
    """Return the certificates of a file, that of the server first."""
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        pass
    if PRIVATE_KEY.search(data):
        reason = "the file holds a key. Is it that of jupyterhub_tls.key?"
    elif b"BEGIN CERTIFICATE REQUEST" in data or b"BEGIN NEW CERTIFICATE REQUEST" in data:
        reason = "the file holds a signing request. Use the certificate that the authority made from it."
    elif b"BEGIN PKCS7" in data:
        reason = "the file is PKCS #7. Convert it with `openssl pkcs7 -print_certs -in FILE -out hub.pem`."
    elif data[:1] == b"\x30":
        reason = (
            "the file is DER or PKCS #12. Convert it with `openssl x509 -inform der -in FILE -out hub.pem`, or "
            "`openssl pkcs12 -nokeys -in FILE -out hub.pem`."
        )
    else:
        reason = "the file is not a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----."
    report.problems.append(f"{CERTIFICATE}: {reason}")
    return []


def _private_key(data: bytes, report: Report) -> PrivateKeyTypes | None:
    """Return the key of a file, or None; messages of the library are not used, as they could quote the file."""
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        reason = (
            "the key is encrypted, and the proxy starts without a passphrase. Remove it with "
            "`openssl pkey -in FILE -out hub.key`."
        )
    except (ValueError, UnsupportedAlgorithm):
        if b"BEGIN CERTIFICATE" in data and not PRIVATE_KEY.search(data):
            reason = "the file holds a certificate. Is it that of jupyterhub_tls.certificate?"
        elif data[:1] == b"\x30":
            reason = (
                "the file is DER or PKCS #12. Convert it with `openssl pkey -in FILE -out hub.key`, or "
                "`openssl pkcs12 -nocerts -noenc -in FILE -out hub.key`."
            )
        else:
            reason = "the file is not a private key in PEM, which begins with -----BEGIN PRIVATE KEY or the like."
    report.problems.append(f"{KEY}: {reason}")
    return None


def _check_dates(chain: Sequence[x509.Certificate], now: datetime, report: Report) -> None:
    """Report certificates that are not valid now, and a server's certificate that ends soon."""
    for number, certificate in enumerate(chain, 1):
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        which = "the certificate" if number == 1 else f"certificate {number}"
        # Old roots and cross-signed issuers may have ended: clients find another way.
        worst = report.problems if number == 1 else report.warnings
        if end <= now:
            worst.append(f"{CERTIFICATE}: {which} expired on {end:%Y-%m-%d}. Use a renewed one.")
        elif begin > now:
            worst.append(
                f"{CERTIFICATE}: {which} is not valid before {begin:%Y-%m-%d %H:%M} UTC, and the controller's clock is "
                f"at {now:%Y-%m-%d %H:%M} UTC. Correct the clock, or wait."
            )
        elif number == 1 and end <= now + SOON:
            report.warnings.append(f"{CERTIFICATE}: it expires on {end:%Y-%m-%d}. Use a renewed one before that day.")


def _check_order(chain: Sequence[x509.Certificate], report: Report) -> None:
    """Warn about a chain whose certificates are not each followed by their issuer."""
    for number, (certificate, issuer) in enumerate(pairwise(chain), 1):
        if certificate.issuer != issuer.subject:
            report.warnings.append(
                f"{CERTIFICATE}: certificate {number + 1} of the file did not issue certificate {number}. Write the "
                "server's certificate first, then that of its issuer, and so on; some programs reject another order."
            )
            return


def _check_use(leaf: x509.Certificate, report: Report) -> None:
    """Report a certificate that browsers or the proxy do not accept for a server."""
    algorithm = leaf.signature_hash_algorithm
    if algorithm is not None and algorithm.name in ("md5", "sha1"):
        report.problems.append(
            f"{CERTIFICATE}: it is signed with {algorithm.name.upper()}, which browsers and the proxy reject. Use one "
            "that is signed with SHA-256."
        )
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage):
        report.problems.append(f"{CERTIFICATE}: it is not for servers (extended key usage). Use one for a web server.")


def _check_pair(chain: Sequence[x509.Certificate], key: PrivateKeyTypes, report: Report) -> None:
    """Report a key that is too weak, or that is not the key of the first certificate."""
    if isinstance(key, rsa.RSAPrivateKey):
        weak = key.key_size < SHORTEST_RSA
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        weak = key.key_size < SHORTEST_EC
    else:
        report.problems.append(f"{KEY}: browsers accept RSA and ECDSA keys only. Use a certificate with such a key.")
        return
    if weak:
        report.problems.append(
            f"{KEY}: {key.key_size} bits are too few: the proxy and browsers require {SHORTEST_RSA} (RSA) or "
            f"{SHORTEST_EC} (ECDSA)."
        )
    matching = [number for number, certificate in enumerate(chain, 1) if _public(certificate) == _public(key)]
    if not matching:
        report.problems.append(f"{KEY}: it is not the key of the certificate. Use the files that belong together.")
    elif matching[0] != 1:
        report.problems.append(
            f"{CERTIFICATE}: the key belongs to certificate {matching[0]} of the file. Write the server's certificate "
            "first, then its chain."
        )


def _public(source: x509.Certificate | PrivateKeyTypes) -> bytes:
    """Return the public key of a certificate or a private key, in a form that can be compared."""
    return source.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
