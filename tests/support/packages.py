# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that tests make, and the personal layers that they install them into."""

from __future__ import annotations

import base64
import io
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import Any

from tests.support.expected import Expected


def layer(host: Any, expected: Expected, user: str) -> str:
    """Return the directory of a user's layer on the environment that R uses, too."""
    environment = PurePosixPath(expected.interpreter).parents[2]
    version = host.check_output("cd %s/current/lib && ls -d python3.*", str(environment)).removeprefix("python")
    return f"{host.user(user).home}/.local/share/gpulab/envs/{environment.name}/{version}"


def wheel(name: str, *requirements: str, version: str = "1.0", source: str = "") -> tuple[str, bytes]:
    """Return name and content of a wheel with one module, named as the package, and a program of that name."""
    module = name.replace("-", "_")
    information = f"{module}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requirements)
    files = {
        f"{module}.py": f"{source}\ndef main():\n    print('{name} {version}')\n",
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: gpulab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    files[f"{information}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{information}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{module}-{version}-py3-none-any.whl", buffer.getvalue()


def r_package(name: str) -> tuple[str, bytes]:
    """Return file name and content of a source package of R with a function in C."""
    c = "#include <R.h>\n#include <Rinternals.h>\nSEXP answer(void) { return ScalarInteger(42); }\n"
    files = {
        "DESCRIPTION": f"Package: {name}\nVersion: 1.0\nTitle: Test\nDescription: A test.\nLicense: GPL-3\n"
        "Author: gpulab\nMaintainer: gpulab <gpulab@example.org>\n",
        "NAMESPACE": f"useDynLib({name})\nexport(answer)\n",
        "R/answer.R": f'answer <- function() .Call("answer", PACKAGE = "{name}")\n',
        "src/answer.c": c,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return f"{name}_1.0.tar.gz", buffer.getvalue()


def upload(host: Any, user: str, directory: str, *files: tuple[str, bytes]) -> None:
    """Write files into a directory of a user."""
    for name, content in files:
        text = base64.b64encode(content).decode("ascii")
        command = f"mkdir -p {directory} && echo {text} | base64 -d > {directory}/{name}"
        host.check_output("runuser -u %s -- sh -c %s", user, command)
