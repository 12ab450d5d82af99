# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the hub's options that an argument specification cannot express."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

REDIRECT_PORT, LAST_PORT = 80, 65535
HOST_NAME = re.compile(
    r"(\*\.)?([a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?\Z"
)
LONGEST_NAME = 253


def hub_problems(
    address: str, tls: Mapping[str, Any], networks: Sequence[str] = (), port: object = 443, redirect: bool = False
) -> list[str]:
    """Return one sentence for each unsafe combination of address and certificate, wrong network and wrong port.

    `redirect` is whether port 80 redirects to the hub. Sentences name the role option and, in brackets, the site
    variable that sets it.
    """
    return [
        *_address_problems(address, tls),
        *_certificate_problems(tls),
        *_name_problems(tls.get("names") or []),
        *_allow_list_problems(networks),
        *_port_problems(port, redirect and tls.get("mode") != "none"),
    ]


def _port_problems(port: object, redirect: bool) -> list[str]:
    if not (str(port).isdecimal() and 1 <= int(str(port)) <= LAST_PORT):
        return [f"jupyterhub_port (gpulab_hub_port): {port} is not a port. Set a number from 1 to {LAST_PORT}."]
    if redirect and int(str(port)) == REDIRECT_PORT:
        return [
            f"jupyterhub_port (gpulab_hub_port): {port} is the port that redirects to the hub. Set another port, or "
            "jupyterhub_http_redirect_enabled (gpulab_http_redirect_enabled) to false."
        ]
    return []


def _address_problems(address: str, tls: Mapping[str, Any]) -> list[str]:
    try:
        loopback = ipaddress.ip_address(str(address)).is_loopback
    except ValueError:
        return [
            f"jupyterhub_address (gpulab_hub_address): {str(address)!r} is not an IP address. "
            "Set an address of the host, 0.0.0.0 for all or 127.0.0.1 for none but the host itself."
        ]
    if tls.get("mode") == "none" and not loopback:
        return [
            f"jupyterhub_address (gpulab_hub_address): {address} without TLS would send passwords in the clear. "
            "Set jupyterhub_tls.mode (gpulab_tls.mode) to generated or own, or listen on 127.0.0.1."
        ]
    return []


def _certificate_problems(tls: Mapping[str, Any]) -> list[str]:
    mode = tls.get("mode")
    if mode == "own" and not (tls.get("certificate") and tls.get("key")):
        return [
            "jupyterhub_tls.mode (gpulab_tls.mode): own requires jupyterhub_tls.certificate (gpulab_tls.certificate) "
            "and jupyterhub_tls.key (gpulab_tls.key). Set both to files on the controller."
        ]
    if mode == "acme":
        return ["jupyterhub_tls.mode (gpulab_tls.mode): acme is not implemented yet. Set it to generated or own."]
    return []


def _name_problems(names: Sequence[str]) -> list[str]:
    """Report names that a certificate cannot have (RFC 1123, RFC 6125: one star, for a whole label)."""
    problems = []
    for name in map(str, names):
        try:
            ipaddress.ip_address(name)
        except ValueError:
            if not HOST_NAME.match(name) or len(name) > LONGEST_NAME:
                problems.append(
                    f"jupyterhub_tls.names (gpulab_tls.names): {name!r} is not the name or the address of a host. "
                    "Write it like lab.example or 192.0.2.1, without https:// and port."
                )
    return problems


def _allow_list_problems(networks: Sequence[str]) -> list[str]:
    problems = []
    for network in networks:
        try:
            ipaddress.ip_network(str(network), strict=False)
        except ValueError:
            problems.append(
                f"jupyterhub_login_allow_list (gpulab_login_allow_list): {network!r} is not an address or a network. "
                "Write it like 192.0.2.1 or 192.0.2.0/24."
            )
    return problems
