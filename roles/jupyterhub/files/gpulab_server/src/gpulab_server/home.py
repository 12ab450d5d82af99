# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that a user can write into their home.

`python -I -m gpulab_server.home` runs before the server starts, as the user and inside the server's unit: the home may
have a quota, and its file server may not answer. The exit status is the number of the error (errno(3)), 0 for none.
"""

from __future__ import annotations

import errno
import os
import pwd
import sys
import tempfile

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full home, in which files can still be deleted."""
SIZE = 65536
"""Bytes that are written; an empty file would fit on a full disk."""


def error_of(home: str) -> int:
    """Return the error number of writing a small temporary file, 0 for none."""
    try:
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x" * SIZE)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno or errno.EIO
    return 0


if __name__ == "__main__":
    sys.exit(error_of(pwd.getpwuid(os.getuid()).pw_dir))
