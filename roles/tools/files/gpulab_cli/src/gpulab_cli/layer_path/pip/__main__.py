# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m pip` in a personal layer: write the constraints, run pip, and explain what it rejected."""

import importlib.util
import logging
import os
import re
import sys
from pathlib import Path
from types import ModuleType

OWN = Path(__file__).resolve().parent


def layers_module() -> ModuleType:
    """Return gpulab_cli.layers, which is not on the path of a layer."""
    specification = importlib.util.spec_from_file_location("gpulab_layers", OWN.parents[1] / "layers.py")
    module = importlib.util.module_from_spec(specification)  # type: ignore[arg-type]
    specification.loader.exec_module(module)  # type: ignore[union-attr]
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


def install_without_user() -> None:
    """Leave out the option --user of `pip install`, also from pip's configuration: the layer is the user's own."""
    os.environ["PIP_USER"] = "0"
    if "install" in sys.argv and "--user" in sys.argv:
        sys.argv.remove("--user")
        sys.stderr.write("gpulab: --user is left out: packages are installed for you alone.\n")


def main() -> int:
    """Run pip and return its exit code."""
    # The working directory (-m) or that of this file.
    del sys.path[0]
    layers = layers_module()
    layer = Path(sys.prefix)
    pins: dict[str, str] = {}
    if (layer / layers.COMPLETE).exists():
        try:
            pins = layers.write_constraints(layer, layer.parent.name)
            if "pip" in pins:
                sys.path.append(str(layers.link_pip(layer)))
        except OSError as error:
            sys.stderr.write(f"gpulab: {error.filename}: {error.strerror}. pip was not started.\n")
            return 1
        install_without_user()
    from pip._internal.cli.main import main as pip

    conflicts = Conflicts()
    logging.getLogger("pip._internal.resolution.resolvelib.factory").addFilter(conflicts)
    code = pip()
    if rejected := {package: pins[package] for package in conflicts.names if package in pins}:
        sys.stderr.write(layers.rejection(rejected, layer.parent.name) + "\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
