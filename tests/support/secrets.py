# SPDX-License-Identifier: GPL-3.0-or-later
"""Search output for secrets: `python -m tests.support.secrets SECRETS LOG...` names the logs that hold one.

SECRETS is a file with one on each line, or a directory of demo passwords.
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


def known(path: Path) -> list[str]:
    """Return the secrets of a file, one on each line, or of a directory of demo passwords: each file's first word."""
    if path.is_dir():
        return [file.read_text(encoding="utf-8").split()[0] for file in sorted(path.iterdir())]
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]


def main(arguments: list[str]) -> int:
    """Search logs for secrets; return 1 where there is one, and 2 where there is nothing to search for or in."""
    secrets, logs = known(Path(arguments[0])), [Path(name) for name in arguments[1:]]
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in logs}
    if not secrets or not any(texts.values()):
        sys.stdout.write("secrets: there is nothing to search for, or no output to search in\n")
        return 2
    holding = [path for path, text in texts.items() if leaks(text, secrets)]
    # The lines stay where they are: this output is a log, too.
    sys.stdout.write("".join(f"{path} holds a secret\n" for path in holding))
    sys.stdout.write(f"{len(logs)} outputs were searched for {len(secrets)} secrets\n")
    return 1 if holding else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
