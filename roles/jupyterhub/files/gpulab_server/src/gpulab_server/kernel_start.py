"""Run a module as `python -m` does, without looking for it in the working directory.

`python kernel_start.py MODULE ARGUMENT...` runs in the environment of the kernel, of which it needs the standard
library alone. Where others may write to the working directory, cells look for modules there last: what a kernel
imports by itself, such as for completions or when it ends, would else be theirs.
"""

import sys


def exclusive(directory: str) -> bool:
    """Return whether the user alone can put files into a directory; lists of access show in the bits of the group."""
    import os
    from pathlib import Path

    state = Path(directory).stat()
    return state.st_uid == os.getuid() and not state.st_mode & 0o022


def last(application: object) -> None:
    """Replace IPython's init_path: cells import from the working directory after everything that is installed."""
    if not getattr(application, "ignore_cwd", False):
        sys.path.append("")


def main() -> None:
    """Run the module."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        # This file's directory, which belongs to the server's environment.
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
