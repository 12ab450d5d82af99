# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks: every line has a hash, none names an index, and the rules between packages hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.profiles import PROFILES, Profile
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import pins

ROOT = Path(__file__).resolve().parents[4]
LOCKS = sorted([*ROOT.glob("roles/*/files/locks/*.txt"), *ROOT.glob("requirements/*.txt")])
FRAMEWORKS = ROOT / "roles/frameworks/files"
FOR_R = sorted({*FRAMEWORKS.glob("locks/*-py3*.txt")} - {*FRAMEWORKS.glob("locks/torch-cu13-*")})
CPU = sorted(ROOT.glob("roles/frameworks/files/locks/cpu-py*.txt"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_hashed_and_no_index_is_named(path: Path) -> None:
    """Any mirror can serve a lock, and none can serve other files."""
    for entry in re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8").strip()):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
        assert "://" not in entry, entry.splitlines()[0]


@pytest.mark.parametrize("path", CPU, ids=lambda path: path.name)
def test_cpu_locks_hold_both_frameworks_without_cuda(path: Path) -> None:
    """PyTorch's other build, or a CUDA wheel, would add gigabytes that a host without a GPU cannot use."""
    versions = pins(path.read_text(encoding="utf-8"))
    assert versions["torch"].endswith("+cpu")
    assert "tensorflow-cpu" in versions
    assert not [name for name in versions if name.startswith(("nvidia-", "triton"))]


@pytest.mark.parametrize("path", FOR_R, ids=lambda path: path.name)
def test_numpy_fits_the_distributions_reticulate(path: Path) -> None:
    """Only Debian 13 (Python 3.13) has a reticulate that converts arrays of NumPy 2."""
    major = int(pins(path.read_text(encoding="utf-8"))["numpy"].partition(".")[0])
    assert major == (2 if path.stem.endswith("313") else 1)


def test_every_profile_has_its_locks_and_no_other_lock_exists() -> None:
    """The table of profiles and the files agree."""
    known = {profile.lock(python) for profile in PROFILES for python in profile.pythons}
    assert known == {f"locks/{path.name}" for path in FRAMEWORKS.glob("locks/*-py3*.txt")}


@pytest.mark.parametrize("profile", [profile for profile in PROFILES if profile.cuda], ids=lambda profile: profile.name)
def test_lock_holds_one_cuda(profile: Profile) -> None:
    """Libraries of two CUDA versions have the same file names: the one that is installed last overwrites the other."""
    for python in profile.pythons:
        versions = pins((FRAMEWORKS / profile.lock(python)).read_text(encoding="utf-8"))
        generations = {name.rpartition("-cu")[2] for name in versions if re.search(r"^(nvidia|jax)-.*-cu\d+$", name)}
        generations |= {match[1] for name in versions if (match := re.match(r"jax-cuda(\d+)-", name))}
        assert generations == {str(profile.cuda)}
        assert set(profile.on_gpu) - {"jax"} <= set(versions)


def test_hub_and_servers_have_the_same_jupyterhub() -> None:
    """A hub and a server of different major versions cannot communicate."""
    versions = {
        pins((ROOT / f"roles/jupyterhub/files/locks/{name}.txt").read_text(encoding="utf-8"))["jupyterhub"]
        for name in ("hub", "server")
    }
    assert len(versions) == 1
