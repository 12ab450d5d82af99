# SPDX-License-Identifier: GPL-3.0-or-later
"""The artefact as it is installed without a checkout."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from tests.integration.artefact.artefact import Project, run
from tests.support.paths import ROOT


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the artefact from the checkout as it is now."""
    directory = tmp_path_factory.mktemp("artefact")
    run(ROOT, "scripts/build", str(directory))
    (built,) = directory.glob("gpulab-core-*.tar.gz")
    return built


@pytest.fixture(scope="session")
def contents(artefact: Path) -> dict[str, bytes]:
    """Return the files of the artefact by their path. A link must lead to a file of the artefact."""
    with tarfile.open(artefact) as opened:
        members = [member for member in opened.getmembers() if not member.isdir()]
        names = {member.name for member in members}
        for member in members:
            target = os.path.normpath(Path(member.name).parent / member.linkname) if member.issym() else member.name
            assert target in names, f"link out of the artefact: {member.name} -> {member.linkname}"
        return {member.name: opened.extractfile(member).read() for member in members}  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def project(artefact: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Set up a project outside the checkout that installed the artefact."""
    installed = Project(tmp_path_factory.mktemp("project"))
    installed.install(artefact)
    return installed
