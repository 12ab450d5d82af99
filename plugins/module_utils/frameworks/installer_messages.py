# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn the output of package installers into messages that name the fix."""

from __future__ import annotations

import re

DISK_FULL = re.compile(r"No space left|Disk quota exceeded")
HINTS = (
    (
        DISK_FULL.pattern,
        "The disk is full: free some space and run again; the environment in use was not touched.",
    ),
    (
        r"is not a trusted or secure host",
        "pip uses a package source without HTTPS only if gpulab_sources.pip.trusted_hosts names its host.",
    ),
    (
        r"(?i:certificate|UnknownIssuer|SSL)",
        "The certificate of the package source is not trusted: add its CA to gpulab_sources.ca_certificates.",
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


def explain(program: str, output: str) -> str:
    """Return one message for a failed installer: the fix and the last lines of its output."""
    tail = "\n".join(output.strip().splitlines()[-12:])
    hint = next(hint for pattern, hint in HINTS if re.search(pattern, output))
    return f"{program} failed. {hint}\n{tail}"
