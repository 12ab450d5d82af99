# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a firewall of the host closes the hub's port, from the output of ufw and firewalld. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable

UFW_RULE = re.compile(r"^(?P<to>\S.*?)\s{2,}(?P<action>ALLOW|LIMIT|DENY|REJECT)(?: IN)?\s", re.MULTILINE)
"""A rule in the output of `ufw status verbose`, which is numbered in no way and in the order of evaluation."""
SERVICES = {"http": 80, "https": 443}
"""Services of firewalld by name, of ports that the hub uses by default (firewalld's services/*.xml)."""


def firewall_notes(output: str, ports: Iterable[int]) -> list[str]:
    """Return one sentence for each port that a firewall closes, with the command that opens it.

    `output` is that of `ufw status verbose` and of `firewall-cmd --list-all`, in English; empty without both programs.
    """
    notes = []
    for port in ports:
        if ufw_closes(output, port):
            notes.append(f"port {port} is closed by ufw: `ufw allow {port}/tcp` opens it.")
        if firewalld_closes(output, port):
            notes.append(
                f"port {port} is closed by firewalld: `firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd "
                "--reload` opens it."
            )
    return notes


def contains(ports: str, port: int) -> bool:
    """Return whether a list of ports and ranges, such as 80,443/tcp or 8000:8100/tcp, contains a port of TCP."""
    numbers, _slash, protocol = ports.partition("/")
    if protocol not in ("", "tcp"):
        return False
    for part in numbers.split(","):
        first, _colon, last = part.replace("-", ":").partition(":")
        if first.isdigit() and int(first) <= port <= int(last if last.isdigit() else first):
            return True
    return False


def ufw_closes(status: str, port: int) -> bool:
    """Return whether ufw is active and lets no other host reach a port. The first rule that matches decides."""
    if not re.search(r"^Status: active", status, re.MULTILINE):
        return False
    for rule in UFW_RULE.finditer(status):
        words = rule["to"].split()
        if rule["to"].endswith("(v6)"):
            continue
        # `Anywhere` is every port, `443/tcp on eth0` and `192.0.2.1 443/tcp` one of a part of the host.
        if words[0] == "Anywhere" or any(contains(word, port) for word in words):
            return rule["action"] in ("DENY", "REJECT")
    default = re.search(r"^Default: (\w+) \(incoming\)", status, re.MULTILINE)
    return default is not None and default[1] != "allow"


def firewalld_closes(zone: str, port: int) -> bool:
    """Return whether the default zone of firewalld lets no other host reach a port."""
    values = dict(line.strip().partition(": ")[::2] for line in zone.splitlines() if ":" in line)
    if "target" not in values or values["target"] == "ACCEPT":
        return False
    services = [SERVICES.get(name) for name in values.get("services", "").split()]
    rich = f'port port="{port}" protocol="tcp" accept'
    allowed = any(contains(entry, port) for entry in values.get("ports", "").split())
    return not (allowed or port in services or rich in zone)
