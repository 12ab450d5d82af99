# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module like `python -m`, without the working directory on the module search path.

`python kernel_start.py MODULE ARGUMENT...` runs in the environment of the kernel and needs its standard library only.
Where other users can write to the working directory, cells search it last for modules: otherwise the kernel's own
imports, such as for completions or at its end, would run their code.
"""

import sys


def exclusive(directory: str) -> bool:
    """Return whether only the user can create files in a directory; access control lists show in the group bits."""
    import os
    from pathlib import Path

    state = Path(directory).stat()
    return state.st_uid == os.getuid() and not state.st_mode & 0o022


def last(application: object) -> None:
    """Replace IPython's init_path: cells import from the working directory after all installed packages."""
    if not getattr(application, "ignore_cwd", False):
        sys.path.append("")


def main() -> None:
    """Run the module."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        # The directory of this file, which belongs to the server's environment.
        sys.path.pop(0)
    import runpy

    if not exclusive("."):
        try:
            from IPython.core.shellapp import InteractiveShellApp

            InteractiveShellApp.init_path = last
        except ImportError:
            pass
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
