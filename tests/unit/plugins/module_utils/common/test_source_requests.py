# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to package sources: logins, proxies, trusted hosts, and answers that mean that a source cannot be used."""

from __future__ import annotations

import base64
import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.gpulab.core.plugins.module_utils.common.source_requests import Access, why_unreachable

SECRET = "s3c:r@t/#%"
ENCODED = "s3c%3Ar%40t%2F%23%25"
PAGES = {
    "/plain/dists/bookworm/InRelease": 200,
    "/old/dists/bookworm/Release": 200,
    "/security/dists/bookworm-security/InRelease": 200,
    "/simple/uv/": 200,
    "/small/numpy/": 200,
    "/listing/": 200,
    "/npm/configurable-http-proxy": 200,
    "/cran/src/contrib/PACKAGES.gz": 200,
    "/flat/Release": 200,
    "/forbidden/uv/": 403,
    "/forbidden/": 403,
    "/down/uv/": 503,
    "/package.deb": 200,
}


class Mirror(http.server.BaseHTTPRequestHandler):
    """A mirror that answers by path, without a front page; /login needs a login, /get does not know HEAD."""

    seen: ClassVar[list[tuple[str, str, str]]] = []

    def answer(self) -> None:
        """Answer by path; a path of a proxy is a whole address."""
        path = self.path.removeprefix("http://mirror.lab.example")
        authorization = self.headers.get("Authorization", "")
        self.seen.append((self.command, self.path, authorization))
        code = PAGES.get(path, 404)
        if path.startswith("/login"):
            code = 200 if authorization in self.allowed() else 401
        if path.startswith("/get"):
            code = 200 if self.command == "GET" else 403
        if path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.headers['Host'].rpartition(':')[2]}/simple/uv/")
        else:
            self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        """Answer."""
        self.answer()

    def do_GET(self) -> None:
        """Answer."""
        self.answer()

    @staticmethod
    def allowed() -> list[str]:
        """Return the headers of the two logins that the mirror knows."""
        logins = (f"svc:{SECRET}", "t0ken:")
        return ["Basic " + base64.b64encode(login.encode()).decode() for login in logins]

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


def serve(context: ssl.SSLContext | None = None) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve the mirror on this machine, on a port of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve without TLS; proxies of this machine have no effect."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Mirror.seen.clear()
    for server in serve():
        yield server.server_address[1]


def certificate(directory: Path, start_days: int = -1) -> Path:
    """Make a self-signed certificate for 127.0.0.1 and return the file of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=start_days)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=30))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(made.public_bytes(encoding) + private)
    return path


def serve_tls(path: Path) -> Iterator[int]:
    """Serve with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    for server in serve(context):
        yield server.server_address[1]


@pytest.fixture
def tls_port(tmp_path: Path, port: int) -> Iterator[int]:
    """Serve with a self-signed certificate."""
    yield from serve_tls(certificate(tmp_path))


@pytest.fixture
def early_port(tmp_path: Path, port: int) -> Iterator[int]:
    """Serve with a certificate that is valid from tomorrow."""
    yield from serve_tls(certificate(tmp_path, start_days=1))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/plain", "apt"),
        ("/plain/", "apt"),
        ("/old", "apt"),
        ("/security", "apt_security"),
        ("/simple", "python"),
        ("/simple/", "python"),
        ("/small", "python"),
        ("/listing/", "python"),
        ("/npm/", "npm"),
        ("/cran", "cran"),
        ("/flat/", "apt_flat"),
        ("/package.deb", "file"),
        ("/get/signed.deb", "file"),
    ],
)
def test_source_passes_with_the_file_that_its_tool_reads(port: int, path: str, kind: str) -> None:
    """Mirrors seldom serve a front page, and a signed address may not allow HEAD."""
    assert why_unreachable(f"http://127.0.0.1:{port}{path}", Access(timeout=5), kind, "bookworm") == ""


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/none", "apt", "it answers HTTP 404 to a request for dists/bookworm/InRelease: there is nothing"),
        ("/plain", "apt_security", "404 to a request for dists/bookworm-security/InRelease"),
        ("/none", "python", "it answers HTTP 404 to a request for uv/"),
        ("/none/", "npm", "it answers HTTP 404 to a request for configurable-http-proxy"),
        ("/none", "cran", "404 to a request for src/contrib/PACKAGES.rds"),
        ("/none.deb", "file", "it answers HTTP 404: there is nothing at this address"),
        ("/forbidden", "python", "it answers HTTP 403 to a request for uv/: this login, or this host, may not"),
        ("/login/simple", "python", "it answers HTTP 401 to a request for uv/: the login in the address is missing"),
        ("/login/npm", "npm", "it answers HTTP 401 to a request for configurable-http-proxy"),
        ("/down", "python", "it answers HTTP 503 to a request for uv/"),
    ],
)
def test_answers_of_a_wrong_address_are_told_apart(port: int, path: str, kind: str, words: str) -> None:
    """401, 403 and 404 are problems, each with its meaning."""
    assert words in why_unreachable(f"http://127.0.0.1:{port}{path}", Access(timeout=5), kind, "bookworm")


