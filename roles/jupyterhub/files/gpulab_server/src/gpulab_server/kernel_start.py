# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module like `python -m`, without the working directory on the module search path.

`python kernel_start.py MODULE ARGUMENT...` runs in the environment of the kernel and needs its standard library only.
Where other users can write to the working directory, cells search it last for modules: otherwise the kernel's own
imports, such as for completions or at its end, would run their code.

A kernel of the lab uses the user's personal layer (layers.py); one that cannot be used never keeps it from starting.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # without the import of typing
    from types import ModuleType


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


def use_layer(name: str, layers: ModuleType) -> str:
    """Use the user's layer of an environment and return a warning, empty if there is none.

    The kernel's own modules are those of the lab: packages of the layer cannot keep it from starting.
    """
    import os

    os.environ["GPULAB_ENVIRONMENT"] = name
    try:
        import ipykernel.kernelapp  # noqa: F401

        layer = layers.prepare(name)
        layers.activate(name, layer)
    except Exception as error:  # noqa: BLE001  # the kernel starts in any case
        reason = " ".join(str(error).split()) or type(error).__name__
        replace_pip(f"echo {quoted(f'gpulab: nothing is installed. {reason}')} #")
        return f"gpulab: this kernel runs without your own packages. {reason}"
    sys.executable = f"{layer}/bin/python"
    os.environ["PATH"] = f"{layer}/bin:{os.environ.get('PATH', os.defpath)}"
    if pip := layers.pip_directories():
        replace_pip(f"{quoted(sys.executable)} {quoted(pip[0] + '/pip/__main__.py')}")
    reason = layers.outdated(name, layer)
    return f"gpulab: {reason}" if reason else ""


def quoted(text: str) -> str:
    """Return a word of a shell's command."""
    import shlex

    return shlex.quote(text)


def replace_pip(command: str) -> None:
    """Let the magic %pip run a command: it would run `python -m pip`, which searches the directory of the notebook."""
    try:
        from IPython.core.magics.packaging import PackagingMagics
    except ImportError:
        return

    def pip(self: PackagingMagics, line: str) -> None:
        """Run pip in the environment of the kernel: %pip install PACKAGE."""
        self.shell.system(f"{command} {line}")

    PackagingMagics.pip = pip


def warn_at_first_cell(message: str) -> None:
    """Print a message with the output of the first cell: output at the start of a kernel is not shown."""
    from IPython.core.shellapp import InteractiveShellApp

    original = InteractiveShellApp.init_code

    def init_code(application: object) -> None:
        events = application.shell.events  # type: ignore[attr-defined]

        def once(*_: object) -> None:
            events.unregister("pre_run_cell", once)
            sys.stderr.write(message + "\n")

        events.register("pre_run_cell", once)
        original(application)

    InteractiveShellApp.init_code = init_code


def layer_of_kernel(module: str) -> str:
    """Prepare the layer if this is a kernel of the lab, and return a warning."""
    import os

    environment, link = os.path.split(sys.prefix)
    directory, name = os.path.split(environment)
    if module != "ipykernel_launcher" or link != "current" or os.geteuid() == 0:
        return ""
    # By its path: the directory of this file belongs to the server's environment and is not searched.
    from importlib.util import module_from_spec, spec_from_file_location

    file = f"{os.path.split(__file__)[0]}/layers.py"
    specification = spec_from_file_location("gpulab_layers", file)
    layers = module_from_spec(specification)  # type: ignore[arg-type]
    specification.loader.exec_module(layers)  # type: ignore[union-attr]
    return use_layer(name, layers) if directory == str(layers.ENVIRONMENTS) else ""


def main() -> None:
    """Run the module."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        # The directory of this file, which belongs to the server's environment.
        sys.path.pop(0)
    import runpy

    if warning := layer_of_kernel(sys.argv[1]):
        warn_at_first_cell(warning)
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
