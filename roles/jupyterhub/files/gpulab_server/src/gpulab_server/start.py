# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a user's Jupyter server; gpulab-server@.service runs `python -I -m gpulab_server.start`.

The hub passes arguments and certificates in GPULAB_SERVER. The key is written to a directory that only this unit can
read.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

from gpulab_server.home import FULL, error_of


def away_from_home(directory: Path) -> dict[str, str]:
    """Return environment variables that move what a server writes at its start out of a full home."""
    subdirectories = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTERLAB_SETTINGS_DIR": "lab/settings",
        "JUPYTERLAB_WORKSPACES_DIR": "lab/workspaces",
        "IPYTHONDIR": "ipython",
        "XDG_CACHE_HOME": "cache",
        "MPLCONFIGDIR": "matplotlib",
    }
    return {name: str(directory / path) for name, path in subdirectories.items()}


def write_certificates(settings: dict[str, Any], directory: Path) -> dict[str, str]:
    """Write key and certificates; return the environment variables with their paths for jupyterhub-singleuser."""
    directory.mkdir(mode=0o700)
    variables = {}
    for name, variable in (
        ("key", "JUPYTERHUB_SSL_KEYFILE"),
        ("certificate", "JUPYTERHUB_SSL_CERTFILE"),
        ("authority", "JUPYTERHUB_SSL_CLIENT_CA"),
    ):
        path = directory / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(settings[name], encoding="ascii")
        variables[variable] = str(path)
    return variables


def main() -> None:
    """Replace this process by the server."""
    environment = dict(os.environ)
    settings = json.loads(environment.pop("GPULAB_SERVER"))
    runtime = Path(environment["JUPYTER_RUNTIME_DIR"])
    runtime.mkdir(mode=0o700, exist_ok=True)
    arguments: list[str] = settings["arguments"]
    environment |= write_certificates(settings, runtime / "tls")
    error = error_of(pwd.getpwuid(os.getuid()).pw_dir)
    if error in FULL:
        environment |= away_from_home(runtime)
        # A trash in the home would free no space.
        arguments = [*arguments, "--FileContentsManager.delete_to_trash=False"]
    elif error:
        sys.exit(error)
    program = f"{sys.prefix}/bin/jupyterhub-singleuser"
    os.execve(program, [program, *arguments], environment)  # noqa: S606  # the environment of this very program


if __name__ == "__main__":
    main()
