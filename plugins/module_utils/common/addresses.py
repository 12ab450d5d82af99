# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins in addresses of package sources and proxies: read, removed, and masked in messages. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

MASK = "***"
LOGIN = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<login>[^\s'\"`<>]*[^\s'\"`<>/])@")
"""The login of an address in a text, up to the last `@` that does not begin a part of the path (`/@scope` of npm)."""
IS_LOGIN = re.compile(r"[^/?#]*@|[^/?#:]*:(?!\d*(?:[/?#]|$))")
"""Begins a login, as opposed to a host (and port) with an `@` in its path."""
SECRET_QUERY = re.compile(r"(?i)([?&;][^=&\s]*(?:token|key|sig|secret|passw|auth|credential)[^=&\s]*=)[^&\s'\"`<>]+")
"""A value in the query of an address that is a secret by its name, as in signed addresses of object stores."""
UNSAFE = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&()*+,;=:%-]")
"""Characters that a login must percent-encode: RFC 3986, section 3.2.1, and the quotes of shells."""


@dataclass(frozen=True)
class Address:
    """An address without its login, and the login; user and password are empty without one."""

    url: str
    user: str = ""
    password: str = ""


def masked(text: str) -> str:
    """Return a text in which logins and signatures of addresses are replaced by ***."""

    def replace(found: re.Match[str]) -> str:
        rest = f"{found['login']}@"
        return f"{found['scheme']}{MASK}@" if IS_LOGIN.match(rest) else found[0]

    return SECRET_QUERY.sub(rf"\1{MASK}", LOGIN.sub(replace, text))


def masked_values(value: Any) -> Any:
    """Return a result of a module in which all texts are masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {key: masked_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked_values(item) for item in value]
    return value


def raw_login(url: str) -> str:
    """Return the login of an address as it is written, empty without one."""
    scheme, separator, rest = url.partition("://")
    login = rest[: found.end() - 1] if (found := re.match(r".*[^/]@", rest, re.DOTALL)) else ""
    return login if scheme and separator and IS_LOGIN.match(f"{login}@") and login else ""


def split_login(url: str) -> Address:
    """Return the parts of an address; user and password are decoded, as pip, uv and curl decode them."""
    login = raw_login(url)
    if not login:
        return Address(url)
    scheme, _separator, rest = url.partition("://")
    user, _colon, password = login.partition(":")
    return Address(f"{scheme}://{rest[len(login) + 1 :]}", unquote(user), unquote(password))


def without_login(url: str) -> str:
    """Return an address without its login."""
    return split_login(url).url


def with_login(url: str, login: str) -> str:
    """Return an address with a login as raw_login returns it; the opposite of removing it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{login}@{rest}" if login and separator else url


def secrets(text: str) -> set[str]:
    """Return the passwords and tokens in the addresses of a text, as they are written and decoded."""
    logins = [found["login"] for found in LOGIN.finditer(text) if IS_LOGIN.match(f"{found['login']}@")]
    raw = {password or user for user, _colon, password in (login.partition(":") for login in logins)}
    return {value for value in (*raw, *map(unquote, raw)) if value}


def apt_login(url: str) -> str:
    """Return the line of apt_auth.conf(5) for the login of a mirror, empty without one."""
    parts = split_login(url)
    words = [
        f"machine {parts.url}",
        f"login {parts.user}" if parts.user else "",
        f"password {parts.password}" if parts.password else "",
    ]
    return " ".join(filter(None, words)) if parts.user or parts.password else ""


def is_direct(url: str, no_proxy: Any) -> bool:
    """Return whether the host of an address is reached without a proxy."""
    host = urlsplit(without_login(url)).netloc
    return bool(proxy_bypass_environment(host, {"no": ",".join(no_proxy_hosts(no_proxy))}))


def address_problem(url: str, proxy: bool = False) -> str:
    """Return the reason why programs read an address differently, empty if they do not; it holds no secret.

    The address of a `proxy` can have other schemes than http and https.
    """
    if "://" not in url or url.startswith("file://"):
        return "it contains a quote, a backslash or a blank" if re.search(r"[\s'\"\\]", url) else ""
    if found := UNSAFE.search(raw_login(url)):
        named = "a blank" if found[0].isspace() else "%" if found[0] == "%" else found[0]
        codes = "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))
        return f"its login contains {named}, which must be written as {codes} (percent-encoding)"
    if found := re.search(r"[\s'\"\\<>^`{|}]", without_login(url)):
        named = "a blank" if found[0].isspace() else found[0]
        return f"it contains {named}, which must be written as %{ord(found[0]):02X} (percent-encoding)"
    if not url.startswith(("http://", "https://")) and not proxy:
        return f"{url.partition('://')[0]} is not http or https"
    return port_problem(without_login(url))


def port_problem(url: str) -> str:
    """Return what is wrong with host and port of an address without a login."""
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError as error:
        return f"it is not an address ({error})"
    return "" if parts.hostname else "it names no host"


def is_trusted(url: str, trusted_hosts: Iterable[str]) -> bool:
    """Return whether a list of hosts, each with or without a port, contains the host of an address.

    A host without a port means all its ports, as pip and uv have it; uv also allows an address.
    """
    parts = urlsplit(without_login(url))
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    for entry in trusted_hosts:
        try:
            trusted = urlsplit(entry if "://" in entry else f"//{entry}")
            same_port = trusted.port in (None, port)
        except ValueError:
            continue
        if trusted.hostname and trusted.hostname == parts.hostname and same_port:
            return True
    return False


def no_proxy_hosts(value: Any) -> list[str]:
    """Return the hosts of no_proxy: a text with commas or blanks, or a list. `*.example` becomes `.example`."""
    texts = [value] if isinstance(value, str) else [str(item) for item in value or []]
    hosts = [host for text in texts for host in re.split(r"[\s,;]+", text) if host]
    return [host.removeprefix("*") if host.startswith("*.") else host for host in hosts]
