# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs python, pip, uv, ipython and torchrun of users' sessions: links in /opt/gpulab/bin to `gpulab-layer`.

ipython and torchrun are the lab's, and run with the layer's interpreter, which has the user's packages.
`python` runs only where the user has no layer yet, or a broken one: an intact layer's own python is before it on PATH.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpulab_cli import layers

PREPARE_SECONDS = 60
RESOLVE_SECONDS = 900
UV = str(layers.TOOLS / "bin" / "uv")
PIP = str(Path(__file__).parent / "layer_path" / "pip" / "__main__.py")
"""A file instead of -m: Python would search the working directory first, which other users may be able to write to."""
ELSEWHERE = ("--python", "-p", "--system", "--target", "-t", "--prefix")
"""Options of uv with which the user names another environment."""


def environment_name(variables: Mapping[str, str]) -> str:
    """Return the name of the environment of this session: that of the kernel, or the host's first one."""
    name = variables.get("GPULAB_ENVIRONMENT", "")
    if name and "/" not in name:
        return name
    return next((path.parent.name for path in sorted(layers.ENVIRONMENTS.glob("*/current"))), "ml")


def lab_python(name: str) -> str:
    """Return the interpreter of an environment of the lab."""
    return str(layers.ENVIRONMENTS / name / "current" / "bin" / "python")


def lab_version(name: str) -> str:
    """Return the version of Python of an environment, as 3.11."""
    path = next((layers.ENVIRONMENTS / name / "current" / "lib").glob("python3.*"), Path("python3"))
    return path.name.removeprefix("python")


def prepared(name: str, *again: str) -> Path:
    """Return the layer of an environment, which is made if it does not exist; raise LayerError if it cannot be used.

    With "again", its interpreter and its configuration are mended.
    """
    argv = [lab_python(name), "-I", layers.__file__, name, *again]
    try:
        result = subprocess.run(argv, capture_output=True, text=True, timeout=PREPARE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise layers.LayerError(f"your home does not answer within {PREPARE_SECONDS} seconds") from None
    except OSError as error:
        raise layers.LayerError(f"{argv[0]}: {error.strerror}; `gpulab info` lists the environments") from None
    if result.returncode:
        raise layers.LayerError((result.stderr.strip().splitlines() or ["no reason was printed"])[-1])
    return Path(result.stdout.strip())


def targets_layer(arguments: Sequence[str], variables: Mapping[str, str], directory: Path, layer: Path) -> bool:
    """Return whether `uv pip` has no other environment: one that is active or named, or .venv in a directory above."""
    if any(word == option or word.startswith(f"{option}=") for word in arguments for option in ELSEWHERE):
        return False
    if active := variables.get("VIRTUAL_ENV") or variables.get("CONDA_PREFIX"):
        return Path(active).absolute() == layer
    return not any((parent / ".venv").is_dir() for parent in (directory, *directory.parents))


def run_uv(arguments: Sequence[str], name: str) -> None:
    """Replace this process by uv; `uv pip` without another environment works on the layer."""
    layer = layers.layer_directory(name, lab_version(name))
    variables = dict(os.environ)
    if "pip" not in arguments[:1] or not targets_layer(arguments, variables, Path.cwd(), layer):
        os.execv(UV, [UV, *arguments])  # noqa: S606  # the tools' uv, as the user
    layer = prepared(name)
    pins = layers.write_constraints(layer, name)
    own = variables.get("UV_CONSTRAINT", "")
    variables |= {"VIRTUAL_ENV": str(layer), "UV_CONSTRAINT": f"{layer}/constraints.txt {own}".strip()}
    if "install" in arguments[1:2]:
        check_uv(arguments, name, variables, pins)
        # uv does not see packages of a .pth file: without this it would download them again.
        variables["UV_EXCLUDE"] = f"{layer}/excludes.txt {variables.get('UV_EXCLUDE', '')}".strip()
    if "sync" in arguments[1:2]:
        check_sync(arguments, name, variables, pins)
    os.execve(UV, [UV, *arguments], variables)  # noqa: S606  # the tools' uv, as the user


def dry_run(arguments: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Return the output of `uv pip`, which changes nothing; end this process after a quarter of an hour."""
    argv = [UV, *arguments[:2], "--dry-run", *arguments[2:]]
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=RESOLVE_SECONDS, check=False, env=dict(variables)
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"gpulab: uv found no versions within {RESOLVE_SECONDS // 60} minutes; nothing is installed.")


def check_sync(arguments: Sequence[str], name: str, variables: Mapping[str, str], pins: Mapping[str, str]) -> None:
    """End this process if `uv pip sync` would install packages of the lab: it can leave none out."""
    result = dry_run(arguments, variables)
    added = {line.split()[1].partition("==")[0] for line in result.stderr.splitlines() if line.startswith(" + ")}
    if copies := sorted(added & set(pins)):
        sys.exit(
            f"gpulab: the environment {name} has {', '.join(copies[: layers.MANY])}; `uv pip sync` would install a "
            "second copy: use `uv pip install --requirement FILE`, which leaves out the lab's. Nothing is installed."
        )


def check_uv(arguments: Sequence[str], name: str, variables: Mapping[str, str], pins: Mapping[str, str]) -> None:
    """End this process if an installation does not fit the lab's packages.

    uv resolves it on the lab's environment, where it sees them, and changes nothing.
    """
    result = dry_run([*arguments[:2], "--python", lab_python(name), *arguments[2:]], variables)
    if result.returncode == 0:
        return
    sys.stderr.write(result.stderr)
    words = set(result.stderr.replace(",", " ").split())
    if rejected := {package: version for package, version in pins.items() if f"{package}=={version}" in words}:
        sys.stderr.write(layers.rejection(rejected, name) + "\n")
    sys.exit(result.returncode)


def main() -> int:
    """Run the program by whose name this one was started."""
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    is_pip = program.startswith("pip")
    script = [PIP] if is_pip else []
    name = environment_name(os.environ)
    try:
        if program == "uv":
            run_uv(arguments, name)
        python = str(prepared(name) / "bin" / "python")
    except layers.LayerError as error:
        sys.stderr.write(f"gpulab: {error}\n")
        if is_pip or program == "uv":
            return 1
        python = lab_python(name)
    except OSError as error:
        sys.stderr.write(f"gpulab: {error.filename}: {error.strerror}\n")
        return 1
    if not is_pip and not program.startswith("python"):
        script = [str(Path(lab_python(name)).with_name(program))]
        if not Path(script[0]).is_file():
            sys.stderr.write(f"gpulab: the environment {name} has no {program}; `pip install` may bring it\n")
            return 127
    try:
        os.execv(python, [python, *script, *arguments])  # noqa: S606  # the user's own interpreter
    except OSError as error:
        sys.stderr.write(f"gpulab: {python}: {error.strerror}; `gpulab info` lists the environments\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
