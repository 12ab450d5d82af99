# SPDX-License-Identifier: GPL-3.0-or-later
"""Subcommand `gpulab env`: the user's own packages on top of the lab's environments."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from gpulab_cli import layer_checks, layer_programs, layers, paths
from gpulab_cli.layers import LayerError

PIP_SECONDS = 3600


class Env:
    """The subcommand."""

    help = "list, check, repair, move or remove your own packages on top of the lab's environments"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("list", help="list the environments, the number of your packages in each, and problems")
        freeze = actions.add_parser("freeze", help="print your packages as a requirements file")
        repair = actions.add_parser("repair", help="check your packages, and install those again that no longer fit")
        reset = actions.add_parser("reset", help="remove all your packages; a list of them is kept")
        move = actions.add_parser("move", help="move your packages to another directory, as on a larger file system")
        for each in (freeze, repair, reset, move):
            each.add_argument("name", nargs="?", help="name of the environment (default: that of the session)")
        move.add_argument("directory", type=Path, help="the new directory, which must not exist")
        unlock = actions.add_parser("unlock", help="allow other versions of the lab's packages")
        unlock.add_argument("packages", nargs="+", metavar="PACKAGE")
        unlock.add_argument("--undo", action="store_true", help="allow the lab's versions only")

    def run(self, options: argparse.Namespace) -> int:
        """Run the action."""
        name = getattr(options, "name", None) or layer_programs.environment_name(os.environ)
        actions: dict[str, Callable[[], Iterable[str]]] = {
            "list": listing,
            "freeze": lambda: layer_checks.frozen(layer_of(name)),
            "repair": lambda: repair(name),
            "reset": lambda: [reset(name)],
            "move": lambda: [move(name, options.directory)],
            "unlock": lambda: [unlock(name, options.packages, options.undo)],
        }
        try:
            for line in actions[options.action]():
                sys.stdout.write(f"{line}\n")
        except LayerError as error:
            sys.stderr.write(f"gpulab env: {error}\n")
            return 1
        return 0


def layer_of(name: str) -> Path:
    """Return the directory of the user's layer of an environment, which need not exist."""
    names = [environment.name for environment in paths.environments(layers.ENVIRONMENTS)]
    if name not in names:
        raise LayerError(f"{name} is not an environment of the lab; these are: {', '.join(names) or 'none'}")
    return layers.layer_directory(name, layer_programs.lab_version(name))


def listing() -> list[str]:
    """Return the layer of each environment of the lab, and what is wrong with it."""
    lines = []
    for environment in paths.environments(layers.ENVIRONMENTS):
        layer = layer_of(environment.name)
        free = layers.unlocked(layer)
        others = f"; other versions allowed: {', '.join(free)}" if free else ""
        lines.append(f"{environment.name}: {len(layers.own_packages(layer))} packages of yours in {layer}{others}")
        if reason := layer_checks.notice(environment.name, layer):
            lines.append(f"  {reason}")
    return lines


def pip(layer: Path, *arguments: str) -> bool:
    """Run pip in a layer, with its output, and return whether it succeeded."""
    argv = [f"{layer}/bin/python", layer_programs.PIP, *arguments]
    try:
        return subprocess.run(argv, check=False, timeout=PIP_SECONDS, cwd="/").returncode == 0
    except subprocess.TimeoutExpired:
        raise LayerError(f"pip did not end within {PIP_SECONDS // 60} minutes; run the command again") from None


def repair(name: str) -> list[str]:
    """Mend a layer and install packages again that do not fit the lab's environment any more; return messages."""
    layer = layer_of(name)
    lines = []
    if reason := layers.problem(layer):
        lines.append(f"mended: {reason.partition(';')[0]}")
        make_accessible(layer)
        layer_programs.prepared(name, "again")
    layer_programs.prepared(name)
    lines += [install_again(former, layer) for former in layers.former_layers(layer)]
    if reason := layer_checks.start_problem(layer):
        raise LayerError(reason)
    wrong = layer_checks.misfits(name, layer)
    lines += [f"{package}: {why}" for package, why in wrong.items()]
    if wrong:
        if not (pip(layer, "uninstall", "--quiet", "--yes", *wrong) and pip(layer, "install", "--quiet", *wrong)):
            raise LayerError(f"these packages do not fit and could not be installed again: {' '.join(wrong)}")
        lines.append(f"installed again: {', '.join(wrong)}")
    layers.mark_checked(name, layer)
    return [*lines, f"{len(layers.own_packages(layer))} packages of yours fit the environment {name}"]


