# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium that can connect to one hub only."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = [
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1400,900",
]


class NoBrowser(Exception):
    """Chromium or its driver is not installed."""


def fingerprint(hub: str) -> str:
    """Return the digest of the hub's public key in the format of Chromium's pinning."""
    address = urlsplit(hub)
    shown = ssl.get_server_certificate((str(address.hostname), address.port or 443), timeout=20)
    key = x509.load_pem_x509_certificate(shown.encode()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return base64.b64encode(digest).decode()


def program(name: str) -> str:
    """Return the path of a program; selenium would download one otherwise."""
    path = shutil.which(name)
    if not path:
        raise NoBrowser(f"{name} is not on PATH; run: scripts/bootstrap --browser")
    return path


def options(hub: str, profile: Path) -> Options:
    """Return the command line: certificates are checked, and one key is accepted by its digest."""
    chosen = Options()
    chosen.binary_location = program("chromium")
    # Only the hub's name resolves: updates and pages cannot connect to other servers.
    rules = f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {urlsplit(hub).hostname}"
    for flag in [*FLAGS, rules, f"--user-data-dir={profile}"]:
        chosen.add_argument(flag)
    if hub.startswith("https:"):
        chosen.add_argument(f"--ignore-certificate-errors-spki-list={fingerprint(hub)}")
    if os.geteuid() == 0:
        # Chromium's sandbox does not work for root.
        chosen.add_argument("--no-sandbox")
    return chosen


@contextmanager
def chromium(hub: str, profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser with a fresh profile; end it afterwards."""
    driver = webdriver.Chrome(options(hub, profile), Service(program("chromedriver")))
    try:
        driver.set_page_load_timeout(180)
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()
