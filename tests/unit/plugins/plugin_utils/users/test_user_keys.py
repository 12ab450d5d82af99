# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys in the forms in which users send them: accepted as lines of authorized_keys(5), or rejected by name."""

from __future__ import annotations

import textwrap

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ansible_collections.gpulab.core.plugins.plugin_utils.users.keys import public_keys

RSA = rsa.generate_private_key(65537, 2048)


def openssh(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    """Return the line of a public key, without a comment."""
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


KEY = openssh(RSA.public_key())
OTHER = openssh(ed25519.Ed25519PrivateKey.generate().public_key())
SK = (
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIPYjDUiDNnkW3+2jKwEC9WJ/1Dp21+Bqpe0e"
    "qsvOUk3AAAAABHNzaDo="
)
PUTTY = '---- BEGIN SSH2 PUBLIC KEY ----\nComment: "rsa-key-20261101"\n{}\n---- END SSH2 PUBLIC KEY ----\n'.format(
    "\n".join(textwrap.wrap(KEY.split()[1], 64))
)
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
PRIVATE = RSA.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ([f"{KEY} ada@laptop"], [f"{KEY} ada@laptop"]),
        (f"{KEY}\n{OTHER}\n", [KEY, OTHER]),
        ([f"{KEY}\r\n{OTHER}\r\n"], [KEY, OTHER]),
        ([f"# ada's laptop\n\n{KEY} a  b "], [f"{KEY} a b"]),
        ([f"\ufeff{KEY}\u00a0ada"], [f"{KEY} ada"]),
        ([KEY.replace(" ", "\t")], [KEY]),
        ([f"restrict {OTHER} ada"], [f"restrict {OTHER} ada"]),
        ([f'from="192.0.2.0/24,!192.0.2.9",No-Pty {KEY}'], [f'from="192.0.2.0/24,!192.0.2.9",No-Pty {KEY}']),
        ([f'command="echo \\"ssh-rsa x\\"  y" {KEY}'], [f'command="echo \\"ssh-rsa x\\"  y" {KEY}']),
        ([PUTTY], [KEY]),
        ([PUTTY.replace("\n", "\r\n")], [KEY]),
        ([PUTTY.replace("\n", " ")], [KEY]),
        ([f"{PUTTY}{OTHER}\n"], [KEY, OTHER]),
        ([PEM], [KEY]),
        ([openssh(ec.generate_private_key(ec.SECP521R1()).public_key())], None),
        ([SK], [SK]),
        (None, []),
        ("", []),
        ([None], []),
    ],
)
def test_key_is_accepted_as_users_send_it(value: object, lines: list[str] | None) -> None:
    """With options, comments, Windows' line ends, several in one text, and in the formats of PuTTY and OpenSSL."""
    found = public_keys(value)
    assert [key.problem for key in found] == ["" for _ in found]
    assert lines is None or [key.line for key in found] == lines


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no key", "is not a public key (one line that starts with"),
        ("ssh-ed25519 AAAA", "data are incomplete"),
        (KEY[:200], "data are incomplete"),
        (OTHER[:-12], "data are incomplete"),
        (f"ssh-ed25519 {KEY.split()[1]}", "data are incomplete"),
        (f"{KEY.split()[0]}", "data are incomplete"),
        ("https://example.org/ada.keys", "is an address"),
        (f'form="192.0.2.1" {KEY}', "has the option form"),
        (f'no-pty, from="192.0.2.1" {KEY}', "options that sshd cannot read"),
        (f"from=\u201c192.0.2.1\u201d {KEY}", "options that sshd cannot read"),
        (f"ssh-rsa-cert-v01@openssh.com {KEY.split()[1]}", "is a certificate"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "type DSA"),
        (PRIVATE, "is a private key"),
        (PRIVATE.splitlines()[0], "is a private key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "is a private key"),
        (PUTTY.replace("AAAA", "AA", 1), "is a damaged public key in the format SSH2"),
        (PUTTY.splitlines()[0], "a part of a public key in PuTTY's format"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "is CERTIFICATE in PEM"),
        (KEY.replace("AAAAB3", "AAAAB4"), "data are incomplete"),
    ],
)
def test_other_text_is_rejected_by_what_it_is(value: str, words: str) -> None:
    """One sentence for each, which never repeats the text: it may be a private key."""
    found = [key.problem for key in public_keys([value]) if key.problem]
    assert len(found) == 1
    assert words in found[0]
    assert "AAAA" not in found[0]