@pytest.mark.parametrize("login", [f"svc:{ENCODED}", "t0ken", "t0ken:"])
def test_login_of_the_address_is_sent(port: int, login: str) -> None:
    """As pip, uv and curl send it: decoded, with or without a password."""
    assert why_unreachable(f"http://{login}@127.0.0.1:{port}/login/simple", Access(timeout=5), "python") == ""


def test_login_of_an_address_without_a_port_is_sent() -> None:
    """The port is not read from the login (urllib's own error is "nonnumeric port")."""
    answer = why_unreachable(f"http://svc:{ENCODED}@127.0.0.1/simple", Access(timeout=5), "python")
    assert answer
    assert "port" not in answer
    assert "s3c" not in answer


def test_wrong_login_is_reported_without_the_password(port: int) -> None:
    """One answer, and no second try with the same login."""
    answer = why_unreachable(f"http://svc:wr0ng@127.0.0.1:{port}/login/simple", Access(timeout=5), "python")
    assert "HTTP 401" in answer
    assert "wr0ng" not in answer


def test_login_is_not_sent_to_another_host(port: int) -> None:
    """A redirect to another host does not get it."""
    assert why_unreachable(f"http://svc:pw@127.0.0.1:{port}/moved", Access(timeout=5), "file") == ""
    assert {authorization != "" for _, path, authorization in Mirror.seen if path == "/moved"} == {True}
    assert [authorization for _, path, authorization in Mirror.seen if path == "/simple/uv/"] == [""]


def test_proxy_is_used_except_for_hosts_of_no_proxy(port: int) -> None:
    """The mirror of this test answers requests of a proxy, too."""
    proxies = {"http": f"http://127.0.0.1:{port}"}
    url = "http://mirror.lab.example/simple"
    assert why_unreachable(url, Access(proxies=proxies, timeout=5), "python") == ""
    assert why_unreachable(url, Access(proxies=proxies, no_proxy=[".lab.example"], timeout=5), "python")
    dead = {"http": "http://127.0.0.1:9"}
    for no_proxy in (["127.0.0.1"], ["localhost", f"127.0.0.1:{port}"], ["*"]):
        access = Access(proxies=dead, no_proxy=no_proxy, timeout=5)
        assert why_unreachable(f"http://127.0.0.1:{port}/simple", access, "python") == ""


def test_certificate_is_verified_except_for_trusted_hosts(tls_port: int) -> None:
    """With or without a port; another host in the list does not help."""
    url = f"https://127.0.0.1:{tls_port}/simple"
    for trusted in (["127.0.0.1"], [f"127.0.0.1:{tls_port}"]):
        assert why_unreachable(url, Access(trusted_hosts=trusted, timeout=5), "python") == ""
    for trusted in ([], ["mirror.lab.example"], ["127.0.0.1:1"]):
        answer = why_unreachable(url, Access(trusted_hosts=trusted, timeout=5), "python")
        assert "certificate verify failed" in answer


def test_ca_certificate_of_the_site_is_trusted(tls_port: int, tmp_path: Path) -> None:
    """The text of the option ca_certificates counts for all hosts."""
    text = (tmp_path / "server.pem").read_text().partition("-----BEGIN PRIVATE")[0]
    assert why_unreachable(f"https://127.0.0.1:{tls_port}/simple", Access(text, timeout=5), "python") == ""


def test_certificate_that_is_not_valid_yet_names_the_clock(early_port: int, tmp_path: Path) -> None:
    """It is not a question of trust."""
    text = (tmp_path / "server.pem").read_text().partition("-----BEGIN PRIVATE")[0]
    answer = why_unreachable(f"https://127.0.0.1:{early_port}/simple", Access(text, timeout=5), "python")
    assert "timedatectl" in answer
    assert "not valid yet" in answer


def test_directory_has_to_exist(tmp_path: Path) -> None:
    """With or without file:."""
    assert why_unreachable(str(tmp_path), Access()) == ""
    assert why_unreachable(f"file://{tmp_path}", Access()) == ""
    assert why_unreachable(f"file://{tmp_path}/none", Access()) == "no such file or directory on the host"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://svc:s3cret@127.0.0.1:9/", "http://[::1/"])
def test_source_that_does_not_answer_has_a_reason(url: str) -> None:
    """Without the login."""
    answer = why_unreachable(url, Access(timeout=5))
    assert answer
    assert "s3cret" not in answer
