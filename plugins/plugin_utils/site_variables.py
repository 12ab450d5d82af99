"""What can be said about the settings before any host is asked. Pure functions: problems out, as sentences."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.gpulab.core.plugins.plugin_utils.users.problems import user_problems as user_problems

PREFIX = "gpulab_"


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Find site-wide names that no role knows, each with the likeliest meant one."""
    allowed = sorted(known)
    found = []
    for name in sorted(set(names)):
        if name.startswith(PREFIX) and name not in allowed:
            # Without the prefix, which would make everything look alike.
            words = [each.removeprefix(PREFIX) for each in allowed]
            near = difflib.get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.6)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else "docs/variables.md lists them all."
            found.append(f"there is no setting {name}: {hint}")
    return found


def misspelt_options(names: Iterable[str], options: Mapping[str, Iterable[str]]) -> list[str]:
    """Find near-misses of the roles' own options; other users' variables with the same prefix pass.

    `options` holds the option names by role.
    """
    found = []
    known = {option for each in options.values() for option in each}
    for name in sorted(set(names) - known):
        prefix = next((role for role in options if name.startswith(f"{role}_")), None)
        if prefix and (near := difflib.get_close_matches(name, list(options[prefix]), n=1, cutoff=0.9)):
            found.append(f"{name} looks like a slip of the pen for {near[0]} (role {prefix}).")
    return found


def hub_problems(
    address: str, tls: Mapping[str, Any], login: Mapping[str, Any] | None = None, networks: Sequence[str] = ()
) -> list[str]:
    """Find combinations of address, certificate and login that would be unsafe or cannot be applied."""
    mode = tls.get("mode") or "generated"
    found = []
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        return [f"gpulab_hub_address: {address!r} is not an IP address."]
    if mode == "none" and not loopback:
        found.append(
            f"gpulab_hub_address {address} without TLS would send passwords in the clear: "
            "choose gpulab_tls.mode generated or own, or listen on 127.0.0.1."
        )
    if mode == "own" and not (tls.get("certificate") and tls.get("key")):
        found.append("gpulab_tls.mode own needs gpulab_tls.certificate and gpulab_tls.key.")
    if mode == "acme":
        found.append("gpulab_tls.mode acme is not implemented yet: choose generated or own.")
    kind = (login or {}).get("kind") or "pam"
    if kind != "pam":
        found.append(f"gpulab_login.kind {kind} is not implemented yet: choose pam.")
    for network in networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            found.append(
                f"gpulab_login_allow_list: {network!r} is not an address or a network: "
                "write 192.0.2.1 or 192.0.2.0/24, say."
            )
    return found


def unbuilt(settings: Mapping[str, Any]) -> list[str]:
    """Reject settings that this release knows and cannot apply, rather than pass over them in silence."""
    built: dict[str, tuple[object, ...]] = {
        "gpulab_gpu_sharing": ("auto", "none"),
        "gpulab_cuda_versions": ([], None),
        "gpulab_conda": ("auto", "false", False),
    }
    return [
        f"{name}: {settings[name]!r} is not implemented yet; this release supports "
        f"{' and '.join(str(value) for value in values if value not in (None, False)) or 'nothing here'} only."
        for name, values in built.items()
        if name in settings and settings[name] not in values
    ]
