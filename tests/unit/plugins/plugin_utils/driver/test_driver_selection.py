# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection of a driver for every family of GPUs, system, source and option."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.gpu import models
from tests.unit.plugins.plugin_utils.driver.driver_hosts import FAMILY, SYSTEMS, plan

PROPRIETARY_580 = ("nvidia_repo", 580, "proprietary")
OPEN_580 = ("nvidia_repo", 580, "open")
SIGNED_OPEN = ("ubuntu_precompiled", 580, "open")
SIGNED_CLOSED = ("ubuntu_precompiled", 580, "proprietary")


@pytest.mark.parametrize(
    ("name", "debian", "ubuntu"),
    [
        ("K80", ("distro", 470, "proprietary"), ("ubuntu_precompiled", 470, "proprietary")),
        *((name, PROPRIETARY_580, SIGNED_CLOSED) for name in ("M40", "P4", "P100", "V100")),
        *((name, OPEN_580, SIGNED_OPEN) for name in FAMILY if name not in ("K80", "M40", "P4", "P100", "V100")),
    ],
)
def test_every_family_gets_its_branch_and_flavour(name: str, debian: tuple[Any, ...], ubuntu: tuple[Any, ...]) -> None:
    """R470 for Kepler, R580 for the rest; proprietary before Turing, open from there on."""
    for system, expected in (("12", debian), ("24.04", ubuntu)):
        result = plan(FAMILY[name], system=system)
        assert result.problems == []
        assert (result.source, result.branch, result.flavour) == expected, system
        assert result.action == "install"


def test_every_model_of_the_table_has_a_plan_or_a_problem() -> None:
    """No id of the table is without a result, on any system."""
    for model in models.MODELS:
        for system in SYSTEMS:
            result = plan(model.pci_ids[0].removeprefix("10de:"), system=system)
            assert bool(result.packages) is not bool(result.problems), (model.name, system)
            if result.problems:
                assert (model.architecture, system) == ("Kepler", "13"), model.name
                assert "Debian 12" in result.problems[0]


@pytest.mark.parametrize(
    ("ids", "branch", "flavour"),
    [
        (("1db1", "1eb8"), 580, "proprietary"),
        (("1eb8", "2bb5"), 580, "open"),
        (("15f8", "2204"), 580, "proprietary"),
        (("102d", "1db1"), 470, "proprietary"),
        (("2204", "2204"), 580, "open"),
    ],
)
def test_mixed_hosts_get_a_driver_for_all_of_their_cards(ids: tuple[str, ...], branch: int, flavour: str) -> None:
    """Requirements are intersected."""
    result = plan(*ids)
    assert (result.problems, result.branch, result.flavour) == ([], branch, flavour)


@pytest.mark.parametrize(
    ("ids", "system", "settings", "words"),
    [
        (("102d",), "12", {"source": "nvidia_repo"}, "possible are distro R470 proprietary"),
        (("102d",), "12", {"branch": "580"}, "R470 is the last"),
        (("2901",), "12", {"source": "distro"}, "possible are nvidia_repo R580 open"),
        (("2bb5",), "13", {"flavour": "proprietary"}, "nvidia_driver_flavour proprietary has no driver"),
        (("1db1",), "12", {"branch": "595"}, "driver 595 is too new for V100: R580 is the last"),
        (("1eb8",), "12", {"source": "ubuntu_precompiled"}, "(gpulab_driver_source) ubuntu_precompiled has no driver"),
        (("2901",), "12", {"branch": "550"}, "driver 550 is too old for B200: at least 570.133.20"),
    ],
)
def test_unsatisfiable_option_names_the_possible_drivers(
    ids: tuple[str, ...], system: str, settings: dict[str, str], words: str
) -> None:
    """The problem names the option, the reason, and the possible drivers."""
    result = plan(*ids, system=system, settings=settings)
    assert (result.action, result.packages) == ("none", [])
    assert len(result.problems) == 1
    assert words in result.problems[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"source": "distro"}, ("distro", 535, "proprietary")),
        ({"source": "distro", "flavour": "open"}, ("distro", 535, "open")),
        ({"branch": "595"}, ("nvidia_repo", 595, "open")),
        ({"branch": "595", "flavour": "proprietary"}, ("nvidia_repo", 595, "proprietary")),
        ({"branch": "615"}, ("nvidia_repo", 615, "open")),
        ({"version": "580.95.05"}, ("nvidia_repo", 580, "open")),
    ],
)
def test_source_branch_flavour_and_version_can_be_requested(
    settings: dict[str, str], expected: tuple[str, int, str]
) -> None:
    """Each option restricts the choice."""
    result = plan("1eb8", settings=settings)
    assert (result.source, result.branch, result.flavour) == expected
    assert result.version == settings.get("version", "")


def test_proprietary_module_is_rejected_where_the_vendor_dropped_it() -> None:
    """From R615 on there is none."""
    assert "R580" in plan("1eb8", settings={"branch": "615", "flavour": "proprietary"}).problems[0]


def test_unsuffixed_metapackage_is_never_used() -> None:
    """cuda-drivers may be empty, nvidia-open follows every new branch; the branch is pinned first."""
    for system in SYSTEMS:
        for branch in ("580", "595", "615"):
            result = plan("1eb8", system=system, settings={"source": "nvidia_repo", "branch": branch})
            assert not {"cuda-drivers", "nvidia-open", "cuda"} & set(result.packages)
            assert result.first == [f"nvidia-driver-pinning-{branch}"]


@pytest.mark.parametrize(
    ("system", "settings", "source", "problems"),
    [
        ("24.04", {}, "ubuntu_precompiled", 0),
        ("12", {}, "", 1),
        ("12", {"secure_boot": "own_key"}, "nvidia_repo", 0),
        ("24.04", {"source": "distro"}, "", 1),
    ],
)
def test_secure_boot_takes_signed_modules_or_an_own_key(
    system: str, settings: dict[str, str], source: str, problems: int
) -> None:
    """Signed modules first; then a key of the host where requested; else a problem before anything is installed."""
    result = plan("1eb8", system=system, settings=settings, secure_boot="enabled")
    assert (result.source, len(result.problems)) == (source, problems)
    if problems:
        assert "own_key" in result.problems[0]
