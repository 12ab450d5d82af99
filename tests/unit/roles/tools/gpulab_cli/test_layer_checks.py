# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of a layer that do not fit the lab's versions, or cannot be imported."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpulab_cli import layer_checks, layers

from tests.support.layers import install


def test_packages_are_listed_as_requirements(layer: Path) -> None:
    """By their own names; damaged metadata hides no other package."""
    install(layer, "Zope.Thing", "2.0")
    (layers.site_directory(layer) / "broken-1.0.dist-info").mkdir()
    assert layer_checks.frozen(layer) == ["zope-thing==2.0"]


def test_unmet_requirements_are_named(layer: Path) -> None:
    """By the layer and the lab together; extras and other platforms do not count."""
    install(
        layer, "fits", requires=("numpy>=1.20", "mine", "absent; extra == 'all'", "absent; sys_platform == 'win32'")
    )
    install(layer, "mine", requires=("numpy>=2",))
    install(layer, "lacks", requires=("absent",))
    found = layer_checks.conflicts(layer, {"numpy": "1.26.4"})
    assert found == {"mine": "needs numpy>=2, and 1.26.4 is installed", "lacks": "needs absent, which is not installed"}


@pytest.mark.parametrize("version", ["2.13.0+cpu", "2.13.0"])
def test_local_versions_meet_requirements(version: str) -> None:
    """The lab's CPU build of PyTorch has one."""
    assert layer_checks.unmet("torch==2.13.0", {"torch": version}, "3.11") == ""


def test_broken_requirements_are_skipped() -> None:
    """Some old packages have such lines."""
    assert layer_checks.unmet("x (>=???)", {"x": "1"}, "3.11") == ""


def test_compiled_packages_are_imported(layer: Path) -> None:
    """Only those; the reason is the last line of the error."""
    install(layer, "works", source="import labmodule\n")
    install(layer, "broken", source="raise ImportError('numpy.core.multiarray failed to import')\n")
    install(layer, "pure")
    assert set(layer_checks.compiled(layer)) == {"works", "broken"}
    found = layer_checks.broken_imports(layer)
    assert list(found) == ["broken"]
    assert "numpy.core.multiarray" in found["broken"]


def test_notice_names_the_first_problem(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None for a layer that works or does not exist."""
    assert layer_checks.notice("ml", layer) == ""
    assert layer_checks.notice("ml", layer.with_name("absent")) == ""
    bad = layers.site_directory(layer) / "bad.pth"
    bad.write_text("import sys; sys.exit('broken here')\n")
    notice = layer_checks.notice("ml", layer)
    assert "does not start (SystemExit: broken here); remove the broken .pth file" in notice
    monkeypatch.setattr(layer_checks, "is_noexec", lambda _: True)
    assert "noexec); `gpulab env move ml" in layer_checks.notice("ml", layer)
