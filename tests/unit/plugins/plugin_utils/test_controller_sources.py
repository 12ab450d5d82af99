# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's package settings are read as pip and npm themselves would read them."""

from pathlib import Path

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.controller_sources import controller_sources


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give an empty home, so that the settings of this account have no effect."""
    return tmp_path


def read(home: Path, **environ: str) -> dict[str, object]:
    """Read with this environment and no file outside the given home."""
    quiet = {"PIP_CONFIG_FILE": str(home / "pip.conf"), "NPM_CONFIG_GLOBALCONFIG": str(home / "none")}
    return controller_sources({**quiet, **environ}, home, ca_directory=home / "ca")


def test_nothing_set_gives_nothing(home: Path) -> None:
    """A controller without settings hands on none, so that the clients' own defaults hold."""
    assert read(home) == {}


def test_environment_beats_file(home: Path) -> None:
    """PIP_* variables win over pip.conf, as in pip."""
    (home / "pip.conf").write_text("[global]\nindex-url = https://one.example/simple\nfind-links = /wheels\n")
    found = read(home, PIP_INDEX_URL="https://two.example/simple")
    assert found["pip"] == {"index_url": "https://two.example/simple", "find_links": ["/wheels"]}


def test_index_on_the_local_disk_is_left_out(home: Path) -> None:
    """An index in a directory of the controller cannot serve a host."""
    (home / "pip.conf").write_text(
        "[global]\nextra-index-url = file:///indexes/simple\n    https://mirror.example/simple\n"
    )
    assert read(home)["pip"] == {"extra_index_urls": ["https://mirror.example/simple"]}


def test_npm_registry_comes_from_npmrc(home: Path) -> None:
    """Npmrc files have no section and may hold words without a value."""
    (home / ".npmrc").write_text("fund=false\nregistry=https://npm.example/\n")
    assert read(home)["npm"] == {"registry": "https://npm.example/"}


def test_extra_ca_certificates_are_listed(home: Path) -> None:
    """Every .crt file in the administrator's directory is an authority to hand on."""
    (home / "ca").mkdir()
    (home / "ca" / "lab.crt").write_text("x")
    (home / "ca" / "notes.txt").write_text("x")
    assert read(home)["ca_certificates"] == [str(home / "ca" / "lab.crt")]


def test_proxies_are_taken_in_either_case(home: Path) -> None:
    """Both spellings of the proxy variables are in use."""
    found = read(home, HTTPS_PROXY="http://proxy.example:3128", no_proxy="localhost")
    assert found["proxy"] == {"https": "http://proxy.example:3128", "no_proxy": "localhost"}
