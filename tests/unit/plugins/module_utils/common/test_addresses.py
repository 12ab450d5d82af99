# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins in addresses: read, masked, and rejected where programs would read them differently."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.common import addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://svc:s3cret@mirror.lab.example/simple", "http://***@mirror.lab.example/simple"),
        ("http://svc:s3cret@mirror.lab.example:8081/simple", "http://***@mirror.lab.example:8081/simple"),
        ("https://s3cret@mirror.lab.example/simple", "https://***@mirror.lab.example/simple"),
        ("https://svc:s3c@ret@mirror/simple: HTTP 401", "https://***@mirror/simple: HTTP 401"),
        ("https://svc:s3c/r@et@mirror/simple", "https://***@mirror/simple"),
        ("git+https://svc:s3cret#1@mirror/x.git failed", "git+https://***@mirror/x.git failed"),
        ("two: 'http://a:s3cret@one/' \"https://s3cret@two/\"", "two: 'http://***@one/' \"https://***@two/\""),
        ("https://svc:s3cret@registry/@scope/name", "https://***@registry/@scope/name"),
        ("https://registry/@scope/name", "https://registry/@scope/name"),
        ("https://mirror:8443/simple/a@1.0.whl", "https://mirror:8443/simple/a@1.0.whl"),
        ("https://mirror:8443/simple/", "https://mirror:8443/simple/"),
        ("ada@lab.example wrote to http://mirror/", "ada@lab.example wrote to http://mirror/"),
        ("https://b.s3/x.deb?X-Amz-Signature=s3cret&v=1", "https://b.s3/x.deb?X-Amz-Signature=***&v=1"),
        ("https://mirror/x.deb?private_token=s3cret", "https://mirror/x.deb?private_token=***"),
    ],
)
def test_logins_are_masked_in_any_text(text: str, expected: str) -> None:
    """Host, port and path stay readable; addresses without a login stay as they are."""
    assert addresses.masked(text) == expected


def test_results_of_modules_are_masked_at_any_depth() -> None:
    """Numbers and keys stay."""
    value = {"msg": "http://a:s3cret@h/", "lines": ["ftp://s3cret@h/", 1], "rc": 100}
    assert addresses.masked_values(value) == {"msg": "http://***@h/", "lines": ["ftp://***@h/", 1], "rc": 100}


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://svc:s3cret@mirror/simple", ("http://mirror/simple", "svc", "s3cret")),
        ("http://svc:s%40c%2Fr@mirror:81/", ("http://mirror:81/", "svc", "s@c/r")),
        ("https://token@[::1]:8443/", ("https://[::1]:8443/", "token", "")),
        ("https://:pw@mirror/", ("https://mirror/", "", "pw")),
        ("https://mirror:8443/@scope", ("https://mirror:8443/@scope", "", "")),
        ("/srv/wheels", ("/srv/wheels", "", "")),
    ],
)
def test_login_is_split_and_decoded(url: str, parts: tuple[str, str, str]) -> None:
    """Percent-encoding is undone in the login alone."""
    found = addresses.split_login(url)
    assert (found.url, found.user, found.password) == parts


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://svc:s3cret#x@mirror/", "contains #, which must be written as %23"),
        ("http://svc:s3cret%x@mirror/", "contains %, which must be written as %25"),
        ("http://svc:s3cret/x@mirror/", "contains /, which must be written as %2F"),
        ("http://svc:s3cret@x@mirror/", "contains @, which must be written as %40"),
        ("http://svc:s3cret'x@mirror/", "contains ', which must be written as %27"),
        ('http://svc:s3cret"x@mirror/', 'contains ", which must be written as %22'),
        ("http://svc:s3cret\\x@mirror/", "contains \\, which must be written as %5C"),
        ("http://svc:s3cret x@mirror/", "contains a blank, which must be written as %20"),
        ("http://svc:s3cretä@mirror/", "contains ä, which must be written as %C3%A4"),
        ("http://mirror/my wheels", "contains a blank, which must be written as %20"),
        ("http://mirror:84x3/simple", "it is not an address"),
        ("http:///simple", "it names no host"),
        ("/srv/my wheels", "a blank"),
    ],
)
def test_address_that_programs_read_differently_is_rejected(url: str, words: str) -> None:
    """The message names the character and its code, and never the login."""
    problem = addresses.address_problem(url)
    assert words in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "http://svc:pa&s(s)$;*!=+,@proxy.lab.example:3128",
        "http://svc:s%40c%23r@mirror/simple",
        "https://token@[2001:db8::1]:8443/simple/",
        "https://mirror/debian?x=1",
        "file:///srv/wheels",
        "/srv/wheels",
    ],
)
def test_other_addresses_pass(url: str) -> None:
    """Characters that RFC 3986 allows in a login need no code."""
    assert addresses.address_problem(url) == ""


@pytest.mark.parametrize(
    ("url", "hosts", "expected"),
    [
        ("https://mirror:8443/simple", ["mirror"], True),
        ("https://mirror:8443/simple", ["mirror:8443"], True),
        ("https://svc:pw@mirror:8443/simple", ["MIRROR:8443"], True),
        ("https://mirror/simple", ["mirror:443"], True),
        ("https://mirror/simple", ["https://mirror"], True),
        ("https://[::1]:8443/simple", ["[::1]:8443"], True),
        ("https://mirror/simple", ["mirror:8443"], False),
        ("https://mirror.lab.example/simple", ["mirror"], False),
        ("https://mirror.evil/simple", ["mirror:x"], False),
        ("https://mirror/simple", [], False),
    ],
)
def test_trusted_hosts_are_compared_by_host_and_port(url: str, hosts: list[str], expected: bool) -> None:
    """A host without a port means all its ports."""
    assert addresses.is_trusted(url, hosts) is expected


@pytest.mark.parametrize(
    "value",
    [
        "localhost, 127.0.0.1, .lab.example",
        "localhost 127.0.0.1\n*.lab.example,",
        ["localhost", "127.0.0.1 ,.lab.example"],
    ],
)
def test_no_proxy_is_read_as_it_is_written(value: str | list[str]) -> None:
    """Blanks, commas, a list and a star give the same hosts."""
    assert addresses.no_proxy_hosts(value) == ["localhost", "127.0.0.1", ".lab.example"]


@pytest.mark.parametrize("url", ["ftp://mirror/simple", "htps://mirror/simple", "ssh://git@mirror/simple"])
def test_address_of_another_scheme_is_named(url: str) -> None:
    """Of a source; a proxy can have one."""
    assert addresses.address_problem(url).endswith(" is not http or https")
    assert addresses.address_problem("socks5h://proxy:1080", proxy=True) == ""
