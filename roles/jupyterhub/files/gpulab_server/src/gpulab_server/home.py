"""Check that a user can write into their home.

`python -I -m gpulab_server.home` runs before the server starts, as the user and inside the server's unit: the home
may have a quota, and may not answer. The exit status is the number of the error (errno(3)), 0 when everything is
well.
"""

from __future__ import annotations

import errno
import os
import pwd
import sys
import tempfile

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a home in which things can still be deleted."""
SIZE = 65536
"""Bytes that are written; an empty file fits where nothing else does."""


def error_of(home: str) -> int:
    """Return the error of writing a small file, 0 for none. Nothing of the file remains, whatever happens."""
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
