# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls that close the hub's port, from recorded output."""

from __future__ import annotations

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.hub.firewall import firewall_notes

UFW = """Status: active
Logging: on (low)
Default: {default} (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
{rules}
22/tcp (v6)                ALLOW IN    Anywhere (v6)
"""
ZONE = """public (active)
  target: {target}
  interfaces: eth0
  services: dhcpv6-client ssh{services}
  ports: {ports}
  rich rules: {rich}
"""


def ufw(*rules: str, default: str = "deny") -> str:
    """Return ufw's output with these rules."""
    return UFW.format(default=default, rules="\n".join(rules))


def zone(target: str = "default", services: str = "", ports: str = "", rich: str = "") -> str:
    """Return firewalld's output for a zone."""
    return ZONE.format(target=target, services=services, ports=ports, rich=rich)


@pytest.mark.parametrize(
    ("output", "closed"),
    [
        (ufw(), True),
        (ufw(default="allow"), False),
        ("Status: inactive\n", False),
        ("", False),
        (ufw("443/tcp                    ALLOW IN    Anywhere"), False),
        (ufw("443                        ALLOW IN    192.0.2.0/24"), False),
        (ufw("80,443/tcp (Nginx Full)    ALLOW IN    Anywhere"), False),
        (ufw("400:500/tcp                LIMIT IN    Anywhere"), False),
        (ufw("Anywhere                   ALLOW IN    10.0.0.0/8"), False),
        (ufw("192.0.2.1 443/tcp          ALLOW IN    Anywhere"), False),
        (ufw("443/udp                    ALLOW IN    Anywhere"), True),
        (ufw("4430/tcp                   ALLOW IN    Anywhere"), True),
        (ufw("443/tcp (v6)               ALLOW IN    Anywhere (v6)"), True),
        (ufw("443/tcp                    DENY IN     Anywhere", default="allow"), True),
    ],
)
def test_ufw_closes_a_port_without_a_rule(output: str, closed: bool) -> None:
    """The first rule that matches decides, then the default."""
    notes = firewall_notes(output, [443])
    assert bool(notes) is closed
    assert all("ufw allow 443/tcp" in note for note in notes)


@pytest.mark.parametrize(
    ("output", "closed"),
    [
        (zone(), True),
        ("", False),
        ("FirewallD is not running\n", False),
        (zone(target="ACCEPT"), False),
        (zone(target="DROP"), True),
        (zone(services=" https"), False),
        (zone(services=" http"), True),
        (zone(ports="443/tcp"), False),
        (zone(ports="80/tcp 8000-8100/tcp 400-500/tcp"), False),
        (zone(ports="443/udp"), True),
        (zone(rich='\n\trule family="ipv4" port port="443" protocol="tcp" accept'), False),
    ],
)
def test_firewalld_closes_a_port_without_a_rule(output: str, closed: bool) -> None:
    """Services, ports, ranges and rich rules open it."""
    notes = firewall_notes(output, [443])
    assert bool(notes) is closed
    assert all("--add-port=443/tcp" in note for note in notes)


def test_every_port_is_named() -> None:
    """That of the redirect, too, and by both firewalls."""
    assert len(firewall_notes(ufw(), [8443, 80])) == 2
    assert len(firewall_notes(ufw() + zone(), [8443, 80])) == 4
