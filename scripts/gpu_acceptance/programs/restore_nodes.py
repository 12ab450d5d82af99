# SPDX-License-Identifier: GPL-3.0-or-later
"""Put back modes and ACLs of files when standard input ends, also when the program that changed them was killed.

The first line is a list in JSON: path, mode, and the ACL in hexadecimal digits (null: none).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

ACL = "system.posix_acl_access"


def restore(path: str, mode: int, acl: str | None) -> None:
    """Put back one file; the ACL first, because its mask is part of the mode."""
    if acl is None:
        with contextlib.suppress(OSError):
            os.removexattr(path, ACL)
    else:
        os.setxattr(path, ACL, bytes.fromhex(acl))
    os.chmod(path, mode)  # noqa: PTH101


def main() -> None:
    """Run the command line."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    entries = json.loads(sys.stdin.readline() or "[]")
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201
    sys.stdin.read()
    problems = []
    for path, mode, acl in entries:
        try:
            restore(path, mode, acl)
        except OSError as error:
            problems.append(f"{path}: {error}")
    with contextlib.suppress(OSError):
        print(json.dumps({"problems": problems}), flush=True)  # noqa: T201


main()
