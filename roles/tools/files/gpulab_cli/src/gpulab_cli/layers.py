# SPDX-License-Identifier: GPL-3.0-or-later
"""The personal layer on top of an environment of the lab: a virtual environment in the user's home.

One .pth file in it names the lab's packages by way of the link `current`, so that a new release is used at once. This file
runs in the lab's interpreter (`python -I layers.py NAME` makes a layer) and in the start of kernels, which gpulab_server
has a link for. It needs the standard library only and imports little: each kernel start pays for it.
"""

from __future__ import annotations

import errno
import os
import sys
from glob import glob

ENVIRONMENTS = "/opt/gpulab/envs"
TOOLS = "/opt/gpulab/tools/current"
PTH = "zz-gpulab.pth"
"""Last of a directory's .pth files: what editable installs of the user name comes before the lab's packages."""
LOCK_SECONDS = 10.0


class LayerError(Exception):
    """The layer cannot be used; the message is one line that names the fix."""


def base_directory(name: str) -> str:
    """Return the directory of all layers of an environment, one for each version of Python."""
    return os.path.join(os.path.expanduser("~"), ".local", "share", "gpulab", "envs", name)


def layer_directory(name: str, version: str = "") -> str:
    """Return the directory of a layer, by default for the version of this interpreter."""
    return os.path.join(base_directory(name), version or f"{sys.version_info[0]}.{sys.version_info[1]}")


def site_directory(layer: str) -> str:
    """Return the directory of the packages of a layer."""
    return os.path.join(layer, "lib", f"python{os.path.basename(layer)}", "site-packages")


def lab_site(name: str, version: str, environments: str = ENVIRONMENTS) -> str:
    """Return the directory of the lab's packages, by way of the link to the current release."""
    return os.path.join(environments, name, "current", "lib", f"python{version}", "site-packages")


def pip_directories() -> list[str]:
    """Return the directory that has pip for layers (the directory layer_path of gpulab_cli)."""
    return sorted(glob(os.path.join(TOOLS, "lib", "python3.*", "site-packages", "gpulab_cli", "layer_path")))


def pth_text(name: str, version: str) -> str:
    """Return the content of the .pth file of a layer.

    addsitedir also reads the .pth files of the lab's packages, as the lab's own interpreter does.
    """
    lines = [f"import site; site.addsitedir({lab_site(name, version)!r})", *pip_directories()]
    return "".join(f"{line}\n" for line in lines)


def pip_conf(layer: str) -> str:
    """Return pip's configuration of a layer; pip writes the constraints before each run."""
    return f"[global]\nconstraint = {os.path.join(layer, 'constraints.txt')}\ndisable-pip-version-check = true\n"


def problem(layer: str) -> str:
    """Return why a layer cannot be used, in one line; empty if it can be used, or does not exist."""
    name = os.path.basename(os.path.dirname(layer))
    again = f"`gpulab env reset {name}` makes a new one"
    if not os.path.lexists(layer) and not os.path.islink(os.path.dirname(layer)):
        return ""
    site = site_directory(layer)
    try:
        os.listdir(site)
        with open(os.path.join(layer, "pyvenv.cfg"), encoding="utf-8") as file:
            file.read()
        with open(os.path.join(site, PTH), encoding="utf-8") as file:
            names_lab = lab_site(name, os.path.basename(layer)) in file.read()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        return f"{getattr(error, 'filename', None) or layer}: {reason}; {again}"
    if not names_lab:
        return f"{os.path.join(site, PTH)} does not name the lab's packages; {again}"
    if not os.access(os.path.join(layer, "bin", "python"), os.X_OK):
        return f"{layer}/bin/python starts no interpreter; {again}"
    return ""


def prepare(name: str) -> str:
    """Make the layer of an environment unless it exists, and return its directory; raise LayerError if that fails.

    Runs in the interpreter of the lab's environment, whose base interpreter the layer gets.
    """
    layer = layer_directory(name)
    if os.path.exists(os.path.join(site_directory(layer), PTH)):
        if reason := problem(layer):
            raise LayerError(reason)
        return layer
    if reason := problem(layer) if os.path.exists(os.path.join(layer, "pyvenv.cfg")) else "":
        raise LayerError(reason)
    try:
        _make(layer, name)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "your home is full: remove or move files" if full else f"`gpulab env reset {name}` or the administrator helps"
        raise LayerError(f"{error.filename or layer}: {error.strerror}; {fix}") from None
    return layer


