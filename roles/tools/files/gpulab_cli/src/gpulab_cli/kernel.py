# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab kernel`: register a user's own environment as a kernel in Jupyter."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
"""Names of kernels that Jupyter accepts, without capital letters."""
QUERY_SECONDS = 60
INSTALL_SECONDS = 900


class KernelError(Exception):
    """The kernel cannot be registered or removed; the message names the fix."""


class Kernel:
    """The subcommand."""

    help = "register your own environment (venv or conda) as a kernel in Jupyter, list such kernels, remove one"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        add = actions.add_parser("add", help="register an environment")
        add.add_argument("path", type=Path, help="directory of the environment")
        add.add_argument("--name", help="name of the kernel (default: the name of the directory)")
        add.add_argument("--title", help="title in the launcher")
        actions.add_parser("list", help="list your kernels")
        remove = actions.add_parser("remove", help="remove a kernel; its environment stays")
        remove.add_argument("name")

    def run(self, options: argparse.Namespace) -> int:
        """Add, remove or list kernels."""
        try:
            if options.action == "add":
                lines = [add(options.path, options.name, options.title)]
            elif options.action == "remove":
                lines = [remove(options.name)]
            else:
                lines = [f"{name}: {python}" for name, python in own_kernels().items()]
        except KernelError as error:
            sys.stderr.write(f"gpulab kernel: {error}\n")
            return 1
        except subprocess.TimeoutExpired as error:
            sys.stderr.write(f"gpulab kernel: {error.cmd[0]} did not end within {error.timeout:.0f} seconds\n")
            return 1
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 0


def kernels_directory() -> Path:
    """Return the directory in which Jupyter searches for the user's own kernels."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "jupyter" / "kernels"


def interpreter(path: Path) -> Path:
    """Return the Python of an environment; raise KernelError if there is none."""
    python = path.expanduser().absolute() / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise KernelError(
            f"{path} is not an environment with Python ({python} does not exist). Create one: python3 -m venv {path}, "
            f"or conda create --prefix {path} python ipykernel."
        )
    return python


def launcher(python: Path) -> str | None:
    """Return the file that starts a kernel in an environment; None if ipykernel is not installed.

    Isolated (-I): Python would search the current directory first, which other users may be able to write to.
    """
    code = "import importlib.util as util; print(getattr(util.find_spec('ipykernel_launcher'), 'origin', ''))"
    argv = [str(python), "-I", "-c", code]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False)
    return result.stdout.strip() or None


def installed_launcher(python: Path) -> str:
    """Return the file that starts a kernel; install ipykernel if it is missing and the environment has pip."""
    if path := launcher(python):
        return path
    argv = [str(python), "-I", "-m", "pip", "install", "--quiet", "ipykernel"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if result.returncode == 0 and (path := launcher(python)):
        return path
    reason = (result.stderr.strip().splitlines() or ["pip printed no reason"])[-1]
    raise KernelError(
        f"ipykernel is not installed in {python.parents[1]}, and installing it failed ({reason}). Install it with "
        f"`{python} -m pip install ipykernel` or `conda install ipykernel`, then run this command again."
    )


def specification(python: Path, title: str, start: str) -> dict[str, object]:
    """Return the kernel specification. The environment's programs are first on PATH, as if it had been activated."""
    root = python.parents[1]
    kind = "CONDA_PREFIX" if (root / "conda-meta").is_dir() else "VIRTUAL_ENV"
    return {
        "argv": [str(python), start, "-f", "{connection_file}"],
        "display_name": title,
        "language": "python",
        "env": {"PATH": f"{python.parent}:${{PATH}}", kind: str(root), "RETICULATE_PYTHON": str(python)},
        "metadata": {"debugger": True, "gpulab": "own"},
    }


def add(path: Path, name: str | None, title: str | None) -> str:
    """Register an environment and return a message for the user."""
    python = interpreter(path)
    kernel = (name or python.parents[1].name.lstrip(".")).lower()
    if not NAME.fullmatch(kernel):
        raise KernelError(
            f"{kernel!r} is not a valid name for a kernel: choose one of small letters, digits, dots, - and _ "
            "with --name."
        )
    directory = kernels_directory() / kernel
    if directory.exists() and kernel not in own_kernels():
        raise KernelError(f"{directory} exists and was not created by this command: choose another name with --name.")
    start = installed_launcher(python)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(specification(python, title or f"{kernel} (yours)", start), indent=1)
    (directory / "kernel.json").write_text(text + "\n", encoding="utf-8")
    return f"Kernel {kernel} is registered and runs {python}. Reload Jupyter's launcher to see it."


def own_kernels() -> dict[str, str]:
    """Return the kernels that this command has registered, with their interpreters."""
    kernels = {}
    for path in sorted(kernels_directory().glob("*/kernel.json")):
        try:
            spec = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if spec.get("metadata", {}).get("gpulab") == "own":
            kernels[path.parent.name] = spec["argv"][0]
    return kernels


def remove(name: str) -> str:
    """Remove a kernel and return a message for the user."""
    if name not in own_kernels():
        raise KernelError(f"you have no kernel {name}; your kernels: {', '.join(own_kernels()) or 'none'}.")
    shutil.rmtree(kernels_directory() / name)
    return f"Kernel {name} is removed; its environment stays."
