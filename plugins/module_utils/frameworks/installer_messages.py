# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the output of package installers into messages that name the fix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state
from ansible_collections.gpulab.core.plugins.module_utils.common.addresses import masked

DISK_FULL = re.compile(r"No space left|Disk quota exceeded|ENOSPC|EDQUOT|enough free space in")
PATH = re.compile(r"(?<![\w:/.])/[\w.+@~-]+(?:/[\w.+@~-]+)+")
"""An absolute path in the output of an installer, as opposed to the path of an address."""
CLOCK = re.compile(r"(?i)not (?:yet valid|valid yet)|CERT_NOT_YET_VALID|NotValidYet|in the future")
CLOCK_HINT = (
    "The host's clock is wrong, because it is before the time of the package source: compare 'timedatectl' with the "
    "time, run 'timedatectl set-ntp true' on the host (or 'timedatectl set-time'), then run again."
)
HINTS = (
    (CLOCK.pattern, CLOCK_HINT),
    (
        r"is not a trusted or secure host",
        "pip uses a package source without HTTPS only if gpulab_sources.pip.trusted_hosts names its host.",
    ),
    (
        r"(?i:certificate has expired|CERT_HAS_EXPIRED|certificate expired|invalid peer certificate: Expired)",
        "The certificate of the package source has expired, or the host's clock is wrong: compare 'timedatectl' with "
        "the time, and renew the certificate if the clock is right.",
    ),
    (
        r"(?i:certificate|UnknownIssuer|SSL)",
        "The certificate of the package source is not trusted: add its CA to gpulab_sources.ca_certificates.",
    ),
    (
        r"40[137] (?:Unauthorized|Forbidden|Proxy Auth)|npm error code E40[13]|Incorrect or missing password"
        r"|HTTP status client error \(40[137]|40[13] Client Error|User for \S+:|Missing credentials",
        "A package source, or the proxy, rejects the login: check the login in the addresses of gpulab_sources.pip, "
        ".npm, .torch and .proxy.",
    ),
    (
        r"Failed to (?:fetch|download)|error sending request|dns error|Could not connect|ENOTFOUND|ECONN|ETIMEDOUT"
        r"|No matching|was not found in the package registry"
        r"|npm error code E[45]\d\d|Invalid response body|[Pp]remature close",
        "A package source cannot be reached, closes the connection or lacks the package: check gpulab_sources.pip, "
        ".npm and .proxy.",
    ),
    (
        r"you require \S+ and \S+\s|Found \d+ incompatibilit",
        "The extra packages do not fit the lock: change or remove the one that is named last.",
    ),
    (
        r"No solution found|has no wheels",
        "No package source has the locked version for this host's Python: configure one that has it, "
        "in gpulab_sources.torch for PyTorch's CPU build, else in gpulab_sources.pip.",
    ),
    (
        r"hash mismatch|Hash mismatch|EINTEGRITY",
        "The package source served a file that is not what the lock names: nothing was installed from it.",
    ),
    (r"", "The environment in use was not touched."),
)
"""Pairs of a pattern in the output and the fix; the first that matches is used."""


def explain(program: str, output: str, paths: Iterable[str] = ()) -> str:
    """Return one message for a failed installer: the fix and the last lines of its output, without logins.

    `paths` are those that the installer writes to.
    """
    tail = masked("\n".join(output.strip().splitlines()[-12:]))
    if DISK_FULL.search(output):
        hint = f"{disk_full(output, paths)} The environment in use was not touched."
    else:
        hint = next(hint for pattern, hint in HINTS if re.search(pattern, output))
    return f"{program} failed. {hint}\n{tail}"


def disk_full(output: str, paths: Iterable[str] = ()) -> str:
    """Return one sentence about the full file systems: those without space, else those of the paths in the output.

    The space may be free again when the installer has removed what it could not complete.
    """
    lines = [line for line in output.splitlines() if DISK_FULL.search(line)]
    named = [path for line in lines for path in PATH.findall(line)]
    candidates = [Path(path) for path in (*named, *paths) if path]
    full = host_state.full_file_systems(candidates)
    if not full:
        full = sorted({str(host_state.mount_point(Path(path))) for path in named})
    where = f" ({', '.join(dict.fromkeys(named))})" if named else ""
    if not full:
        return f"The disk is full{where}: free some space and run again."
    plural = "file systems" if len(full) > 1 else "file system"
    quota = ", or the quota there is used up" if "uota" in output or "EDQUOT" in output else ""
    return (
        f"The disk is full: the {plural} mounted at {' and '.join(full)}{where}{quota}. Free some space and run again."
    )
