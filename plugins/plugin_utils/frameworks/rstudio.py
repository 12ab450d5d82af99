# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the package of RStudio Server for a host. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

BUILDS = {"bookworm": "jammy", "trixie": "jammy", "jammy": "jammy", "noble": "jammy"}
"""The vendor's build for a release of the distribution: Ubuntu 22.04's needs OpenSSL 3, which they all have."""

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
DIGESTS = {("2026.09.0+174", "jammy", "amd64"): "168bc577ef2f68abab1ad2ed684e830da1d244618b25b69fd20448e60716c5ba"}
"""SHA-256 of packages, as repo2docker pins them (repo2docker/buildpacks/_r_base.py)."""

OLDEST = (2024, 12)
"""The first release that can listen on a unix socket (rstudio/rstudio#14938); all users can reach a port."""

VERSION = re.compile(r"^(\d{4})\.(\d{1,2})\.\d+\+\d+(\.pro\d+)?$")
DIGEST = re.compile(r"^[0-9a-f]{64}$")
REPORTS = {
    "install": "RStudio Server is installed behind the hub",
    "keep": "RStudio Server is installed behind the hub",
    "remove": "RStudio Server was removed",
    "skip": "RStudio Server is not installed",
}


class Host(TypedDict):
    """Facts of a host: release, processor, digest of this role's package (or ""), another's configuration (or "")."""

    release: str
    machine: str
    installed: str
    foreign: str


@dataclass(frozen=True)
class Plan:
    """The action: install, keep, skip or remove. A rejection, if there is one, names the fix."""

    action: str = "skip"
    reason: str = ""
    rejection: str = ""
    address: str = ""
    sha256: str = ""

    @property
    def report(self) -> str:
        """One sentence for the end of the run."""
        reason = f", because {self.reason}" if self.reason else ""
        if self.action == "keep" and self.reason:
            reason = f"; another package is requested and was not installed, because {self.reason}"
        return f"{REPORTS[self.action]}{reason}."

    def as_dict(self) -> dict[str, str]:
        """Return the fields and the report."""
        return {**asdict(self), "report": self.report}


def address(url: str, version: str, build: str, machine: str) -> str:
    """Return the address of a package below the vendor's or a mirror's directory; that of a package stays as it is."""
    if url.endswith(".deb"):
        return url
    return f"{url.rstrip('/')}/{build}/{machine}/rstudio-server-{version.replace('+', '-')}-{machine}.deb"


def option_problem(version: str, sha256: str, package: str, file: Mapping[str, Any]) -> str:
    """Return the problem of the options that does not depend on the host; empty if there is none."""
    if sha256 and not DIGEST.match(sha256):
        return f"rstudio_sha256: {sha256} is not a SHA-256: set the 64 small hexadecimal digits that sha256sum prints."
    if package:
        if not sha256:
            return f"rstudio_package: {package} has no digest: set rstudio_sha256 to the output of sha256sum."
        if not file.get("exists"):
            return f"rstudio_package: {package} does not exist on the controller."
        if file.get("checksum") != sha256:
            return f"rstudio_package: {package} has the SHA-256 {file.get('checksum')}, and rstudio_sha256 is {sha256}."
        return ""
    match = VERSION.match(version)
    if not match:
        return f"rstudio_version: {version} is not a version such as 2026.09.0+174."
    if (int(match[1]), int(match[2])) < OLDEST:
        return (
            f"rstudio_version: {version} can only listen on a port, which all users of the host can reach: set 2024.12 "
            "or newer."
        )
    return ""


def rstudio_plan(
    host: Host,
    enabled: str,
    version: str,
    sha256: str = "",
    package: str = "",
    url: str = "",
    file: Mapping[str, Any] | None = None,
    unreachable: Iterable[str] = (),
) -> dict[str, str]:
    """Return the fields of Plan for a host.

    `file` is the state of `package` on the controller, `unreachable` the reasons why the source cannot be used.
    """
    if enabled == "false":
        action = "remove" if host["installed"] else "skip"
        return Plan(action, 'rstudio_enabled (gpulab_rstudio) is "false"').as_dict()
    if problem := option_problem(version, sha256, package, file or {}):
        return Plan(rejection=problem).as_dict()
    build, machine = BUILDS.get(host["release"], ""), MACHINES.get(host["machine"], "")
    digest = sha256 or DIGESTS.get((version, build, machine), "")
    source = package or address(url, version, build, machine)
    if host["installed"] and host["installed"] == digest:
        return Plan("keep", address=source, sha256=digest).as_dict()
    obstacle = ""
    if host["foreign"]:
        obstacle = (
            f"the host has an RStudio Server that gpulab did not install ({host['foreign']}): it stays as it is; to "
            "have one behind the hub, remove that package and its configuration"
        )
    elif not package and not (build and machine):
        obstacle = (
            f"there is no package for {host['release']} on {host['machine']} (only for {', '.join(BUILDS)} on "
            f"{', '.join(MACHINES)}); rstudio_package can name a package of your own"
        )
    elif not digest:
        rejection = (
            f"the digest of RStudio Server {version} for {build} on {machine} is unknown: set rstudio_sha256 to the "
            "output of sha256sum for the package."
        )
        return Plan(rejection=rejection).as_dict()
    elif problems := list(unreachable):
        obstacle = " ".join(problems).rstrip(".")
    if not obstacle:
        return Plan("install", address=source, sha256=digest).as_dict()
    if enabled == "true":
        rejection = f"{obstacle}. Or set rstudio_enabled (gpulab_rstudio) to auto or false."
        return Plan(rejection=rejection).as_dict()
    return Plan("keep" if host["installed"] else "skip", obstacle, sha256=host["installed"]).as_dict()
