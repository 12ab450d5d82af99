# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates between the hub, the proxy and users' servers."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from gpulab_hub import certificates

OTHER = "127.0.3.234"
OWN = "127.0.3.233"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the certificates of a hub."""
    directory = tmp_path_factory.mktemp("tls")
    assert certificates.ensure(directory)
    assert not certificates.ensure(directory)
    return directory


def pair(store: Path, name: str, made: certificates.Pair) -> tuple[str, str]:
    """Write a key and its certificate; return their paths."""
    certificates.save(store, name, made)
    return str(store / f"{name}.pem"), str(store / f"{name}.key")


def connect(store: Path, server: tuple[str, str], client: tuple[str, str] | None, expected: str) -> str:
    """Connect as the hub connects to a server; return what the client got, or the error."""
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(store / "authority.pem"))
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_cert_chain(*server)
    context = ssl.create_default_context(cafile=str(store / "authority.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        context.load_cert_chain(*client)
    left, right = socket.socketpair()
    errors = []

    def serve() -> None:
        try:
            with listening.wrap_socket(left, server_side=True) as accepted:
                accepted.sendall(b"hello")
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        right.settimeout(10)
        with context.wrap_socket(right, server_hostname=expected) as connected:
            return connected.recv(5).decode()
    except OSError as error:
        # The server's own error has more detail, and may come later.
        thread.join(10)
        return f"{error} {errors}"
    finally:
        thread.join(10)


def test_server_and_hub_accept_each_other(store: Path) -> None:
    """With a server's certificate for its address and a client's certificate."""
    server = pair(store, "server", certificates.server(OWN, certificates.load(store, "authority")))
    for name in certificates.CLIENTS:
        assert connect(store, server, (str(store / f"{name}.pem"), str(store / f"{name}.key")), OWN) == "hello"


def test_other_users_key_passes_as_nothing(store: Path) -> None:
    """A genuine certificate of another user is neither this server, nor the hub, nor the proxy."""
    authority = certificates.load(store, "authority")
    other = pair(store, "other", certificates.server(OTHER, authority))
    own = pair(store, "own", certificates.server(OWN, authority))
    hub = (str(store / "hub.pem"), str(store / "hub.key"))
    assert "IP address mismatch" in connect(store, other, hub, OWN)
    assert "unsuitable certificate purpose" in connect(store, own, other, OWN)
    assert "unsuitable certificate purpose" in connect(store, hub, hub, OWN)
    assert connect(store, own, None, OWN) != "hello"


def test_certificates_are_renewed_a_year_ahead(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new authority, with which the old certificates do not work."""
    monkeypatch.setattr(certificates, "LIFETIME", certificates.RENEWAL)
    certificates.ensure(tmp_path)
    before = certificates.fingerprint(tmp_path)
    monkeypatch.undo()
    assert certificates.ensure(tmp_path)
    assert certificates.fingerprint(tmp_path) != before


@pytest.mark.parametrize("name", ["authority.key", "hub.pem", "proxy.key"])
def test_damaged_certificates_are_made_again(tmp_path: Path, name: str) -> None:
    """Whatever is wrong with a file, the hub starts."""
    certificates.ensure(tmp_path)
    (tmp_path / name).write_text("damaged")
    assert certificates.ensure(tmp_path)
    assert certificates.usable(tmp_path)


def test_keys_are_private(store: Path) -> None:
    """The hub's and the authority's are the hub's alone; the proxy reads its own as the hub's group."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.glob("*.key")}
    assert [modes[f"{name}.key"] for name in ("authority", "hub", "proxy")] == [0o600, 0o600, 0o640]
