# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates with which the hub, the proxy and users' servers authenticate each other.

`python -m gpulab_hub.certificates DIRECTORY` makes what is missing or expires within a year: a certificate authority
of its own, and client certificates for the hub and the proxy. A user's server gets a certificate at each start.

A server's certificate is valid for its user's loopback address alone and not for clients, and a client's certificate is
not valid for servers (extended key usage, RFC 5280 section 4.2.1.12). So the key of a user is not valid for the server
of another user, the hub or the proxy.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=3650)
RENEWAL = timedelta(days=365)
"""Certificates are replaced this long before they expire."""
CLIENTS = ("hub", "proxy")


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> str:
        """Return the unencrypted key in PKCS#8."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")

    @property
    def certificate_pem(self) -> str:
        """Return the certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def sign(name: str, issuer: Pair | None, extensions: list[tuple[x509.ExtensionType, bool]]) -> Pair:
    """Return a new key with a certificate of the issuer, or of itself; it ends when the issuer's does."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(issuer.certificate.not_valid_after_utc if issuer else now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Pair(key, builder.sign(signer, hashes.SHA256()))


def usage(*, authority: bool) -> x509.KeyUsage:
    """Return what a key may do: sign certificates, or prove an identity."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def new_authority() -> Pair:
    """Return a new certificate authority, which can sign no further ones."""
    # A unique name: issuers are found by name.
    name = f"gpulab servers {x509.random_serial_number():x}"[:64]
    return sign(name, None, [(x509.BasicConstraints(ca=True, path_length=0), True), (usage(authority=True), True)])


def client(name: str, authority: Pair) -> Pair:
    """Return a key and certificate with which a client proves itself to users' servers."""
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return sign(name, authority, [*leaf(), (purpose, True)])


def server(address: str, authority: Pair) -> Pair:
    """Return a key and certificate for a server on one address."""
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))])
    return sign(address, authority, [*leaf(), (purpose, True), (names, False)])


def leaf() -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions of every certificate that signs no other."""
    return [(x509.BasicConstraints(ca=False, path_length=None), True), (usage(authority=False), True)]


def load(directory: Path, name: str) -> Pair:
    """Read NAME.key and NAME.pem; raise OSError or ValueError where they are missing or damaged."""
    key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{directory / name}.key is not an elliptic curve key")
    pair = Pair(key, x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes()))
    if pair.certificate.public_key() != key.public_key():
        raise ValueError(f"{directory / name}.pem does not belong to its key")
    return pair


def write(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step; it has its mode from the start."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii") as opened:
        os.fchmod(opened.fileno(), mode)
        opened.write(text)
    temporary.replace(path)


def save(directory: Path, name: str, pair: Pair, key_mode: int = 0o600) -> None:
    """Write NAME.key and NAME.pem."""
    write(directory / f"{name}.key", pair.key_pem, key_mode)
    write(directory / f"{name}.pem", pair.certificate_pem, 0o644)


def usable(directory: Path) -> bool:
    """Return whether all files exist, fit together and are valid for another year."""
    try:
        authority = load(directory, "authority")
        for name in CLIENTS:
            load(directory, name).certificate.verify_directly_issued_by(authority.certificate)
    except Exception as error:  # noqa: BLE001  # cryptography raises many kinds for a damaged file
        sys.stdout.write(f"new certificates are needed: {type(error).__name__}: {error}\n")
        return False
    return authority.certificate.not_valid_after_utc - datetime.now(timezone.utc) > RENEWAL


def ensure(directory: Path) -> bool:
    """Make all certificates unless they are usable; return whether they were made.

    The hub stops servers that run with a certificate of the previous authority (spawner.poll).
    """
    if usable(directory):
        return False
    authority = new_authority()
    for name in CLIENTS:
        # The proxy runs as another account, in the hub's group.
        save(directory, name, client(name, authority), 0o640 if name == "proxy" else 0o600)
    save(directory, "authority", authority)
    return True


def fingerprint(directory: Path) -> str:
    """Return the SHA-256 of the authority's certificate, in hexadecimal."""
    certificate = x509.load_pem_x509_certificate((directory / "authority.pem").read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make the certificates between hub, proxy and users' servers.")
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    directory.mkdir(mode=0o750, exist_ok=True)
    directory.chmod(0o750)
    if ensure(directory):
        sys.stdout.write(f"made new certificates in {directory}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
