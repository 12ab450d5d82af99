# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m pip` in a personal layer: write the constraints, run pip, and explain what it rejected."""

import importlib.util
import logging
import os
import re
import sys
from pathlib import Path
from types import ModuleType


def layers_module() -> ModuleType:
    """Return gpulab_cli.layers, which is not on the path of a layer."""
    specification = importlib.util.spec_from_file_location("gpulab_layers", Path(__file__).parents[2] / "layers.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


class Conflicts(logging.Filter):
    """Collects the constraints that pip names as the reason of a conflict."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Read a message of pip, and pass it on."""
        named = re.findall(r"\(constraint\) ([\w.-]+?)==", record.getMessage())
        self.names |= {re.sub(r"[-_.]+", "-", name).lower() for name in named}
        return True


def main() -> int:
    """Run pip and return its exit code."""
    layers = layers_module()
    layer = sys.prefix
    name = os.path.basename(os.path.dirname(layer))
    pins: dict[str, str] = {}
    if os.path.exists(os.path.join(layers.site_directory(layer), layers.PTH)):
        try:
            pins = layers.write_constraints(layer, name)
        except OSError as error:
            sys.stderr.write(f"gpulab: {error.filename}: {error.strerror}. Nothing is installed.\n")
            return 1
    # Modules are searched in the working directory otherwise (python -m).
    sys.path[:] = [path for path in sys.path if path not in ("", os.getcwd())]
    from pip._internal.cli.main import main as pip

    conflicts = Conflicts()
    for module in ("resolution.resolvelib.factory", "resolution.resolvelib.resolver", "cli.base_command"):
        logging.getLogger(f"pip._internal.{module}").addFilter(conflicts)
    code = pip()
    if rejected := {package: pins[package] for package in conflicts.names if package in pins}:
        sys.stderr.write(layers.rejection(rejected, name) + "\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
