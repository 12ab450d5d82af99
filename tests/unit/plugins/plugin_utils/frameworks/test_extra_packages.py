# SPDX-License-Identifier: GPL-3.0-or-later
"""Extra packages for the frameworks' environments: checks on the controller, and the locks of the sets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.planning import plan
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.profiles import PROFILES, SETS, Profile
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import pins
from ansible_collections.gpulab.core.plugins.plugin_utils.frameworks import extra_packages

FILES = Path(__file__).resolve().parents[5] / "roles/frameworks/files"
HASH = "--hash=sha256:" + "a" * 64


def test_unknown_sets_are_rejected_in_one_sentence_with_the_choices() -> None:
    """A file is not a set."""
    problems = extra_packages.unknown_sets(["geo", "maps", "audio", "files/own.txt", "own.txt"], SETS)
    assert problems == [
        "frameworks_extra_packages (gpulab_extra_packages): unknown set maps, audio; choose from geo, nlp, vision, or "
        "name a requirements file (NAME.txt)."
    ]
    assert extra_packages.unknown_sets(["geo", "own.txt"], SETS) == []


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        (f"# a comment\n\nsix==1 \\\n    {HASH}\nidna==2 {HASH}\n", ""),
        (f"six==1 \\\n    {HASH}\n\nidna>=2 # newest\nnumpy\n", "line 4: idna>=2"),
        ("six==1 \\\n", "line 1: six==1"),
        (f"-r other.txt\nsix==1 {HASH}\n", "line 1: -r other.txt"),
        (f"git+https://example.org/x\nsix==1 {HASH}", "line 1: git+https://example.org/x"),
        ("", ""),
    ],
)
def test_first_line_without_a_hash_is_named(text: str, requirement: str) -> None:
    """Continued lines are one requirement; another file, and an address, have no hash."""
    assert extra_packages.first_without_hash(text) == requirement


def test_problem_of_a_file_names_the_fix() -> None:
    """A file that does not exist, and one whose packages cannot be checked."""
    assert "own.txt does not exist on the controller" in extra_packages.file_problems("own.txt", None)[0]
    problem = extra_packages.file_problems("own.txt", "six\n")[0]
    assert "own.txt, line 1: six has no hash" in problem
    assert "uv pip compile --generate-hashes" in problem
    assert extra_packages.file_problems("own.txt", f"six==1 {HASH}") == []


def test_extras_go_into_every_environment_with_the_lock_of_its_profile() -> None:
    """A set has a lock for each; a file is the same for all; each needs disk space."""
    gpus = [{"address": "0000:01:00.0", "device_id": "ffff", "model": "T4"}]
    plain, extended = (
        plan(gpus, "580.95.05", python="3.12", extras=requested) for requested in ([], ["geo", "/x/own.txt"])
    )
    assert [environment["extras"] for environment in extended["environments"]] == [
        ("locks/extras/geo-tensorflow-cu12-py312.txt", "/x/own.txt"),
        ("locks/extras/geo-torch-cu13-py312.txt", "/x/own.txt"),
    ]
    assert extended["environments"][0]["free_gb"] == plain["environments"][0]["free_gb"] + 2
    assert plain["environments"][0]["extras"] == ()


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("name", SETS)
def test_lock_of_a_set_fits_its_profile(profile: Profile, name: str) -> None:
    """It pins no package of the profile, every line has a hash and none an index; geo includes GDAL."""
    for python in profile.pythons:
        text = (FILES / profile.extra_lock(name, python)).read_text(encoding="utf-8")
        assert extra_packages.first_without_hash(text) == ""
        assert "://" not in text
        versions = pins(text)
        assert not set(versions) & set(pins((FILES / profile.lock(python)).read_text(encoding="utf-8")))
        assert {"geo": "rasterio", "nlp": "transformers", "vision": "scikit-image"}[name] in versions
        assert not [package for package in versions if re.match(r"(nvidia-|torch$|tensorflow|jax)", package)]


def test_every_lock_of_a_set_belongs_to_a_profile() -> None:
    """A lock of a removed profile would never be used."""
    known = {profile.extra_lock(name, python) for profile in PROFILES for python in profile.pythons for name in SETS}
    assert known == {f"locks/extras/{path.name}" for path in FILES.glob("locks/extras/*.txt")}
