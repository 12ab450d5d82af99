"""Start a user's Jupyter server, as gpulab-server@.service does with `python -I -m gpulab_server.start`.

The hub passes arguments and certificates in GPULAB_SERVER. The key is written where only this unit can read it.
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
    """Return where a server keeps what it writes while it starts when the home takes nothing more."""
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTERLAB_SETTINGS_DIR": "lab/settings",
        "JUPYTERLAB_WORKSPACES_DIR": "lab/workspaces",
        "IPYTHONDIR": "ipython",
        "XDG_CACHE_HOME": "cache",
        "MPLCONFIGDIR": "matplotlib",
    }
    return {name: str(directory / below) for name, below in names.items()}


def write_certificates(settings: dict[str, Any], directory: Path) -> dict[str, str]:
    """Write key and certificates; return the variables that name them to jupyterhub-singleuser."""
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
        # What is deleted must be deleted for good: a trash in the home would free nothing.
        arguments = [*arguments, "--FileContentsManager.delete_to_trash=False"]
    elif error:
        sys.exit(error)
    program = f"{sys.prefix}/bin/jupyterhub-singleuser"
    os.execve(program, [program, *arguments], environment)  # noqa: S606  # the environment of this very program


if __name__ == "__main__":
    main()
