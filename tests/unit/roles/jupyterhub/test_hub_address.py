# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of the hub: the one that users see, and those of the role's own requests and files."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.support.paths import ROOT

ROLE = ROOT / "roles" / "jupyterhub"
LOADER = DataLoader()
FACTS = {"hostname": "gpu1", "fqdn": "gpu1.lab.example"}


def evaluated(text: str, **options: Any) -> str:
    """Evaluate a template with the role's defaults and variables."""
    variables: dict[str, Any] = {}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= LOADER.load_from_file(str(ROLE / file), trusted_as_template=True)
    own = {"names": options.pop("certificate_names", [])}
    variables |= {"ansible_facts": FACTS, "ansible_managed": "x", "__jupyterhub_own": own, **options}
    return str(Templar(loader=LOADER, variables=variables).template(trust_as_template(text)))


def link(**options: Any) -> str:
    """Return the address that `gpulab info`, the login message and the end of a run show."""
    text = (ROLE / "templates/jupyterhub.json.j2").read_text()
    return str(json.loads(evaluated(text, **options))["JupyterHub"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "https://gpu1.lab.example/"),
        ({"jupyterhub_port": 8443}, "https://gpu1.lab.example:8443/"),
        ({"jupyterhub_port": "443"}, "https://gpu1.lab.example/"),
        ({"jupyterhub_tls": {"names": ["lab.example", "gpu.example"]}}, "https://lab.example/"),
        ({"jupyterhub_tls": {"names": ["2001:db8::7"]}, "jupyterhub_port": 8443}, "https://[2001:db8::7]:8443/"),
        (
            {"jupyterhub_tls": {"mode": "own"}, "certificate_names": ["*.x.example", "hub.example"]},
            "https://hub.example/",
        ),
        ({"jupyterhub_tls": {"mode": "own"}, "certificate_names": ["*.x.example"]}, "https://gpu1.lab.example/"),
        (
            {"jupyterhub_tls": {"mode": "own", "names": ["lab.example"]}, "certificate_names": ["x"]},
            "https://lab.example/",
        ),
        ({"ansible_facts": {"hostname": "gpu1", "fqdn": "localhost"}}, "https://gpu1/"),
        ({"ansible_facts": {"hostname": "gpu1", "fqdn": "localhost.localdomain"}}, "https://gpu1/"),
        ({"jupyterhub_tls": {"mode": "none"}, "jupyterhub_address": "127.0.0.1"}, "http://127.0.0.1:443/"),
        (
            {"jupyterhub_tls": {"mode": "none"}, "jupyterhub_address": "::1", "jupyterhub_port": 8000},
            "http://[::1]:8000/",
        ),
    ],
)
def test_users_see_the_name_that_they_type(options: dict[str, Any], expected: str) -> None:
    """The first requested name, the first of the own certificate, or the host's; IPv6 addresses have brackets."""
    assert link(**options) == expected


@pytest.mark.parametrize(
    ("address", "local", "bound"),
    [
        ("0.0.0.0", "https://127.0.0.1:443", "https://0.0.0.0:443/"),
        ("::", "https://127.0.0.1:443", "https://[::]:443/"),
        ("2001:db8::7", "https://[2001:db8::7]:443", "https://[2001:db8::7]:443/"),
        ("192.0.2.7", "https://192.0.2.7:443", "https://192.0.2.7:443/"),
    ],
)
def test_addresses_in_urls_have_brackets(address: str, local: str, bound: str) -> None:
    """In the check of the service and in the hub's configuration."""
    assert evaluated("{{ __jupyterhub_local_url }}", jupyterhub_address=address) == local
    text = (ROLE / "templates/jupyterhub_config.py.j2").read_text()
    (line,) = (line for line in text.splitlines() if "c.JupyterHub.bind_url" in line)
    assert evaluated(line, jupyterhub_address=address) == f'c.JupyterHub.bind_url = "{bound}"'


@pytest.mark.parametrize(
    ("line", "rejected"),
    [
        ('c.JupyterHub.base_url = "/lab/"', True),
        ("c.JupyterHub.bind_url='http://:8000/lab/'", True),
        ("    c.JupyterHub.port = 8000", True),
        ('# c.JupyterHub.base_url = "/lab/"', False),
        ("c.JupyterHub.port_range = 1", False),
        ('c.JupyterHub.template_vars = {"base_url": "/"}', False),
        ('c.ConfigurableHTTPProxy.base_url = "x"', False),
    ],
)
def test_own_settings_of_the_address_are_recognised(line: str, rejected: bool) -> None:
    """The module host_preflight compares each line with this expression."""
    tasks = yaml.safe_load((ROLE / "tasks/preflight.yml").read_text())
    (options,) = (task["gpulab.core.host_preflight"] for task in tasks if "gpulab.core.host_preflight" in task)
    assert bool(re.match(options["python_files"][0]["rejected"], line)) is rejected
