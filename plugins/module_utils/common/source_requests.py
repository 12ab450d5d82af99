# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to package sources from the managed host, with the login, proxies and certificates that the tools use."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import (
    Address,
    is_direct,
    is_trusted,
    masked,
    split_login,
)

PYTHON_PAGES = ("uv/", "pip/", "numpy/", "torch/", "")
"""Pages of an index of Python packages: of packages in our locks, and its front page, which few mirrors serve."""
PROBES: dict[str, tuple[str, ...]] = {
    "file": ("",),
    "apt": ("dists/{release}/InRelease", "dists/{release}/Release"),
    "apt_security": ("dists/{release}-security/InRelease", "dists/{release}-security/Release"),
    "apt_flat": ("InRelease", "Release", "Packages.gz", ""),
    "python": PYTHON_PAGES,
    # The one package of our package.json. Registries need not have /-/ping.
    "npm": ("configurable-http-proxy", ""),
    "cran": ("src/contrib/PACKAGES.rds", "src/contrib/PACKAGES.gz", "src/contrib/PACKAGES"),
}
"""What is requested below an address, by the kind of the source: the files that its tool reads first.

A source passes when one of them is there. The front page alone does not decide: many mirrors answer 404 or 403 there.
"""
LOGIN_CODES = (401, 407)
"""Answers that further requests do not change."""
NO_HEAD_CODES = (400, 403, 405, 501)
"""Answers to HEAD of servers that only allow GET, such as those of signed addresses."""
MEANINGS = {
    401: "the login in the address is missing or wrong",
    403: "this login, or this host, may not read it",
    404: "there is nothing at this address",
    407: "the login of the proxy is missing or wrong: see gpulab_sources.proxy",
}
CLOCK = "the host's clock is wrong: compare 'timedatectl' with the time, then run 'timedatectl set-ntp true'"
PAGE_BYTES = 50_000_000
"""The longest page that is read."""


@dataclass(frozen=True)
class Access:
    """How a host reaches its sources. `ca_certificates` is PEM text, `timeout` in seconds."""

    ca_certificates: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: Sequence[str] = ()
    trusted_hosts: Sequence[str] = ()
    timeout: float = 10


class Connections(urllib.request.HTTPSHandler):
    """HTTPS connections that verify the certificate of every host but the trusted ones, also after a redirect."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.trusted_hosts = access.trusted_hosts
        self.verified = ssl.create_default_context()
        if access.ca_certificates:
            self.verified.load_verify_locations(cadata=access.ca_certificates)
        self.unverified = ssl.create_default_context()
        self.unverified.check_hostname = False
        self.unverified.verify_mode = ssl.CERT_NONE

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open one request."""
        trusted = is_trusted(req.full_url, self.trusted_hosts)
        return self.do_open(http.client.HTTPSConnection, req, context=self.unverified if trusted else self.verified)


def opener(address: Address, access: Access) -> urllib.request.OpenerDirector:
    """Return an opener that sends the login to its own host only, and avoids the proxy where no_proxy says so."""
    handlers: list[urllib.request.BaseHandler] = [Connections(access)]
    if access.proxies:
        direct = is_direct(address.url, access.no_proxy)
        handlers.append(urllib.request.ProxyHandler({} if direct else dict(access.proxies)))
    if address.user or address.password:
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(None, address.url, address.user, address.password, is_authenticated=True)
        handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
    return urllib.request.build_opener(*handlers)


def request(url: str, access: Access, method: str = "HEAD", accept: str = "*/*") -> tuple[int, bytes]:
    """Return status and body of an answer. Raises OSError or ValueError where there is none."""
    address = split_login(url)
    headers = {"User-Agent": "gpulab-preflight", "Accept": accept}
    message = urllib.request.Request(address.url, method=method, headers=headers)  # noqa: S310  # http and https only
    try:
        with opener(address, access).open(message, timeout=access.timeout) as answer:
            return int(answer.status), answer.read(PAGE_BYTES) if method == "GET" else b""
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code), b""


def status(url: str, access: Access) -> int:
    """Return the HTTP status of an address, from HEAD or, for servers without HEAD, from GET."""
    code = request(url, access)[0]
    return request(url, access, method="GET")[0] if code in NO_HEAD_CODES else code


def below(url: str, path: str) -> str:
    """Return the address of a path below an address."""
    return f"{url.rstrip('/')}/{path}" if path else url


def reason(error: Exception) -> str:
    """Return the reason of a failed connection in words, without logins."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    text = masked(str(inner))
    if "not yet valid" in text:
        return f"its certificate is not valid yet, so {CLOCK}"
    if "certificate has expired" in text:
        return f"{text}; if the certificate is valid, {CLOCK}"
    if "Tunnel connection failed: 407" in text:
        return MEANINGS[407]
    return text


def why_unreachable(url: str, access: Access, kind: str = "file", release: str = "") -> str:
    """Return the reason why a source cannot be used, or an empty text where it answers.

    `kind` is a key of PROBES, `release` the code name of the distribution.
    """
    if not url.startswith(("http://", "https://")):
        return "" if Path(url.removeprefix("file://")).exists() else "no such file or directory on the host"
    codes: list[int] = []
    try:
        for path in PROBES[kind]:
            code = status(below(url, path.format(release=release)), access)
            if code < 400:
                return ""
            codes.append(code)
            if code in LOGIN_CODES:
                break
    except (OSError, ValueError, http.client.HTTPException) as error:
        return reason(error)
    # The first file is the one that the tool needs; a rejected login explains all answers.
    decisive = len(codes) - 1 if codes[-1] in LOGIN_CODES else 0
    code, path = codes[decisive], PROBES[kind][decisive].format(release=release)
    answer = f"it answers HTTP {code}" + (f" to a request for {path}" if path else "")
    return f"{answer}: {MEANINGS[code]}" if code in MEANINGS else answer