def _make(layer: str, name: str) -> None:
    """Make a layer; the .pth file, which is written last, marks it as complete. Another process may do the same."""
    import fcntl
    import time
    import venv

    os.makedirs(os.path.dirname(layer), mode=0o700, exist_ok=True)
    with open(f"{layer}.lock", "w", encoding="ascii") as lock:
        until = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:  # a network file system without locks
                break
        pth = os.path.join(site_directory(layer), PTH)
        if os.path.exists(pth):
            return
        venv.EnvBuilder(symlinks=True, with_pip=False, prompt=name).create(layer)
        _write(os.path.join(layer, "pip.conf"), pip_conf(layer))
        _write(pth, pth_text(name, os.path.basename(layer)))


def _write(path: str, text: str) -> None:
    """Write a file in one step."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def activate(name: str, layer: str) -> None:
    """Let this process, which runs the lab's interpreter, use a layer as if the layer's interpreter had been started.

    The lab's packages are those of the release that is current now, also after a new release. Raises what broken .pth files
    of the user raise.
    """
    import site

    version = os.path.basename(layer)
    lab, current = os.path.realpath(lab_site(name, version)), lab_site(name, version)
    before = list(dict.fromkeys(lab if os.path.realpath(path) == lab else path for path in sys.path))
    own = site_directory(layer)
    sys.path[:] = [path for path in before if path != lab]
    try:
        known = {*sys.path}
        sys.path.append(own)
        for file in sorted(os.listdir(own)):
            if file.endswith(".pth") and file != PTH:
                site.addpackage(own, file, known)
    except BaseException:
        sys.path[:] = before
        raise
    sys.path[:] = [path for path in sys.path if path != current] + [lab, *pip_directories()]
    sys.prefix = sys.exec_prefix = layer


def release_versions(name: str, environments: str = ENVIRONMENTS) -> dict[str, str]:
    """Return the locked versions of the current release of an environment, by package."""
    import json

    try:
        with open(os.path.join(environments, name, "current", ".gpulab-release.json"), encoding="utf-8") as file:
            return {str(package): str(version) for package, version in json.load(file)["versions"].items()}
    except (OSError, ValueError, KeyError):
        return {}


def unlocked(layer: str) -> list[str]:
    """Return the packages that the user allows to differ from the lab's."""
    try:
        with open(os.path.join(layer, "unlocked.txt"), encoding="utf-8") as file:
            return file.read().split()
    except (OSError, UnicodeError):
        return []


def constraints(layer: str, name: str) -> dict[str, str]:
    """Return the versions that packages of a layer must not replace, by package."""
    free = set(unlocked(layer))
    return {package: version for package, version in release_versions(name).items() if package not in free}


def write_constraints(layer: str, name: str) -> dict[str, str]:
    """Write the constraints for pip and uv, and the names that uv leaves out, and return the constraints."""
    pins = constraints(layer, name)
    _write(os.path.join(layer, "constraints.txt"), "".join(f"{package}=={pins[package]}\n" for package in sorted(pins)))
    _write(os.path.join(layer, "excludes.txt"), "".join(f"{package}\n" for package in sorted(pins)))
    return pins


def rejection(packages: dict[str, str], name: str) -> str:
    """Return the sentence for packages of the lab that an installation would have replaced."""
    listed = ", ".join(f"{package} {version}" for package, version in sorted(packages.items()))
    return (
        f"gpulab: {listed} belongs to the lab's environment {name} and is not replaced: install a version of your package "
        f"that fits, or allow it with `gpulab env unlock {' '.join(sorted(packages))}`, or make an environment of your own: "
        "python3 -m venv ~/mine && gpulab kernel add ~/mine"
    )


if __name__ == "__main__":
    try:
        sys.stdout.write(prepare(sys.argv[1]) + "\n")
    except LayerError as _error:
        sys.exit(str(_error))