def install_again(former: Path, layer: Path) -> str:
    """Install the packages of a former Python, in the versions that they had or, if there are none, in others."""
    packages = layers.own_packages(former)
    names = [package.partition("==")[0] for package in packages]
    if names and not (pip(layer, "install", "--quiet", *packages) or pip(layer, "install", "--quiet", *names)):
        raise LayerError(f"these packages of {former} could not be installed: {' '.join(packages)}")
    shutil.rmtree(former)
    return f"installed again for Python {layer.name}: {', '.join(names) or 'nothing'}"


def make_accessible(layer: Path) -> None:
    """Give the user access to the directories of a layer again."""
    site = layers.site_directory(layer)
    for path in (layer, layer / "bin", layer / "lib", site.parent, site):
        if path.is_dir():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o700)


def reset(name: str) -> str:
    """Remove a layer and return a message with the file that lists what was in it."""
    layer, base = layer_of(name), layers.base_directory(name)
    make_accessible(layer)
    packages = layers.own_packages(layer)
    kept = base.with_name(f"{name}-removed.txt")
    if base.is_dir():
        shutil.rmtree(base.resolve())
    if base.is_symlink():
        base.unlink()
    # Running kernels name its interpreter.
    layer_programs.prepared(name)
    if not packages:
        return f"{name} has no packages of yours any more."
    kept.write_text("".join(f"{package}\n" for package in packages), encoding="utf-8")
    return f"{len(packages)} packages are removed. To install them again: pip install -r {kept}"


def move(name: str, directory: Path) -> str:
    """Move the layers of an environment, leave a link, and return a message."""
    layer_of(name)
    base, target = layers.base_directory(name), directory.expanduser().absolute()
    layer_programs.prepared(name)
    source = base.resolve()
    if target == base and base.is_symlink():
        base.unlink()
        shutil.copytree(source, base, symlinks=True)
        shutil.rmtree(source)
        return f"Your packages for {name} are in {base} again."
    check_target(target)
    try:
        shutil.copytree(source, target, symlinks=True)
        target.chmod(0o700)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise LayerError(
            f"{target} cannot be written ({first_reason(error)}); your packages stay in {source}"
        ) from None
    former = base.with_name(f"{name}.moved")
    base.rename(former)
    base.symlink_to(target)
    if former.is_symlink():
        former.unlink()
        former = source
    shutil.rmtree(former)
    note = " No programs and compiled packages run there (noexec)." if layer_checks.is_noexec(target) else ""
    return f"Your packages for {name} are in {target}; {base} is a link to it.{note}"


def check_target(target: Path) -> None:
    """Raise LayerError for a directory that exists, or that other users could replace."""
    if os.path.lexists(target):
        raise LayerError(f"{target} exists: name a new directory")
    if not target.parent.is_dir():
        raise LayerError(f"{target.parent} is not a directory")
    state = target.parent.stat()
    writable = state.st_mode & 0o022 and not state.st_mode & stat.S_ISVTX
    if writable or state.st_uid not in (0, os.getuid()):
        raise LayerError(f"other users can replace directories in {target.parent}: choose a directory of your own")


def first_reason(error: OSError) -> str:
    """Return the reason of a failed copy."""
    reasons = error.args[0] if isinstance(error, shutil.Error) else []
    return str(reasons[0][2]) if reasons else str(error.strerror)


def unlock(name: str, packages: Sequence[str], undo: bool) -> str:
    """Allow or forbid other versions of packages of the lab in a layer, and return a message."""
    layer_of(name)
    names = {layer_checks.normalised(package) for package in packages}
    if unknown := names - set(layers.locked_versions(name)):
        raise LayerError(f"{', '.join(sorted(unknown))}: the environment {name} has no such package")
    layer = layer_programs.prepared(name)
    free = set(layers.unlocked(layer)) - names if undo else set(layers.unlocked(layer)) | names
    (layer / "unlocked.txt").write_text("".join(f"{each}\n" for each in sorted(free)), encoding="utf-8")
    layers.write_constraints(layer, name)
    listed = ", ".join(sorted(names))
    if undo:
        return f"{listed}: only the lab's version from now on; `pip uninstall {' '.join(sorted(names))}` removes yours."
    return f"{listed}: you can install another version; packages of the lab may not work with it."
