"""Subcommand `gpulab kernel`: an environment of one's own as a kernel in Jupyter."""

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
"""What Jupyter accepts as the name of a kernel, less capitals."""


class KernelError(Exception):
    """It cannot be; the text says why and what to do."""


class Kernel:
    """The subcommand."""

    help = "offer an environment of your own (venv or conda) as a kernel in Jupyter, list such kernels, remove one"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        add = actions.add_parser("add", help="offer an environment")
        add.add_argument("path", type=Path, help="directory of the environment")
        add.add_argument("--name", help="name of the kernel; the directory's, unless given")
        add.add_argument("--title", help="what the launcher shows")
        actions.add_parser("list", help="list your kernels")
        remove = actions.add_parser("remove", help="take a kernel away; its environment stays")
        remove.add_argument("name")

    def run(self, options: argparse.Namespace) -> int:
        """Do it."""
        try:
            if options.action == "add":
                self._say(add(options.path, options.name, options.title))
            elif options.action == "remove":
                self._say(remove(options.name))
            else:
                for name, python in listed().items():
                    self._say(f"{name}: {python}")
        except KernelError as error:
            sys.stderr.write(f"gpulab kernel: {error}\n")
            return 1
        return 0

    def _say(self, text: str) -> None:
        sys.stdout.write(text + "\n")


def directory() -> Path:
    """Give where Jupyter looks for a user's own kernels, also when its other data is kept elsewhere for now."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "jupyter" / "kernels"


def interpreter(path: Path) -> Path:
    """Find the Python of an environment; raise KernelError where there is none."""
    python = path.expanduser().absolute() / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise KernelError(
            f"{path} is no environment with Python (no {python}). Make one: python3 -m venv {path}, "
            f"or conda create --prefix {path} python ipykernel."
        )
    return python


def launcher(python: Path) -> str | None:
    """Return the file that starts a kernel in an environment; None where ipykernel is missing.

    Isolated (-I): Python would look in the directory that the command was called in first, which others may write.
    """
    code = "import importlib.util as util; print(getattr(util.find_spec('ipykernel_launcher'), 'origin', ''))"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip() or None


def prepare(python: Path) -> str:
    """Return the file that starts a kernel; install ipykernel where it is missing and the environment's pip can."""
    if found := launcher(python):
        return found
    argv = [str(python), "-I", "-m", "pip", "install", "--quiet", "ipykernel"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == 0 and (found := launcher(python)):
        return found
    raise KernelError(
        f"ipykernel is missing and could not be installed ({done.stderr.strip().splitlines()[-1:]}). Install it "
        f"yourself, with {python} -m pip install ipykernel or conda install ipykernel, then run this again."
    )


def specification(python: Path, title: str, start: str) -> dict[str, object]:
    """Describe the kernel. Its own programs come first on PATH, as if the environment had been activated."""
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
    """Offer an environment; give what to tell the user."""
    python = interpreter(path)
    chosen = (name or python.parents[1].name.lstrip(".")).lower()
    if not NAME.fullmatch(chosen):
        raise KernelError(
            f"{chosen!r} is no name for a kernel: small letters, digits, dot, - and _; choose with --name."
        )
    place = directory() / chosen
    if place.exists() and chosen not in listed():
        raise KernelError(f"{place} is there and is not from this command: choose another name with --name.")
    start = prepare(python)
    place.mkdir(parents=True, exist_ok=True)
    text = json.dumps(specification(python, title or f"{chosen} (yours)", start), indent=1)
    (place / "kernel.json").write_text(text + "\n", encoding="utf-8")
    return f"Kernel {chosen} is there: reload Jupyter's launcher. It runs {python}."


def listed() -> dict[str, str]:
    """Give the kernels that this command made, with their interpreters."""
    found = {}
    for path in sorted(directory().glob("*/kernel.json")):
        try:
            spec = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if spec.get("metadata", {}).get("gpulab") == "own":
            found[path.parent.name] = spec["argv"][0]
    return found


def remove(name: str) -> str:
    """Take a kernel away; give what to tell the user."""
    if name not in listed():
        raise KernelError(f"there is no kernel {name} of yours; there are: {', '.join(listed()) or 'none'}.")
    shutil.rmtree(directory() / name)
    return f"Kernel {name} is gone; its environment stays."
