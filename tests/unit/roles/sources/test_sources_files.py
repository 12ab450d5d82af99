# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the role sources mean the same to every program that reads them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installers import read_environment_file
from tests.support.paths import ROOT

ROLE = ROOT / "roles" / "sources"
SECONDS = 30
PASSWORDS = ["pa&s(s", "$HOME;s", "a)b*c!d", "s%23c%25%5C", "p=w,d+x~y", "$(id)"]


def trusted(value: Any) -> Any:
    """Return a value of a variables file as Ansible would load it."""
    return trust_as_template(value) if isinstance(value, str) else value


def render(template: str, **options: Any) -> str:
    """Return a template of the role with these options."""
    private = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    variables = {
        "ansible_managed": "Ansible managed",
        "ansible_facts": {"distribution": "Debian", "distribution_release": "bookworm"},
        **{name: {} for name in ("sources_apt", "sources_pip", "sources_npm", "sources_proxy")},
        **{name: trusted(value) for name, value in private.items()},
        **options,
    }
    text = trust_as_template((ROLE / "templates" / template).read_text(encoding="utf-8"))
    return str(Templar(loader=DataLoader(), variables=variables).template(text, escape_backslashes=False))


def sourced(shell: str, path: Path) -> dict[str, str]:
    """Return the variables that a shell has after it has read a file, as /etc/profile.d does."""
    script = 'set -a; . "$1"; set +a; exec env -0'
    argv = [*shell.split(), "-c", script, shell, str(path)]
    environment = {"HOME": "/home/ada", "PATH": os.defpath}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=SECONDS, env=environment)
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def systemds(text: str) -> dict[str, str]:
    """Return the variables as EnvironmentFile= reads them (systemd.exec(5)): quotes as in shells, no expansion."""
    pairs = (line.partition("=") for line in text.splitlines() if line and line[0] not in "#;")
    return {name: "".join(shlex.split(value, comments=False)) for name, _, value in pairs}


def pams(text: str) -> dict[str, str]:
    """Return the variables as pam_env's envfile= reads them: up to #, with quotes around the value removed."""
    lines = [line.strip().partition("#")[0] for line in text.splitlines()]
    pairs = (line.partition("=") for line in lines if line)
    return {name: re.sub("[\"']", "", value) if value[:1] in ("'", '"') else value for name, _, value in pairs}


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("shell", ["sh", "bash", "bash --posix"])
def test_every_reader_gets_the_same_proxy(tmp_path: Path, shell: str, password: str) -> None:
    """Shells, units, sessions over SSH, and the installers; blanks in no_proxy have no effect."""
    proxy = {"https": f"http://svc:{password}@proxy.lab.example:3128", "no_proxy": "localhost, 127.0.0.1 ,.lab.example"}
    text = render("sources.env.j2", sources_proxy=proxy, sources_pip={"find_links": ["/a", "/b"]})
    path = tmp_path / "sources.env"
    path.write_text(text)
    for variables in (sourced(shell, path), systemds(text), pams(text), read_environment_file(path)):
        assert variables["https_proxy"] == variables["HTTPS_PROXY"] == proxy["https"]
        assert variables["no_proxy"] == variables["NO_PROXY"] == "localhost,127.0.0.1,.lab.example"
        assert variables["PIP_FIND_LINKS"] == "/a /b"
        assert variables["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
        assert "http_proxy" not in variables


def test_logins_of_indexes_reach_pip_and_uv(tmp_path: Path) -> None:
    """As they are written in the variable."""
    url = "https://svc:pa$s;w(d&x@mirror.lab.example/simple?a=1&b=2"
    text = render("sources.env.j2", sources_pip={"index_url": url}, sources_npm={"registry": url})
    (tmp_path / "sources.env").write_text(text)
    variables = sourced("sh", tmp_path / "sources.env")
    assert variables["PIP_INDEX_URL"] == variables["UV_DEFAULT_INDEX"] == variables["NPM_CONFIG_REGISTRY"] == url


def test_login_of_the_mirror_is_not_in_apts_sources() -> None:
    """All users can read those; the role writes a file for root."""
    apt = {"mirror": "http://svc:s3cret@mirror/debian", "security_mirror": "http://t0ken@mirror/security"}
    text = render("apt.sources.j2", sources_apt=apt)
    assert "URIs: http://mirror/debian\n" in text
    assert "URIs: http://mirror/security\n" in text
    assert "s3cret" not in text
    assert "t0ken" not in text


def test_logins_of_the_mirrors_are_in_the_format_of_apt() -> None:
    """One line for each mirror, with the scheme: apt sends logins without one over HTTPS only."""
    private = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    apt = {"mirror": "http://svc:s3c%40t@mirror/debian", "security_mirror": "https://t0ken@mirror/security"}
    templar = Templar(loader=DataLoader(), variables={"sources_apt": apt})
    assert templar.template(trusted(private["__sources_apt_logins"])) == [
        "machine http://mirror/debian login svc password s3c@t",
        "machine https://mirror/security login t0ken",
    ]


@pytest.mark.parametrize(
    ("mirror", "expected"),
    [
        ("http://mirror.lab.example/debian", ["localhost", "mirror.lab.example"]),
        ("http://svc:pw@deb.debian.org/debian", ["localhost"]),
    ],
)
def test_apt_reaches_hosts_of_no_proxy_directly(mirror: str, expected: list[str]) -> None:
    """It knows no domains, so the mirror is compared with them here."""
    proxy = {"http": "http://svc:pa&s(s@proxy:3128", "no_proxy": "localhost, .lab.example, 10.0.0.0/8"}
    text = render("apt.conf.j2", sources_proxy=proxy, sources_apt={"mirror": mirror})
    assert 'Acquire::http::Proxy "http://svc:pa&s(s@proxy:3128";' in text
    assert re.findall(r'Acquire::http::Proxy::(\S+) "DIRECT";', text) == expected
