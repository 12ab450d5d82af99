# SPDX-License-Identifier: GPL-3.0-or-later
"""The personal layer on top of an environment of the lab: a virtual environment in the user's home.

One .pth file in it names the lab's packages by way of the link `current`, so that a new release is used at once. This
file runs in the lab's interpreter (`python -I layers.py NAME` makes a layer) and at the start of kernels, for which
gpulab_server has a link to it. It needs the standard library only and imports little, for quick starts.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

ENVIRONMENTS = Path("/opt/gpulab/envs")
TOOLS = Path("/opt/gpulab/tools/current")
PTH = "zz-gpulab.pth"
"""Last of a directory's .pth files: what editable installs of the user name comes before the lab's packages."""
COMPLETE = "release.txt"
"""Written last: the release of the environment with which the packages of the layer were checked."""
LOCK_SECONDS = 10.0
MANY = 8
"""Number of packages that a message lists."""


class LayerError(Exception):
    """The layer cannot be used; the message is one line that names the fix."""


def base_directory(name: str) -> Path:
    """Return the directory of all layers of an environment, one for each version of Python."""
    return Path("~/.local/share/gpulab/envs").expanduser() / name


def layer_directory(name: str, version: str = "") -> Path:
    """Return the directory of a layer, by default for the version of this interpreter."""
    return base_directory(name) / (version or f"{sys.version_info[0]}.{sys.version_info[1]}")


def site_directory(layer: Path) -> Path:
    """Return the directory of the packages of a layer."""
    return layer / "lib" / f"python{layer.name}" / "site-packages"


def lab_site(name: str, version: str) -> Path:
    """Return the directory of the lab's packages, by way of the link to the current release."""
    return ENVIRONMENTS / name / "current" / "lib" / f"python{version}" / "site-packages"


def pip_directories() -> list[str]:
    """Return the directory that has pip for layers (the directory layer_path of gpulab_cli)."""
    return [str(path) for path in TOOLS.glob("lib/python3.*/site-packages/gpulab_cli/layer_path")]


def pth_text(name: str, version: str) -> str:
    """Return the content of the .pth file of a layer.

    addsitedir also reads the .pth files of the lab's packages, as the lab's own interpreter does. The lab's own pip
    only prints how to install packages, so pip of the layer comes first.
    """
    lines = [*pip_directories(), f"import site; site.addsitedir({str(lab_site(name, version))!r})"]
    return "".join(f"{line}\n" for line in lines)


def problem(layer: Path) -> str:
    """Return why a layer cannot be used, in one line; empty if it can be used, or does not exist."""
    base = layer.parent
    if base.is_symlink() and not base.is_dir():
        target = base.readlink()
        return f"{base} leads to {target}, which does not exist; `gpulab env reset {base.name}` makes a new one"
    if not os.path.lexists(layer):
        return ""
    fix = f"`gpulab env repair {base.name}` mends it"
    pth = site_directory(layer) / PTH
    try:
        next(pth.parent.iterdir(), None)
        (layer / "pyvenv.cfg").read_text(encoding="utf-8")
        text = pth.read_text(encoding="utf-8")
    except OSError as error:
        return f"{error.filename}: {error.strerror}; {fix}"
    except UnicodeError:
        return f"{pth} is damaged; {fix}"
    if str(lab_site(base.name, layer.name)) not in text:
        return f"{pth} does not name the lab's packages; {fix}"
    if not os.access(layer / "bin" / "python", os.X_OK):
        return f"{layer}/bin/python starts no interpreter; {fix}"
    return ""


def prepare(name: str) -> Path:
    """Make the layer of an environment unless it exists, and return its directory; raise LayerError if that fails.

    Runs in the interpreter of the lab's environment, whose base interpreter the layer gets.
    """
    layer = layer_directory(name)
    base = layer.parent
    started = os.path.lexists(layer) or (base.is_symlink() and not base.is_dir())
    try:
        # One that is not complete is being made by another process, or is made again.
        if started and (os.access(layer / COMPLETE, os.F_OK) or not os.access(layer, os.X_OK)):
            if reason := problem(layer):
                raise LayerError(reason)
            return layer
        make(name)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "your home is full: remove or move files" if full else f"make it accessible, or `gpulab env reset {name}`"
        raise LayerError(f"{error.filename or layer}: {error.strerror}; {fix}") from None
    return layer


def make(name: str, again: bool = False) -> None:
    """Make a layer or, `again`, its interpreter and its configuration; packages stay.

    Several processes may do it at once.
    """
    import venv

    layer = layer_directory(name)
    layer.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with layer.with_name(f"{layer.name}.lock").open("w", encoding="ascii") as lock:
        _wait_for(lock.fileno())
        if (layer / COMPLETE).exists() and not again:
            return
        for path in (layer / "bin").glob("python*") if again else ():
            path.unlink()
        venv.EnvBuilder(symlinks=True, with_pip=False, prompt=name).create(layer)
        constraint = layer / "constraints.txt"
        _write(layer / "pip.conf", f"[global]\nconstraint = {constraint}\ndisable-pip-version-check = true\n")
        _write(site_directory(layer) / PTH, pth_text(name, layer.name))
        mark_checked(name, layer)


def _wait_for(lock: int) -> None:
    """Take a lock, or go on without it after some seconds and on file systems that have none: nothing is lost then."""
    import fcntl
    import time

    until = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:
            return
        else:
            return


