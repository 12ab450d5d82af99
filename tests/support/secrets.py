# SPDX-License-Identifier: GPL-3.0-or-later
"""Search output for secrets: `python -m tests.support.secrets SECRETS LOG...` prints the lines that hold one.

The file SECRETS has one on each line.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Characters of the shortest text that counts as a secret: shorter ones occur by chance."""


def forms(secret: str) -> set[str]:
    """Return the forms in which a program may print a secret: as it is, in an address, in JSON, in a login header."""
    encoded = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    # Three positions in a longer text give three encodings of its middle.
    padded = (base64.b64encode(b"x" * before + secret.encode()).decode() for before in range(3))
    middle = {text[4 if before else 0 : -4] for before, text in enumerate(padded)}
    return {form for form in encoded | middle if len(form) >= SHORTEST}


def leaks(output: str, secrets: Iterable[str]) -> list[str]:
    """Return the lines of an output that hold a secret. Line breaks of a terminal within a secret do not hide it."""
    wanted = {form for secret in secrets for form in forms(secret)}
    lines = [line for line in output.splitlines() if any(form in line for form in wanted)]
    joined = "".join(output.split())
    return lines or [form for form in wanted if "".join(form.split()) in joined]


def main(arguments: list[str]) -> int:
    """Search logs for the secrets of a file, one on a line; return 1 where there is one."""
    secrets = Path(arguments[0]).read_text(encoding="utf-8").split("\n")
    found = [
        f"{name}: {line}"
        for name in arguments[1:]
        for line in leaks(Path(name).read_text(encoding="utf-8", errors="replace"), [each for each in secrets if each])
    ]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
