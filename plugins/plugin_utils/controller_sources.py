# SPDX-License-Identifier: GPL-3.0-or-later
"""Package sources of the controller, in the form of the variable `gpulab_sources`.

Reads files and the environment only, starts no program: Ansible may evaluate the lookup many times in a run.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

EXTRA_CA_DIRECTORY = Path("/usr/local/share/ca-certificates")
"""CA certificates that an administrator added on Debian and Ubuntu (update-ca-certificates(8))."""


def pip_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Return pip's configuration files in reading order (pip's user guide, "Configuration files")."""
    if named := environ.get("PIP_CONFIG_FILE"):
        return [Path(named)]
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", config_home / "pip" / "pip.conf"]


def npm_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Return npm's configuration files in the order in which they are read (npm's documentation, "npmrc")."""
    return [
        Path(environ.get("NPM_CONFIG_GLOBALCONFIG") or "/etc/npmrc"),
        Path(environ.get("NPM_CONFIG_USERCONFIG") or home / ".npmrc"),
    ]


def controller_sources(
    environ: Mapping[str, str], home: Path, ca_directory: Path = EXTRA_CA_DIRECTORY
) -> dict[str, Any]:
    """Return proxies, further CA certificates and the settings of pip and npm, without those that are not set.

    Directories of wheels on the local disk are included: the caller decides whether a host can read them. Where one of
    them holds PyTorch's CPU build, `torch` is empty, because no other index is needed for it.
    Raises configparser.Error, which names the file, where a file has another format.
    """
    sources: dict[str, Any] = {
        "ca_certificates": sorted(str(path) for path in ca_directory.glob("*.crt")),
        "proxy": _proxy(environ),
        "pip": _pip(environ, pip_files(environ, home)),
        "npm": _npm(environ, npm_files(environ, home)),
    }
    found = {name: value for name, value in sources.items() if value}
    directories = [Path(entry) for entry in found.get("pip", {}).get("find_links", [])]
    if any(directory.is_dir() and list(directory.glob("torch-*+cpu-*.whl")) for directory in directories):
        found["torch"] = ""
    return found


def _proxy(environ: Mapping[str, str]) -> dict[str, str]:
    names = {"http": "http_proxy", "https": "https_proxy", "no_proxy": "no_proxy"}
    values = {key: environ.get(name) or environ.get(name.upper(), "") for key, name in names.items()}
    return {key: value for key, value in values.items() if value}


def _pip(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, Any]:
    """Return pip's settings in pip's own order: environment before files, section [install] before [global]."""
    parser = configparser.RawConfigParser()
    parser.read(files, encoding="utf-8")
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings.update(parser.items(section))
    for name in ("index-url", "extra-index-url", "find-links", "trusted-host"):
        if value := environ.get("PIP_" + name.upper().replace("-", "_")):
            settings[name] = value
    # An index in a directory of this machine's disk is only usable on this machine.
    extra = [url for url in settings.get("extra-index-url", "").split() if not url.startswith("file:")]
    found = {
        "index_url": settings.get("index-url", ""),
        "extra_index_urls": extra,
        "find_links": settings.get("find-links", "").split(),
        "trusted_hosts": settings.get("trusted-host", "").split(),
    }
    return {key: value for key, value in found.items() if value}


def _npm(environ: Mapping[str, str], files: Iterable[Path]) -> dict[str, str]:
    """Return npm's registry where one is configured."""
    registry = ""
    for path in files:
        if path.is_file():
            # npmrc is an ini file without a section.
            parser = configparser.RawConfigParser(allow_no_value=True, strict=False)
            parser.read_string("[npmrc]\n" + path.read_text(encoding="utf-8"), source=str(path))
            registry = parser.get("npmrc", "registry", fallback=registry) or registry
    registry = environ.get("NPM_CONFIG_REGISTRY") or environ.get("npm_config_registry") or registry
    return {"registry": registry} if registry else {}
