# SPDX-License-Identifier: GPL-3.0-or-later
"""R packages that the distribution lacks: from files with a digest, and from a mirror, with packages of the tests."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import Lab

LIBRARY = "/usr/local/lib/R/site-library"


def package(directory: Path, name: str) -> Path:
    """Write a source package of R with one function."""
    texts = {
        "DESCRIPTION": f"Package: {name}\nVersion: 1.0\nTitle: T\nDescription: D.\nLicense: GPL-3\n"
        "Author: A\nMaintainer: A <a@b.example>\n",
        "NAMESPACE": "export(answer)\n",
        "R/answer.R": "answer <- function() 42L\n",
    }
    path = directory / f"{name}_1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for place, text in texts.items():
            entry = tarfile.TarInfo(f"{name}/{place}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def apply(lab: Lab, **options: Any) -> tuple[int, str]:
    """Apply the parts of the role and return the exit code and the output."""
    extra = json.dumps({f"r_tensorflow_{name}": value for name, value in options.items()})
    done = lab.ansible("ansible-playbook", "molecule/frameworks/r_packages.yml", "--extra-vars", extra)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def clean(lab: Lab) -> Iterator[None]:
    """Remove the packages of a test."""
    yield
    lab.shell(f"rm -rf {LIBRARY}/gpulabtest {LIBRARY}/gpulabmirror /srv/cran")


@pytest.mark.usefixtures("clean")
def test_file_with_its_digest_is_installed_once(lab: Lab, host: Any, tmp_path: Path) -> None:
    """Another file is rejected before any change; the second run changes nothing; a user can use the package."""
    path = package(tmp_path, "gpulabtest")
    setting = {"name": "gpulabtest", "src": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    code, output = apply(lab, extra_source="tarballs", tarballs=[{**setting, "sha256": "0" * 64}])
    assert code != 0
    assert f"has the SHA-256 {setting['sha256']}" in output
    assert not host.file(f"{LIBRARY}/gpulabtest").exists
    code, output = apply(lab, extra_source="tarballs", tarballs=[setting])
    assert code == 0, output[-2000:]
    assert host.check_output("runuser nobody -s /bin/sh -c \"Rscript -e 'cat(gpulabtest::answer())'\"") == "42"
    code, output = apply(lab, extra_source="tarballs", tarballs=[setting])
    assert (code, "changed=0" in output) == (0, True)


@pytest.mark.usefixtures("clean")
def test_mirror_is_a_variable(lab: Lab, host: Any, tmp_path: Path) -> None:
    """A directory of the host can be the mirror; one that does not exist is rejected."""
    path = package(tmp_path, "gpulabmirror")
    lab.shell("mkdir -p /srv/cran/src/contrib")
    lab.ansible(
        "ansible", lab.host, "-m", "ansible.builtin.copy", "-a", f"src={path} dest=/srv/cran/src/contrib/ mode=0644"
    )
    lab.shell("Rscript -e 'tools::write_PACKAGES(\"/srv/cran/src/contrib\")'")
    setting = {"extra_source": "cran", "extra_packages": ["gpulabmirror"]}
    code, output = apply(lab, **setting, cran="file:///srv/none")
    assert code != 0
    assert "r_tensorflow_cran (gpulab_sources.cran): file:///srv/none cannot be used" in output
    code, output = apply(lab, **setting, cran="file:///srv/cran")
    assert code == 0, output[-2000:]
    assert host.check_output("Rscript -e 'cat(gpulabmirror::answer())'") == "42"
