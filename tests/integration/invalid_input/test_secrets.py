# SPDX-License-Identifier: GPL-3.0-or-later
"""No output of a run on a host holds a secret: logins of sources, hashes of passwords, tokens of the hub."""

from __future__ import annotations

from typing import Any

from tests.support.lab import Lab
from tests.support.secrets import leaks

SECRET = "Marked0Secret"
LOGIN = f"http://svc:{SECRET}@127.0.0.1:9"
HASH = "$6$saltsalt$" + (SECRET + "x" * 86)[:86]
USERS = [{"name": "ada", "password_hash": HASH}, {"name": "grace", "password_hash": HASH}]


def test_check_of_a_host_shows_no_secret(lab: Lab) -> None:
    """With all results and differences shown, where the checks fail."""
    settings: list[dict[str, Any]] = [
        {"gpulab_sources": {"pip": {"index_url": f"{LOGIN}/simple"}}},
        {"gpulab_sources": {"apt": {"mirror": f"{LOGIN}/debian"}, "npm": {"registry": LOGIN}}},
        {"gpulab_sources": {"cran": LOGIN, "torch": LOGIN, "proxy": {"https": LOGIN, "http": LOGIN}}},
        {"gpulab_users": [{**USERS[0], "uid": 54321}]},
    ]
    outcomes = lab.preflight(settings, "--check", "--diff", "-v")
    # The sources of the third one are not needed: everything is installed.
    assert [outcome.code > 0 for outcome in outcomes] == [True, True, False, True]
    assert leaks(outcomes[0].run, [SECRET, HASH]) == []


def test_run_shows_no_secret_of_the_host(lab: Lab) -> None:
    """Tokens, keys and hashes, those on the host and new ones, do not appear in a run that would change everything."""
    state = "/var/lib/gpulab/jupyterhub"
    files = f"/etc/gpulab/jupyterhub/proxy_token {state}/users.token {state}/cookie_secret"
    hashes = "cut -d: -f2 /etc/shadow | grep ^[$]"
    printed = lab.shell(f"cat {files}; grep -v BEGIN /etc/gpulab/tls/key.pem | head -1; {hashes}")
    secrets = [word for word in printed.partition("(stdout) ")[2].replace("\\n", " ").split() if len(word) > 20]
    assert len(secrets) > 3, "there is nothing to search for"
    changes = {"gpulab_users": USERS, "gpulab_hub_port": 8443, "gpulab_tls": {"names": ["lab.example"]}}
    done = lab.play("site.yml", "--check", "--diff", "-v", **changes)
    assert done.code == 0, done.output[-3000:]
    assert leaks(done.output, [*secrets, SECRET, HASH]) == []
    assert leaks(lab.shell("journalctl --no-pager --lines=5000 --output=cat"), secrets) == []
