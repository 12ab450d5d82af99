# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys for SSH in the forms in which users send them, as lines of authorized_keys(5). Pure functions.

The library cryptography, which ansible-core needs too, is imported where it is used: ansible-test imports without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SECURITY_KEYS = ("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com")
TYPES = (
    *("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *SECURITY_KEYS,
)
"""Types that sshd of the supported distributions accepts."""
OPTIONS = frozenset(
    (
        *("agent-forwarding", "cert-authority", "command", "environment", "expiry-time", "from", "no-agent-forwarding"),
        *("no-port-forwarding", "no-pty", "no-touch-required", "no-user-rc", "no-x11-forwarding", "permitlisten"),
        *("permitopen", "port-forwarding", "principals", "pty", "restrict", "tunnel", "user-rc", "verify-required"),
        "x11-forwarding",
    )
)
"""Options before a key (sshd(8)), in small letters; sshd ignores a key with another one."""
OPTION = re.compile(r'([A-Za-z0-9-]+)(?:="(?:[^"\\]|\\.)*")?(,|\s+|$)')
MIN_RSA_BITS = 1024
"""sshd ignores shorter keys (sshd_config(5): RequiredRSASize)."""
BLOCK = re.compile(r"(-{4,5}) ?BEGIN ([A-Z0-9 ]+?) ?\1(.*?)\1 ?END \2 ?\1", re.DOTALL)
"""A key over several lines: PEM (five dashes, RFC 7468), or SSH2 as PuTTYgen saves it (four dashes, RFC 4716)."""
SSH2_HEADER = re.compile(r'^\s*[A-Za-z][\w-]*:\s*(?:"[^"]*"|(?:[^\n]*\\\n)*[^\n]*)', re.MULTILINE)
BLANKS = str.maketrans({"\u00a0": " ", "\u200b": None, "\ufeff": None, "\r": "\n"})
"""Characters that copying from documents and web pages leaves behind."""
EXPECTED = "one line that starts with ssh-ed25519, ssh-rsa ..."


class Key(NamedTuple):
    """One requested key: its line, and what is wrong with it, empty where it is fine."""

    line: str
    problem: str = ""


def public_keys(value: object) -> list[Key]:
    """Return the keys of a list, or of a text with a key in each line. Empty lines and comments are left out."""
    entries = value if isinstance(value, list | tuple) else [value]
    return [key for entry in entries if entry is not None for key in _keys_of(str(entry).translate(BLANKS))]


def _keys_of(text: str) -> Iterator[Key]:
    """Yield the keys of one text, with those that stand in several lines."""
    end = 0
    for block in BLOCK.finditer(text):
        yield from _lines(text[end : block.start()])
        yield _key_of_block(block[2], block[3], block[0])
        end = block.end()
    yield from _lines(text[end:])


def _lines(text: str) -> Iterator[Key]:
    for line in text.split("\n"):
        stripped = " ".join(line.split()) if '"' not in line else line.strip()
        if stripped and not stripped.startswith("#"):
            yield Key(stripped, _problem(stripped))


def _key_of_block(label: str, body: str, text: str) -> Key:
    """Return the key of a block as OpenSSH writes it."""
    if "PRIVATE KEY" in label:
        return Key("", _private())
    if label == "SSH2 PUBLIC KEY":
        data = "".join(SSH2_HEADER.sub("", body).split())
        kind = next((kind for kind in TYPES if not _problem(f"{kind} {data}")), None)
        return Key(f"{kind} {data}") if kind else Key("", f"is a damaged public key in the format SSH2 ({_convert()})")
    return _key_of_pem(label, text)


def _key_of_pem(label: str, text: str) -> Key:
    """Return the key of a block as OpenSSL writes it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        key = forms.load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return Key("", f"is {label} in PEM that cannot be read. Write it as OpenSSH does ({EXPECTED})")
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        return Key("", "has a type that sshd does not accept")
    line = key.public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH).decode()
    return Key(line, _problem(line))


def _private() -> str:
    return "is a private key, which its owner alone may have. Make a new pair, and write the public one (.pub) here"


def _convert() -> str:
    return "convert it with `ssh-keygen -i -f FILE`"


def _problem(line: str) -> str:
    """Return what is wrong with a line of authorized_keys(5)."""
    if re.match(r"https?://", line):
        return "is an address. Write the keys that the page shows"
    if "PRIVATE KEY" in line or line.startswith("PuTTY-User-Key-File"):
        return _private()
    if "BEGIN SSH2" in line or line.startswith("---- "):
        return f"is a part of a public key in PuTTY's format SSH2 ({_convert()})"
    fields = line.split()
    if fields[0] not in TYPES and any(kind in fields for kind in TYPES):
        rest, problem = _after_options(line)
        if problem:
            return problem
        fields = rest.split()
    if "-cert-v01@" in fields[0]:
        return "is a certificate, not a public key"
    if fields[0] == "ssh-dss":
        return "has the type DSA, which sshd does not accept"
    if fields[0] not in TYPES:
        return f"is not a public key ({EXPECTED})"
    return _problem_of_data(fields[0], fields[1] if len(fields) > 1 else "")


def _after_options(line: str) -> tuple[str, str]:
    """Return what follows the options of a key, and what is wrong with them."""
    position = 0
    while match := OPTION.match(line, position):
        if match[1].lower() not in OPTIONS:
            return "", f"has the option {match[1]}, which sshd does not know"
        position = match.end()
        if match[2] != ",":
            return line[position:], ""
    return "", 'has options that sshd cannot read (they are separated by commas without blanks, and quoted with ")'


def _problem_of_data(kind: str, data: str) -> str:
    """Return what is wrong with the second field of a key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    incomplete = "is not a public key: its data are incomplete or damaged. Copy it again, as one line"
    try:
        key = load_ssh_public_key(f"{kind} {data}".encode())
    except UnsupportedAlgorithm:
        # Older releases of the library do not know security keys.
        return "" if kind in SECURITY_KEYS else incomplete
    except ValueError:
        return incomplete
    if isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        return f"has {key.key_size} bits, which sshd does not accept. Make a new pair"
    return ""
