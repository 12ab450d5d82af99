# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of CUDA toolkits: which ones a host gets, from where, with which compiler, and what cannot work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import Gpu, HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers
from ansible_collections.gpulab.core.plugins.plugin_utils.cuda.releases import (
    BY_VERSION,
    DISK_GB,
    DISTRIBUTIONS,
    DISTRO,
    MIN_DRIVERS,
    PACKAGES,
    RELEASES,
    REPOSITORY,
    WHEELS,
    Distribution,
    Release,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.branches import (
    CUDA_OF_ARCHITECTURE,
    LAST_CUDA_OF_ARCHITECTURE,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.packages import DRIVER_NAMES

VERSIONS = "cuda_versions (gpulab_cuda_versions)"
SOURCE = "cuda_source (gpulab_cuda_source)"
DEFAULT = "cuda_default_version (gpulab_cuda_default_version)"
DEFAULT_CAPABILITY = "7.5"
"""Compute capability to compile for where the host has no known GPU: all releases support it."""
NO_DISTRIBUTION = Distribution("", (), ())
SYSTEMS = ", ".join(f"{name.capitalize()} {version}" for name, version in DISTRIBUTIONS)


@dataclass(frozen=True)
class CudaOptions:
    """Options of the role that the plan depends on, as in its specification."""

    versions: tuple[str, ...] = ()
    source: str = "auto"
    default_version: str = ""
    path: str = "/opt/gpulab/cuda"
    cache: str = "/var/cache/gpulab"
    installed: tuple[str, ...] = ()
    """Versions that need no further disk space."""


@dataclass(frozen=True)
class Toolkit:
    """A toolkit to install.

    `root` is its directory, in which a star stands for a version of Python. `compiler` is the host compiler.
    `capabilities` are what to compile the check for, as 75.
    """

    version: str
    source: str
    package: str
    lock: str
    root: str
    compiler: str
    capabilities: list[str]


@dataclass(frozen=True)
class CudaPlan:
    """What to install. `problems` are the reasons why the plan cannot be applied.

    `packages` are all packages of distribution and repository, `components` those of the archive that they need.
    `blocked` are packages that must not come from NVIDIA's repository.
    """

    toolkits: list[Toolkit] = field(default_factory=list)
    default: str = ""
    packages: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    repository: bool = False
    blocked: list[str] = field(default_factory=lambda: list(DRIVER_NAMES))
    free_gb: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def cuda_plan(host: HostFacts, options: CudaOptions) -> CudaPlan:
    """Return the plan for a host and the requested options. A host without a driver or a GPU only compiles."""
    versions = tuple(dict.fromkeys(options.versions))
    if not versions:
        return CudaPlan()
    distribution = distribution_of(host)
    if distribution is NO_DISTRIBUTION:
        system = f"{host['system']['id']} {host['system']['version']}"
        return CudaPlan(problems=[f"the role cuda does not support {system}. Supported: {SYSTEMS}"])
    if unknown := [version for version in versions if version not in BY_VERSION]:
        return CudaPlan(problems=[_unknown(unknown)])
    default = options.default_version or max(versions, key=numbers)
    if default not in versions:
        return CudaPlan(
            problems=[f"{DEFAULT} is {default}, which {VERSIONS} does not list ({', '.join(versions)}): add it there"]
        )
    releases = [BY_VERSION[version] for version in versions]
    problems = [problem for release in releases for problem in _problems(release, host, options)]
    if problems:
        return CudaPlan(problems=problems)
    toolkits = [_toolkit(release, host, options, distribution) for release in releases]
    sources = {toolkit.source for toolkit in toolkits}
    packages = [name for toolkit in toolkits for name in (toolkit.package, toolkit.compiler) if name]
    return CudaPlan(
        toolkits=toolkits,
        default=default,
        packages=list(dict.fromkeys(packages)),
        components=list(distribution.components) if DISTRO in sources else [],
        repository=REPOSITORY in sources,
        free_gb=_free_gb(toolkits, options),
        notes=[note for release in releases for note in _notes(release, host)],
    )


def distribution_of(host: HostFacts) -> Distribution:
    """Return what the host's distribution has; nothing for an unknown one."""
    return DISTRIBUTIONS.get((host["system"]["id"], host["system"]["version"]), NO_DISTRIBUTION)


def source_of(release: Release, options: CudaOptions, distribution: Distribution) -> str:
    """Return the source of a release: the requested one, else the first that needs no further repository."""
    if options.source != "auto":
        return options.source
    if release.has_wheels:
        return WHEELS
    return DISTRO if distribution.version == release.version else REPOSITORY


def compiler_of(release: Release, distribution: Distribution) -> int:
    """Return the newest version of GCC that the distribution has and nvcc accepts, 0 where there is none."""
    return max((gcc for gcc in distribution.compilers if gcc <= release.newest_gcc), default=0)


def supports(release: Release, gpu: Gpu) -> bool:
    """Return whether nvcc compiles for a GPU; an unknown one counts as supported."""
    architecture = gpu.get("architecture", "")
    first = CUDA_OF_ARCHITECTURE.get(architecture, "0")
    last = LAST_CUDA_OF_ARCHITECTURE.get(architecture, release.major)
    return numbers(first) <= numbers(release.version) and release.major <= last


def _known(host: HostFacts) -> list[Gpu]:
    """Return the GPUs whose architecture is known; cards for screens are not among them."""
    return [gpu for gpu in host["gpus"] if "architecture" in gpu]


def _named(gpus: Sequence[Gpu]) -> str:
    """Return the models of GPUs with their compute capabilities, once each."""
    return ", ".join(dict.fromkeys(f"{gpu['model']} (compute capability {gpu['compute_capability']})" for gpu in gpus))


def _runs(release: Release, host: HostFacts) -> bool:
    """Return whether the loaded driver, if there is one, runs programs of a release."""
    driver = host["driver_version"]
    return not (driver and _known(host)) or numbers(driver) >= numbers(MIN_DRIVERS[release.major])


def _usable(release: Release, host: HostFacts) -> bool:
    """Return whether driver and GPUs allow a release: at least one GPU can be compiled for."""
    known = _known(host)
    return _runs(release, host) and (not known or any(supports(release, gpu) for gpu in known))


def _choices(host: HostFacts, options: CudaOptions) -> str:
    """Return the versions that can work on a host, for messages."""
    distribution = distribution_of(host)
    possible = [
        release.version
        for release in RELEASES
        if _usable(release, host) and _available(release, options, distribution) and compiler_of(release, distribution)
    ]
    return f"set {VERSIONS} to {' or '.join(possible)}" if possible else f"set {VERSIONS} to []"


def _available(release: Release, options: CudaOptions, distribution: Distribution) -> bool:
    """Return whether the source can have a release; NVIDIA's repository is read later."""
    source = source_of(release, options, distribution)
    if source == WHEELS:
        return release.has_wheels
    return source == REPOSITORY or distribution.version == release.version


def _unknown(versions: Sequence[str]) -> str:
    """Return the problem of versions that are not in the table."""
    known = ", ".join(release.version for release in RELEASES)
    return f"{VERSIONS}: {', '.join(versions)} is unknown to this release of gpulab. Known: {known}"


def _problems(release: Release, host: HostFacts, options: CudaOptions) -> list[str]:
    """Return the reasons why a release cannot work on a host, each with the versions that can."""
    distribution, known = distribution_of(host), _known(host)
    system = f"{host['system']['id']} {host['system']['version']}"
    fix = _choices(host, options)
    name = f"CUDA {release.version}"
    problems = []
    if not _available(release, options, distribution):
        problems.append(
            f"{name} does not come from {SOURCE} {options.source} on {system}: {fix}, or set {SOURCE} to auto"
        )
    if not compiler_of(release, distribution):
        problems.append(
            f"{name} compiles with GCC {release.newest_gcc} or older, and {system} has only GCC "
            f"{', '.join(map(str, distribution.compilers))}: {fix}"
        )
    if not _runs(release, host):
        problems.append(
            f"{name} needs driver {MIN_DRIVERS[release.major]} or newer, and the host has {host['driver_version']}: "
            f"{fix}, or install a newer driver (gpulab_driver_source, gpulab_driver_branch)"
        )
    if known and not any(supports(release, gpu) for gpu in known):
        problems.append(f"{name} does not compile for {_named(known)}: {fix}")
    return problems


def _notes(release: Release, host: HostFacts) -> list[str]:
    """Return what an administrator has to know about a release that works."""
    notes = []
    if left_out := [gpu for gpu in _known(host) if not supports(release, gpu)]:
        notes.append(f"CUDA {release.version} does not compile for {_named(left_out)}.")
    driver = numbers(host["driver_version"])[:1]
    if driver and _known(host) and (not release.branch or driver < (release.branch,)):
        carried = f"R{release.branch} carries" if release.branch else "newer drivers carry"
        notes.append(
            f"CUDA {release.version} is newer than driver {host['driver_version']} ({carried} it): compile for the GPU "
            "itself (nvcc -arch=native), because this driver does not run its PTX."
        )
    return notes


def _toolkit(release: Release, host: HostFacts, options: CudaOptions, distribution: Distribution) -> Toolkit:
    """Return the toolkit of a release."""
    source = source_of(release, options, distribution)
    roots = {
        WHEELS: f"{options.path}/{release.version}/current/lib/python3*/site-packages/nvidia/cu{release.major}",
        DISTRO: "/usr",
        REPOSITORY: f"/usr/local/cuda-{release.version}",
    }
    supported = [gpu["compute_capability"] for gpu in _known(host) if supports(release, gpu)]
    capabilities = sorted(set(supported or [DEFAULT_CAPABILITY]), key=numbers)
    return Toolkit(
        version=release.version,
        source=source,
        package=PACKAGES.get(source, "").format(release.version.replace(".", "-")),
        lock=f"locks/toolkit-{release.version}.txt" if source == WHEELS else "",
        root=roots[source],
        compiler=f"g++-{compiler_of(release, distribution)}",
        capabilities=[capability.replace(".", "") for capability in capabilities],
    )


def _free_gb(toolkits: Sequence[Toolkit], options: CudaOptions) -> dict[str, float]:
    """Return the disk space that the toolkits need, by directory."""
    directories = {"path": options.path, "cache": options.cache}
    result: dict[str, float] = {}
    for toolkit in (toolkit for toolkit in toolkits if toolkit.version not in options.installed):
        for name, gigabytes in DISK_GB[toolkit.source].items():
            directory = directories.get(name, name)
            result[directory] = result.get(directory, 0) + gigabytes
    return result
