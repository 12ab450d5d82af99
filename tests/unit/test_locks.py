"""The locks: every line has a hash, none names an index, and the rules between packages hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.gpulab.core.plugins.modules.locked_environment import pins

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted([*ROOT.glob("roles/*/files/locks/*.txt"), *ROOT.glob("requirements/*.txt")])
CPU = sorted(ROOT.glob("roles/frameworks/files/locks/cpu-py*.txt"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_requirement_is_hashed_and_no_index_is_named(path: Path) -> None:
    """Any mirror may serve a lock, and none may serve something else."""
    for entry in re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8").strip()):
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
        assert "://" not in entry, entry.splitlines()[0]


@pytest.mark.parametrize("path", CPU, ids=lambda path: path.name)
def test_cpu_locks_hold_both_frameworks_without_cuda(path: Path) -> None:
    """PyTorch's other build, or a CUDA wheel, would bring gigabytes that a host without a GPU cannot use."""
    versions = pins(path.read_text(encoding="utf-8"))
    assert versions["torch"].endswith("+cpu")
    assert "tensorflow-cpu" in versions
    assert not [name for name in versions if name.startswith(("nvidia-", "triton"))]


@pytest.mark.parametrize("path", CPU, ids=lambda path: path.name)
def test_numpy_fits_the_distributions_reticulate(path: Path) -> None:
    """Only Debian 13 (Python 3.13) has a reticulate that converts arrays of NumPy 2."""
    major = int(pins(path.read_text(encoding="utf-8"))["numpy"].partition(".")[0])
    assert major == (2 if path.stem.endswith("313") else 1)


def test_every_cpu_lock_is_offered() -> None:
    """A lock that the role does not know, or knows and does not have, is a mistake."""
    known = yaml.safe_load((ROOT / "roles/frameworks/vars/main.yml").read_text(encoding="utf-8"))["__frameworks_locks"]
    assert sorted(known.values()) == [f"locks/{path.name}" for path in CPU]


def test_hub_and_servers_have_the_same_jupyterhub() -> None:
    """A hub and a server of different major versions do not talk to each other."""
    found = {
        pins((ROOT / f"roles/jupyterhub/files/locks/{name}.txt").read_text(encoding="utf-8"))["jupyterhub"]
        for name in ("hub", "server")
    }
    assert len(found) == 1
