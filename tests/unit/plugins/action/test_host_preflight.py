# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin host_preflight: logins reach the host and no output, and clocks are compared."""

from __future__ import annotations

import base64
import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.action.host_preflight import apart
from tests.support.paths import ROOT
from tests.support.processes import run

SECONDS = 120
SECRET = "s3cret-0"


def test_logins_leave_the_addresses() -> None:
    """Each is in an option that is never shown; other entries stay as they are."""
    proxies = {"https": f"http://svc:{SECRET}@proxy:3128", "no_proxy": "localhost, .lab.example"}
    found = apart(
        {
            "sources": [
                {"url": f"https://svc:{SECRET}@mirror/simple", "variable": "x"},
                {"url": "/srv/wheels", "variable": "y"},
            ],
            "indexes": [f"https://{SECRET}@other/simple"],
            "proxies": proxies,
        }
    )
    assert found["sources"] == [
        {"url": "https://mirror/simple", "variable": "x", "login": f"svc:{SECRET}"},
        {"url": "/srv/wheels", "variable": "y"},
    ]
    assert found["indexes"] == ["https://other/simple"]
    assert found["logins"] == {"https://other/simple": SECRET}
    assert found["proxies"] == {"https": proxies["https"]}
    assert found["no_proxy"] == ["localhost", ".lab.example"]


class Index(http.server.BaseHTTPRequestHandler):
    """An index that needs a login."""

    def do_HEAD(self) -> None:
        """Answer with 200 to the login."""
        login = base64.b64encode(f"svc:{SECRET}".encode()).decode()
        self.send_response(200 if self.headers.get("Authorization") == f"Basic {login}" else 401)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    """Serve it on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def play(directory: Path, *urls: str) -> tuple[int, str]:
    """Check sources on this machine and return exit code and output, with all that Ansible can print."""
    sources = [{"url": url, "variable": "gpulab_sources.pip.index_url", "kind": "python"} for url in urls]
    task = {"name": "Check", "gpulab.core.host_preflight": {"supported_os": False, "sources": sources}}
    site = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [task],
    }
    (directory / "site.yml").write_text(json.dumps([site]))
    (directory / "ansible.cfg").write_text("[defaults]\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
    argv = ["ansible-playbook", "-vvv", "--diff", "--connection", "local", "--inventory", "localhost,", "site.yml"]
    done = run(argv, cwd=directory, env=environment, timeout=SECONDS)
    return done.returncode, done.stdout + done.stderr


def test_login_is_sent_and_not_printed(tmp_path: Path, port: int) -> None:
    """Not with -vvv either, whether the source answers or not."""
    code, output = play(tmp_path, f"http://svc:{SECRET}@127.0.0.1:{port}/simple")
    assert code == 0, output
    assert SECRET not in output
    code, output = play(tmp_path, f"http://{SECRET}@127.0.0.1:{port}/simple", f"http://svc:{SECRET}@127.0.0.1:9/")
    assert code != 0
    assert "HTTP 401" in output
    assert f"http://127.0.0.1:{port}/simple cannot be used" in output
    assert SECRET not in output
