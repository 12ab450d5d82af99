# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for addresses of package sources."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.gpulab.core.plugins.filter import sources

URL = "https://svc:s3cret@mirror.lab.example/x"


def test_failed_download_is_explained_without_its_login() -> None:
    """A wrong clock is named; other messages stay."""
    late = f"Request failed: {URL}: certificate verify failed: certificate is not yet valid"
    assert "timedatectl" in sources.download_problem(late)
    assert sources.download_problem(f"404 {URL}") == "404 https://***@mirror.lab.example/x"


def test_address_that_is_reached_directly() -> None:
    """Empty where the proxy is used."""
    assert sources.direct_address(URL, "localhost, .lab.example") == "https://mirror.lab.example/x"
    assert sources.direct_address(URL, ["localhost"]) == ""


def test_every_filter_is_documented() -> None:
    """In a file of its name."""
    for name in sources.FilterModule().filters():
        path = Path(sources.__file__).with_name(f"{name}.yml")
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["DOCUMENTATION"]["name"] == name
