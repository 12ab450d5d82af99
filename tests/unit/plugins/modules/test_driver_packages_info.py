# SPDX-License-Identifier: GPL-3.0-or-later
"""The module driver_packages_info on a stand-in for python-apt's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gpulab.core.plugins.modules.driver_packages_info import available_driver


@dataclass(order=True)
class Version:
    """A version of a package, as python-apt returns it."""

    version: str
    uris: list[str] = field(default_factory=lambda: ["http://mirror.example/x.deb"], compare=False)


@dataclass
class Package:
    """A package, as python-apt returns it."""

    shortname: str
    versions: list[Version]
    installed: Version | None = None


class Cache(dict[str, Package]):
    """apt's cache, which iterates over packages and not over names."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the packages."""
        return iter(self.values())

    def is_virtual_package(self, name: str) -> bool:
        """Return whether other packages provide a name."""
        return name == "nvidia-kernel-535"


def cache() -> Cache:
    """Return a cache with two versions of a driver, the older one installed."""
    old, new = Version("535.183.01-1"), Version("535.309.01-0")
    packages = [
        Package("nvidia-kernel-dkms", [old, new], installed=old),
        Package("libcuda1", [old, new], installed=old),
        Package("linux-headers-6.1.0-55-amd64", [Version("6.1.1")]),
        Package("bash", [Version("5.2")], installed=Version("5.2")),
        Package("nvidia-smi", []),
    ]
    return Cache({package.shortname: package for package in packages})


def driver(**options: Any) -> dict[str, Any]:
    """Return the driver's version and packages for these options."""
    return available_driver(
        cache(),
        {
            "main": "nvidia-kernel-dkms",
            "branch": 535,
            "version": "",
            "repository": "https://vendor.example",
            "from_repository": False,
            "packages": ["nvidia-kernel-dkms", "nvidia-smi", "nvidia-kernel-535", "linux-headers-amd64"],
            "optional_packages": ["linux-headers-6.1.0-55-amd64", "linux-headers-6.1.0-54-amd64"],
            "obsolete_packages": [],
            "patterns": ["nvidia-*", "libcuda1*"],
            **options,
        },
    )


def test_newest_version_and_its_packages_are_returned() -> None:
    """Installed packages of the driver get its version; packages without any version and unknown names are missing."""
    result = driver()
    assert (result["version"], result["other_versions"]) == ("535.309.01-0", ["535.183.01-1"])
    assert result["missing"] == ["nvidia-smi", "linux-headers-amd64"]
    assert result["available"] == ["linux-headers-6.1.0-55-amd64"]
    assert result["closure"] == ["libcuda1", "nvidia-kernel-dkms", "nvidia-smi"]
    assert result["transaction"] == [
        "nvidia-kernel-dkms=535.309.01-0",
        "nvidia-smi",
        "nvidia-kernel-535",
        "libcuda1=535.309.01-0",
    ]


def test_nothing_is_installed_without_a_version() -> None:
    """No source has the branch, and a main package without any version is not an error."""
    assert driver(branch=580)["version"] == ""
    assert driver(branch=580)["transaction"] == []
    assert driver(main="nvidia-smi")["version"] == ""
