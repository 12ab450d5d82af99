# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which package of RStudio Server a host gets, if any. Pure functions: decisions and sentences out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

BUILDS = {"bookworm": "jammy", "trixie": "jammy", "jammy": "jammy", "noble": "jammy"}
"""The vendor's build for a release of the distribution: that of Ubuntu 22.04 wants OpenSSL 3, as they all have it."""

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
KNOWN = {("2026.09.0+174", "jammy", "amd64"): "168bc577ef2f68abab1ad2ed684e830da1d244618b25b69fd20448e60716c5ba"}
"""SHA-256 of packages, as repo2docker pins them (repo2docker/buildpacks/_r_base.py)."""

LEAST = (2024, 12)
"""The first release that listens on a unix socket (rstudio/rstudio#14938); a port is open to all on the host."""

VERSION = re.compile(r"^(\d{4})\.(\d{1,2})\.\d+\+\d+(\.pro\d+)?$")
DIGEST = re.compile(r"^[0-9a-f]{64}$")


@dataclass(frozen=True)
class Plan:
    """What is done: install, keep, leave or revoke. A rejection, where there is one, names the fix."""

    action: str = "leave"
    reason: str = ""
    rejection: str = ""
    address: str = ""
    sha256: str = ""


def address(url: str, version: str, build: str, machine: str) -> str:
    """Give the address of a package below the vendor's, or a mirror's, directory; that of a package stays as it is."""
    if url.endswith(".deb"):
        return url
    return f"{url.rstrip('/')}/{build}/{machine}/rstudio-server-{version.replace('+', '-')}-{machine}.deb"


def mistakes(version: str, sha256: str, package: str, file: Mapping[str, Any]) -> str:
    """Tell what is wrong with the setting in itself, whatever the host is."""
    if sha256 and not DIGEST.match(sha256):
        return f"rstudio_sha256 {sha256} is no SHA-256: sha256sum prints 64 digits and small letters."
    if package:
        if not sha256:
            return f"rstudio_package {package} has no digest: put what sha256sum prints into rstudio_sha256."
        if not file.get("exists"):
            return f"rstudio_package {package} is not on the controller."
        if file.get("checksum") != sha256:
            return f"rstudio_package {package} has the SHA-256 {file.get('checksum')}, and rstudio_sha256 is {sha256}."
        return ""
    found = VERSION.match(version)
    if not found:
        return f"rstudio_version {version} is no version as 2026.09.0+174."
    if (int(found[1]), int(found[2])) < LEAST:
        return (
            f"rstudio_version {version} listens on ports alone, which are open to everybody on the host: take 2024.12 "
            "or newer."
        )
    return ""


def rstudio_plan(
    host: Mapping[str, Any],
    enabled: str,
    version: str,
    sha256: str = "",
    package: str = "",
    url: str = "",
    file: Mapping[str, Any] | None = None,
    unreachable: Iterable[str] = (),
) -> dict[str, Any]:
    """Decide what is done with RStudio Server on a host; gives a dictionary with the fields of Plan.

    `host` says `release`, `machine`, `installed` (the SHA-256 of the package that this role installed, if any) and
    `foreign` (an RStudio Server of somebody else's); `file` is the state of `package` on the controller; `unreachable`
    holds the reasons why the source cannot be used.
    """
    if enabled == "false":
        action = "revoke" if host["installed"] else "leave"
        return asdict(Plan(action, 'gpulab_rstudio is "false"'))
    if wrong := mistakes(version, sha256, package, file or {}):
        return asdict(Plan(rejection=wrong))
    build, machine = BUILDS.get(host["release"], ""), MACHINES.get(host["machine"], "")
    digest = sha256 or KNOWN.get((version, build, machine), "")
    place = package or address(url, version, build, machine)
    if host["installed"] and host["installed"] == digest:
        return asdict(Plan("keep", address=place, sha256=digest))
    obstacle = ""
    if host["foreign"]:
        obstacle = (
            f"the host has an RStudio Server that is not gpulab's ({host['foreign']}): it stays as it is; to have one "
            "behind the hub, remove that package and its configuration"
        )
    elif not package and not (build and machine):
        obstacle = (
            f"there is no package for {host['release']} on {host['machine']} (there are some for {', '.join(BUILDS)} "
            f"on {', '.join(MACHINES)}); rstudio_package may name one of your own"
        )
    elif not digest:
        return asdict(
            Plan(
                rejection=f"no digest is known of RStudio Server {version} for {build} on {machine}: put what "
                f"sha256sum "
                "prints for the package into rstudio_sha256."
            )
        )
    elif problems := list(unreachable):
        obstacle = " ".join(problems).rstrip(".")
    if not obstacle:
        return asdict(Plan("install", address=place, sha256=digest))
    if enabled == "true":
        return asdict(Plan(rejection=f"{obstacle}. Or choose gpulab_rstudio auto or false."))
    return asdict(Plan("keep" if host["installed"] else "leave", obstacle, sha256=host["installed"]))
