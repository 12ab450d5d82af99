# SPDX-License-Identifier: GPL-3.0-or-later
"""Check which cuDNN the frameworks of an environment load: their own, or one of the system.

Runs in the environment's own interpreter, each framework in a process of its own. Imports the standard library only.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"}
SECONDS = 300.0
"""Time limit for the import of one framework, in seconds."""
FAILED = 4
"""Exit code for a framework that loads another cuDNN."""


def loaded(maps: str) -> list[str]:
    """Return the files of cuDNN in the text of /proc/PID/maps, once each."""
    return list(dict.fromkeys(re.findall(r"(/\S*libcudnn[^/\s]*\.so\S*)", maps)))


def verdict(framework: str, files: Iterable[str], environment: Path) -> tuple[bool, str]:
    """Return whether a framework loads no cuDNN but that of its environment, and a sentence about it."""
    foreign = [path for path in files if not Path(path).is_relative_to(environment)]
    if foreign:
        return False, f"{framework} loads {foreign[0]} instead of the cuDNN of its environment {environment}"
    if not list(files):
        return True, f"{framework} was not checked: without a GPU it loads no cuDNN, or its build has none"
    return True, f"{framework} loads its own cuDNN"


def import_framework(module: str) -> None:
    """Import a framework and let it load its libraries as far as it does without a GPU."""
    imported = importlib.import_module(module)
    if module == "torch":
        imported.backends.cudnn.version()
    elif module == "tensorflow":
        imported.config.list_physical_devices("GPU")


def main(arguments: list[str]) -> int:
    """Print a sentence for each framework of the environment; with a name, the files that this one loads."""
    if arguments:
        import_framework(arguments[0])
        print("\n".join(loaded(Path("/proc/self/maps").read_text(encoding="utf-8"))))  # noqa: T201
        return 0
    code = 0
    environment = Path(sys.prefix).resolve()
    for module, name in FRAMEWORKS.items():
        if importlib.util.find_spec(module) is None:
            continue
        argv = [sys.executable, "-I", __file__, module]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SECONDS)
        except subprocess.SubprocessError as error:
            lines = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            print(f"{name} was not checked: it cannot be imported: {lines[-1]}")  # noqa: T201
            continue
        own, sentence = verdict(name, [line for line in done.stdout.splitlines() if "libcudnn" in line], environment)
        print(sentence)  # noqa: T201
        code = code if own else FAILED
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
