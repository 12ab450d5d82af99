# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the packages in a user's layer: whether they fit the lab's versions and can be imported."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from gpulab_cli import layers, paths

IMPORT_SECONDS = 120
START_SECONDS = 20


def normalised(name: str) -> str:
    """Return the normalised name of a package (Python packaging: tensorflow_cpu is tensorflow-cpu)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(layer: Path) -> dict[str, Distribution]:
    """Return the packages of a layer by name; those whose metadata cannot be read are left out."""
    result = {}
    for package in distributions(path=[str(layers.site_directory(layer))]):
        try:
            name = package.metadata["Name"]
        except (OSError, UnicodeError):
            continue
        if name:
            result[normalised(str(name))] = package
    return result


def frozen(layer: Path) -> list[str]:
    """Return the packages of a layer as lines of a requirements file."""
    return [f"{name}=={package.version}" for name, package in sorted(packages(layer).items())]


def conflicts(layer: Path, lab: Mapping[str, str]) -> dict[str, str]:
    """Return the packages whose requirements are not met by the layer and the lab, with the reason."""
    own = packages(layer)
    versions = {**lab, **{name: package.version for name, package in own.items()}}
    result = {}
    for name, package in own.items():
        for line in package.requires or []:
            if reason := unmet(line, versions, layer.name):
                result[name] = reason
    return result


def unmet(line: str, versions: Mapping[str, str], python: str) -> str:
    """Return why a requirement is not met by the installed versions, empty if it is, or is not for this Python."""
    try:
        requirement = Requirement(line)
        variables = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
        if requirement.marker and not requirement.marker.evaluate(variables):
            return ""
        version = versions.get(normalised(requirement.name))
        if version is None:
            return f"needs {requirement.name}, which is not installed"
        if not requirement.specifier.contains(version, prereleases=True):
            return f"needs {requirement.name}{requirement.specifier}, and {version} is installed"
    except (InvalidRequirement, InvalidVersion):
        pass
    return ""


def compiled(layer: Path) -> dict[str, str]:
    """Return the packages with compiled parts and, for each, a module that has them."""
    result = {}
    for name, package in packages(layer).items():
        for path in package.files or []:
            module = path.parts[0].partition(".")[0]
            is_package = (layers.site_directory(layer) / module / "__init__.py").exists()
            if path.suffix == ".so" and module.isidentifier() and (len(path.parts) == 1 or is_package):
                result[name] = module
                break
    return result


def broken_imports(layer: Path) -> dict[str, str]:
    """Return the packages with compiled parts that cannot be imported, with the reason."""
    result = {}
    for name, module in compiled(layer).items():
        argv = [f"{layer}/bin/python", "-c", f"import {module}"]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False, cwd="/")
        except subprocess.TimeoutExpired:
            continue
        except OSError as error:
            return {name: f"{argv[0]}: {error.strerror}"}
        if done.returncode:
            result[name] = (done.stderr.strip().splitlines() or [f"the import ended with {done.returncode}"])[-1]
    return result


def is_noexec(directory: Path) -> bool:
    """Return whether the file system of a directory loads no programs (mount option noexec)."""
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_NOEXEC)
    except OSError:
        return False


def start_problem(layer: Path) -> str:
    """Return why the interpreter of a layer does not start, in one line; empty if it starts."""
    argv = [f"{layer}/bin/python", "-c", ""]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=START_SECONDS, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        reason = f"no answer within {START_SECONDS} seconds"
    except OSError as error:
        reason = str(error.strerror)
    else:
        if done.returncode == 0:
            return ""
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    fix = f"remove the broken .pth file in {layers.site_directory(layer)}, or `gpulab env reset {layer.parent.name}`"
    return f"{argv[0]} does not start ({reason}); {fix}"


def notice(name: str, layer: Path) -> str:
    """Return what is wrong with a layer, in one line, from quick checks; empty if nothing is."""
    if is_noexec(layer):
        fix = f"`gpulab env move {name} DIRECTORY` moves it"
        return f"{layer} is on a file system that runs no programs (noexec); {fix}"
    if reason := layers.problem(layer):
        return reason
    return (start_problem(layer) if layer.is_dir() else "") or layers.outdated(name, layer)


def misfits(name: str, layer: Path) -> dict[str, str]:
    """Return the packages that do not fit the lab's current release or cannot be imported, with the reason."""
    lab = next((each for each in paths.environments(layers.ENVIRONMENTS) if each.name == name), None)
    return {**conflicts(layer, lab.versions() if lab else {}), **broken_imports(layer)}
