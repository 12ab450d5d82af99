# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the hub's options."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.hub.options import hub_problems


@pytest.mark.parametrize(
    ("address", "tls", "words"),
    [
        ("0.0.0.0", {"mode": "none"}, "without TLS"),
        ("::", {"mode": "none"}, "without TLS"),
        ("lab.example", {}, "not an IP address"),
        ("0.0.0.0", {"mode": "own"}, "gpulab_tls.certificate"),
        ("0.0.0.0", {"mode": "acme"}, "not implemented yet"),
    ],
)
def test_unsafe_hub_is_rejected(address: str, tls: dict[str, Any], words: str) -> None:
    """Each combination gives one sentence with these words in it."""
    problems = hub_problems(address, tls)
    assert len(problems) == 1
    assert words in problems[0]


def test_loopback_needs_no_certificate() -> None:
    """Connections within the host cannot be read by others."""
    assert hub_problems("127.0.0.1", {"mode": "none"}) == []
    assert hub_problems("0.0.0.0", {}) == []


def test_problem_names_the_option_and_the_site_variable() -> None:
    """For a role that is used alone, and for a site."""
    assert "jupyterhub_tls.mode (gpulab_tls.mode)" in hub_problems("127.0.0.1", {"mode": "own"})[0]


@pytest.mark.parametrize("network", ["192.0.2.1", "192.0.2.0/24", "192.0.2.7/24", "2001:db8::/64"])
def test_addresses_and_networks_are_allowed(network: str) -> None:
    """Host bits in a network are ignored."""
    assert hub_problems("127.0.0.1", {}, [network]) == []


def test_other_text_in_the_allow_list_is_rejected() -> None:
    """With the value and an example."""
    problems = hub_problems("127.0.0.1", {}, ["lab.example", "192.0.2.1"])
    assert len(problems) == 1
    assert "jupyterhub_login_allow_list (gpulab_login_allow_list): 'lab.example'" in problems[0]


@pytest.mark.parametrize("port", [0, -1, 65536, 70000, "70000"])
def test_number_that_is_not_a_port_is_rejected(port: int | str) -> None:
    """The proxy would not start with it; an INI inventory gives text."""
    problems = hub_problems("0.0.0.0", {}, port=port)
    assert problems == [f"jupyterhub_port (gpulab_hub_port): {port} is not a port. Set a number from 1 to 65535."]


@pytest.mark.parametrize("port", [1, 443, "8443", 65535])
def test_ports_pass(port: int | str) -> None:
    """From the first to the last."""
    assert hub_problems("0.0.0.0", {}, port=port, redirect=True) == []


def test_hub_and_redirection_cannot_share_a_port() -> None:
    """Without TLS nothing redirects."""
    assert "redirects to the hub" in hub_problems("0.0.0.0", {}, port=80, redirect=True)[0]
    assert hub_problems("127.0.0.1", {"mode": "none"}, port=80, redirect=True) == []
