# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What installers of packages say when they fail, and the fix."""

from __future__ import annotations

import re

FULL = re.compile(r"No space left|Disk quota exceeded")
HINTS = (
    (
        FULL.pattern,
        "The disk is full: free some space and run again; the environment in use was not touched.",
    ),
    (
        r"is not a trusted or secure host",
        "pip asks a source without HTTPS only where gpulab_sources.pip.trusted_hosts names its host.",
    ),
    (
        r"(?i:certificate|UnknownIssuer|SSL)",
        "The package source's certificate is not trusted: name its authority in gpulab_sources.ca_certificates.",
    ),
    (
        r"Failed to (?:fetch|download)|error sending request|dns error|Could not connect|ENOTFOUND|ECONN|ETIMEDOUT"
        r"|No matching|was not found in the package registry"
        r"|npm error code E[45]\d\d|Invalid response body|[Pp]remature close",
        "A package source cannot be reached, breaks off or lacks it: see gpulab_sources.pip, .npm and .proxy.",
    ),
    (
        r"you require \S+ and \S+\s|Found \d+ incompatibilit",
        "The packages that were added do not fit the lock: change or leave out what is named last.",
    ),
    (
        r"No solution found|has no wheels",
        "No package source has what the lock names for this host's Python: name one that has it, "
        "in gpulab_sources.torch for PyTorch's CPU build, else in gpulab_sources.pip.",
    ),
    (
        r"hash mismatch|Hash mismatch|EINTEGRITY",
        "What the source served is not what the lock names: nothing was installed from it.",
    ),
    (r"", "The environment in use was not touched."),
)
"""What installers say (a pattern), and the fix; the first that fits is told."""


def explain(program: str, output: str) -> str:
    """Turn an installer's last words into one message that names the fix."""
    tail = "\n".join(output.strip().splitlines()[-12:])
    hint = next(hint for pattern, hint in HINTS if re.search(pattern, output))
    return f"{program} failed. {hint}\n{tail}"
