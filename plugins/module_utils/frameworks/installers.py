# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the installers of Python and npm packages with settings that no other account can influence."""

from __future__ import annotations

import base64
import io
import os
import pwd
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.gpulab.core.plugins.module_utils.common import host_state
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installer_messages import explain

INSTALL_SECONDS = 5400.0
"""Time limit of one installer, in seconds."""
QUERY_SECONDS = 60.0
"""Time limit of a short program in an interpreter, in seconds."""


class InstallError(Exception):
    """An installation failed; the message names the fix."""


def read_environment_file(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file, as systemd's EnvironmentFile= reads plain values; none if it is absent."""
    if not path.is_file():
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        name: value.strip("\"'")
        for name, separator, value in (line.partition("=") for line in lines if not line.startswith("#"))
        if separator
    }


def installer_environment(cache: Path, sources_file: Path) -> dict[str, str]:
    """Return the environment variables of the installers: their caches, package sources and isolation."""
    return {
        **os.environ,
        **read_environment_file(sources_file),
        "UV_CACHE_DIR": str(cache / "uv"),
        # Links, not copies, where cache and environments share a file system (uv copies elsewhere): half the space and
        # half the writing. Installers replace files and never write into them; the verification detects manual changes.
        "UV_LINK_MODE": "hardlink",
        "UV_PYTHON_DOWNLOADS": "never",
        # Every version is pinned by hash, so any index that has the file will do.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "NPM_CONFIG_CACHE": str(cache / "npm"),
        # npm would load bytecode from the host's /tmp, where every account can put some.
        "NODE_DISABLE_COMPILE_CACHE": "1",
        # Settings of installers are root's own, whichever account sudo was called from.
        "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
        "PYTHONNOUSERSITE": "1",
    }


def run_installer(
    argv: Sequence[str], environment: Mapping[str, str], directory: Path = Path("/"), paths: Sequence[str] = ()
) -> None:
    """Run an installer in a directory; raise InstallError with its last lines when it fails or takes too long.

    The default directory is not the current one: Python reads modules, and npm and uv settings, from there. `paths` are
    those that it writes to, for the message about a full file system.
    """
    try:
        result = subprocess.run(
            argv,
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(
            f"{Path(argv[0]).name} took longer than {INSTALL_SECONDS / 60:.0f} minutes and was stopped. "
            "Check the mirrors, then run again."
        ) from error
    except OSError as error:
        raise InstallError(f"{argv[0]} cannot be run: {error.strerror}. {why_not_run(Path(argv[0]))}") from error
    if result.returncode:
        raise InstallError(explain(Path(argv[0]).name, result.stdout, paths))


def why_not_run(program: Path) -> str:
    """Return what to do about a program that cannot be run."""
    if host_state.mount_problem(program) == "noexec":
        mount = host_state.mount_point(program)
        return f"The file system mounted at {mount} has the option noexec: run 'mount -o remount,exec {mount}'."
    return "Apply the role gpulab.core.tools first."


def query_python(interpreter: str, code: str) -> str:
    """Return the output of a program in an interpreter that reads no code from environment or current directory."""
    argv = [interpreter, "-I", "-c", code]
    result = subprocess.run(argv, capture_output=True, check=True, text=True, cwd="/", timeout=QUERY_SECONDS)
    return result.stdout.strip()


def unpack(archive: str, directory: Path) -> None:
    """Unpack a base64 tar archive that the action plugin has packed."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as opened:
        if hasattr(tarfile, "data_filter"):
            opened.extractall(directory, filter="data")
        else:
            opened.extractall(directory)  # noqa: S202  # packed by our own action plugin from plain files
