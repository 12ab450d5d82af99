# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a system cuDNN: which release a host gets for which toolkits, from where, and what cannot work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.gpulab.core.plugins.module_utils.gpu.facts import Gpu, HostFacts
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers
from ansible_collections.gpulab.core.plugins.plugin_utils.cudnn.releases import (
    BY_VERSION,
    DISK_GB,
    DISTRO,
    FIRST_WITHOUT_VOLTA,
    PACKAGES,
    RELEASES,
    REPOSITORY,
    WHEELS,
    Release,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.branches import LAST_CUDA_OF_ARCHITECTURE
from ansible_collections.gpulab.core.plugins.plugin_utils.driver.packages import DRIVER_NAMES

ENABLED = "cudnn_enabled (gpulab_cudnn_enabled)"
VERSION = "cudnn_version (gpulab_cudnn_version)"
SOURCE = "cudnn_source (gpulab_cudnn_source)"
TOOLKITS = "cudnn_cuda_versions (gpulab_cuda_versions)"
KNOWN = " and ".join(release.version for release in RELEASES)


@dataclass(frozen=True)
class CudnnOptions:
    """Options of the role that the plan depends on, as in its specification.

    `toolkits` are the versions of the CUDA toolkits of the host, `installed` the names of libraries that need no
    further disk space.
    """

    toolkits: tuple[str, ...] = ()
    version: str = ""
    source: str = WHEELS
    path: str = "/opt/gpulab/cudnn"
    cache: str = "/var/cache/gpulab"
    installed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """A cuDNN to install, for the toolkits of one CUDA major version.

    `name` is that of its module and its directory. `root` is the directory with include and lib, in which a star
    stands for a version of Python.
    """

    name: str
    version: str
    cuda: int
    source: str
    toolkits: list[str]
    packages: list[str]
    lock: str
    root: str


@dataclass(frozen=True)
class CudnnPlan:
    """What to install. `problems` are the reasons why the plan cannot be applied.

    `blocked` are packages that must not come from NVIDIA's repository.
    """

    libraries: list[Library] = field(default_factory=list)
    default: str = ""
    packages: list[str] = field(default_factory=list)
    repository: bool = False
    blocked: list[str] = field(default_factory=lambda: list(DRIVER_NAMES))
    free_gb: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def cudnn_plan(host: HostFacts, options: CudnnOptions) -> CudnnPlan:
    """Return the plan for a host whose cuDNN is requested."""
    majors = sorted({number for toolkit in options.toolkits for number in numbers(toolkit)[:1]}, reverse=True)
    if problem := _contradiction(options, majors):
        return CudnnPlan(problems=[problem])
    chosen: dict[int, Release] = {}
    failures = []
    for major in majors:
        release, failure = _release(major, host, options)
        if release:
            chosen[major] = release
        else:
            failures.append(failure)
    if not chosen:
        return CudnnPlan(problems=failures)
    if options.source == REPOSITORY and len(chosen) > 1:
        names = " and ".join(map(str, sorted(chosen)))
        return CudnnPlan(
            problems=[
                f"NVIDIA's packages of cuDNN for CUDA {names} have the same files, so only one can be installed: "
                f"set {SOURCE} to wheels, or list toolkits of one major version in {TOOLKITS}"
            ]
        )
    libraries = [_library(major, release, options) for major, release in chosen.items()]
    return CudnnPlan(
        libraries=libraries,
        default=libraries[0].name,
        packages=[name for library in libraries for name in library.packages],
        repository=options.source == REPOSITORY,
        free_gb=_free_gb(libraries, options),
        notes=[f"{failure}." for failure in failures]
        + [note for major, release in chosen.items() for note in _notes(major, release, host)],
    )


def _contradiction(options: CudnnOptions, majors: Sequence[int]) -> str:
    """Return what is wrong with the options and the major versions of the toolkits; empty when nothing is."""
    if options.source == DISTRO:
        return (
            f"{SOURCE} is distro: the distribution's package nvidia-cudnn has no library, its installation downloads "
            f"one from NVIDIA past all mirrors and checksums. Set {SOURCE} to wheels or nvidia_repo"
        )
    if options.version and options.version not in BY_VERSION:
        return f"{VERSION}: {options.version} is unknown to this release of gpulab. Known: {KNOWN}"
    if not majors:
        return (
            f"{ENABLED} is true, and the host has no CUDA toolkit, whose major version decides which cuDNN fits: list "
            f"one in {TOOLKITS}, or set {ENABLED} to false"
        )
    return ""


def _known(host: HostFacts, major: int) -> list[Gpu]:
    """Return the GPUs of known models that a CUDA major version supports."""
    return [
        gpu
        for gpu in host["gpus"]
        if "architecture" in gpu and major <= LAST_CUDA_OF_ARCHITECTURE.get(gpu["architecture"], major)
    ]


def supports(release: Release, gpu: Gpu) -> bool:
    """Return whether a release computes on a GPU."""
    return numbers(gpu["compute_capability"]) >= numbers(release.lowest_capability)


def _named(gpus: Sequence[Gpu]) -> str:
    """Return the models of GPUs with their compute capabilities, once each."""
    return ", ".join(dict.fromkeys(f"{gpu['model']} (compute capability {gpu['compute_capability']})" for gpu in gpus))


def _release(major: int, host: HostFacts, options: CudnnOptions) -> tuple[Release | None, str]:
    """Return the release for a CUDA major version, or none and the reason."""
    built = [release for release in RELEASES if major in release.cuda]
    named = [release for release in built if options.version in ("", release.version)]
    if not named:
        missing = options.version or " or ".join(release.version for release in RELEASES)
        other = " or ".join(release.version for release in built)
        fix = f"set {VERSION} to {other}, or " if other else ""
        cuda = sorted({cuda for release in RELEASES if release.version in missing for cuda in release.cuda})
        return None, (
            f"cuDNN {missing} is not built for CUDA {major} (toolkit {', '.join(_toolkits(major, options))}): {fix}"
            f"list a toolkit of CUDA {' or '.join(map(str, cuda))} in {TOOLKITS}"
        )
    gpus = _known(host, major) or [gpu for gpu in host["gpus"] if "architecture" in gpu]
    # Of the releases that support most of the GPUs, the newest.
    best = max(named, key=lambda release: (sum(supports(release, gpu) for gpu in gpus), numbers(release.version)))
    if gpus and not any(supports(best, gpu) for gpu in gpus):
        return None, _unsupported(best, gpus)
    return best, ""


def _unsupported(release: Release, gpus: Sequence[Gpu]) -> str:
    """Return the problem of GPUs that a release does not support, with the last one that does."""
    last = next((other for other in reversed(RELEASES) if any(supports(other, gpu) for gpu in gpus)), None)
    if not last:
        return f"gpulab has no cuDNN that supports {_named(gpus)}: set {ENABLED} to false"
    cuda = " or ".join(map(str, last.cuda))
    return (
        f"cuDNN {release.version} does not support {_named(gpus)}: cuDNN {FIRST_WITHOUT_VOLTA} dropped Maxwell, Pascal "
        f"and Volta. The last that can is {last.version}: set {VERSION} to {last.version} with a toolkit of CUDA "
        f"{cuda} in {TOOLKITS}"
    )


def _toolkits(major: int, options: CudnnOptions) -> list[str]:
    """Return the toolkits of a major version, oldest first."""
    return sorted({kit for kit in options.toolkits if numbers(kit)[:1] == (major,)}, key=numbers)


def _library(major: int, release: Release, options: CudnnOptions) -> Library:
    """Return the library of a release for a CUDA major version."""
    name = f"{release.version}-cuda{major}"
    wheels = options.source == WHEELS
    return Library(
        name=name,
        version=release.version,
        cuda=major,
        source=options.source,
        toolkits=_toolkits(major, options),
        packages=[] if wheels else [package.format(major) for package in PACKAGES],
        lock=f"locks/cudnn-{name}.txt" if wheels else "",
        root=f"{options.path}/{name}/current/lib/python3*/site-packages/nvidia/cudnn" if wheels else "/usr",
    )


def _notes(major: int, release: Release, host: HostFacts) -> list[str]:
    """Return what an administrator has to know about a release that works."""
    left_out = [gpu for gpu in _known(host, major) if not supports(release, gpu)]
    return [f"cuDNN {release.version} does not support {_named(left_out)}."] if left_out else []


def _free_gb(libraries: Sequence[Library], options: CudnnOptions) -> dict[str, float]:
    """Return the disk space that the libraries need, by directory."""
    directories = {"path": options.path, "cache": options.cache}
    result: dict[str, float] = {}
    for library in (library for library in libraries if library.name not in options.installed):
        for name, gigabytes in DISK_GB[library.source].items():
            directory = directories.get(name, name)
            result[directory] = result.get(directory, 0) + gigabytes
    return result