def _write(path: Path, text: str) -> None:
    """Write a file in one step."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def current_release(name: str) -> str:
    """Return the current release of an environment."""
    return (ENVIRONMENTS / name / "current").resolve().name


def mark_checked(name: str, layer: Path) -> None:
    """Record that the packages of a layer fit the current release."""
    _write(layer / COMPLETE, current_release(name))


def own_packages(layer: Path) -> list[str]:
    """Return the packages of a layer as NAME==VERSION, by the names of their directories; none if it is unreadable."""
    try:
        names = sorted(path.name for path in site_directory(layer).iterdir())
    except OSError:
        return []
    return [name.removesuffix(".dist-info").replace("-", "==", 1) for name in names if name.endswith(".dist-info")]


def former_layers(layer: Path) -> list[Path]:
    """Return the layers for other versions of Python."""
    try:
        return sorted(path for path in layer.parent.glob("3.*") if path.is_dir() and path != layer)
    except OSError:
        return []


def outdated(name: str, layer: Path) -> str:
    """Return what a user should know whose packages were installed for another Python or another release."""
    for former in former_layers(layer):
        if packages := [package.partition("==")[0] for package in own_packages(former)]:
            names = ", ".join(packages[:MANY]) + ", ..." * (len(packages) > MANY)
            fix = f"`gpulab env repair {name}` does it"
            return f"your packages for Python {former.name} must be installed again ({names}); {fix}"
    try:
        checked = (layer / COMPLETE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        checked = ""
    if checked == current_release(name) or not own_packages(layer):
        return ""
    return f"{name} has a new release; `gpulab env repair {name}` checks whether your packages fit it"


def activate(name: str, layer: Path) -> None:
    """Let this process, which runs the lab's interpreter, use a layer as if the layer's interpreter had been started.

    The lab's packages stay those of the release that is current now, also after a new release. Raises LayerError for a
    broken .pth file of the user.
    """
    import site

    link = str(lab_site(name, layer.name))
    lab = os.path.realpath(link)
    before, own = list(sys.path), str(site_directory(layer))
    files = sorted(path.name for path in Path(own).iterdir() if path.suffix == ".pth" and path.name != PTH)
    sys.path[:] = [*(path for path in before if os.path.realpath(path) != lab), own]
    known = set(sys.path)
    for file in files:
        try:
            site.addpackage(own, file, known)
        except BaseException as error:  # noqa: BLE001  # it may also exit
            sys.path[:] = before
            raise LayerError(f"{own}/{file}: {error}; remove this file") from None
    sys.path += [*pip_directories(), lab]
    sys.prefix = sys.exec_prefix = str(layer)


def release_versions(name: str) -> dict[str, str]:
    """Return the locked versions of the current release of an environment, by package."""
    import json

    try:
        text = (ENVIRONMENTS / name / "current" / ".gpulab-release.json").read_text(encoding="utf-8")
        return {str(package): str(version) for package, version in json.loads(text)["versions"].items()}
    except (OSError, ValueError, KeyError):
        return {}


def pip_information() -> dict[str, Path]:
    """Return the directory that describes the pip of layers, by its version; empty where there is none."""
    paths = TOOLS.glob("lib/python3.*/site-packages/pip-*.dist-info")
    return {path.name.removeprefix("pip-").removesuffix(".dist-info"): path for path in paths}


def locked_versions(name: str) -> dict[str, str]:
    """Return the versions that a layer of an environment does not replace: of the lab's packages, and of pip."""
    versions = release_versions(name)
    for version in pip_information():
        versions["pip"] = version
    return versions


def link_pip(layer: Path) -> Path:
    """Link the description of the layer's pip into a directory of the layer, and return this directory.

    On the path of pip, it makes pip itself an installed package: `pip install --upgrade pip` has nothing to do.
    """
    directory = layer / "pip-information"
    directory.mkdir(exist_ok=True)
    wanted = {path.name: path for path in pip_information().values()}
    for link in directory.iterdir():
        if link.name not in wanted:
            link.unlink()
    for name, path in wanted.items():
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(path)
    return directory


def unlocked(layer: Path) -> list[str]:
    """Return the packages that the user allows to differ from the lab's."""
    try:
        return (layer / "unlocked.txt").read_text(encoding="utf-8").split()
    except (OSError, UnicodeError):
        return []


def write_constraints(layer: Path, name: str) -> dict[str, str]:
    """Write the constraints for pip and uv, and the names that uv leaves out, and return the constraints."""
    free = set(unlocked(layer))
    pins = {package: version for package, version in sorted(locked_versions(name).items()) if package not in free}
    _write(layer / "constraints.txt", "".join(f"{package}=={version}\n" for package, version in pins.items()))
    _write(layer / "excludes.txt", "".join(f"{package}\n" for package in pins))
    return pins


def rejection(packages: dict[str, str], name: str) -> str:
    """Return the sentence for packages of the lab that an installation would have replaced."""
    listed = ", ".join(f"{package} {version}" for package, version in sorted(packages.items()))
    return (
        f"gpulab: the environment {name} has {listed}, which is not replaced: install a version that fits, allow "
        f"another one with `gpulab env unlock {' '.join(sorted(packages))}`, or use an environment of your own: "
        "`python3 -m venv ~/mine && gpulab kernel add ~/mine`."
    )


def main(arguments: list[str]) -> str:
    """Make the layer NAME, or mend it (NAME again), and print its directory; return a message if that fails."""
    name = arguments[0]
    try:
        if arguments[1:] == ["again"]:
            make(name, again=True)
        sys.stdout.write(f"{prepare(name)}\n")
    except LayerError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
