# SPDX-License-Identifier: GPL-3.0-or-later
"""The site is installed on an old server from a local mirror only, and keeps what was there. The tests run in order."""

from __future__ import annotations

import json
import subprocess
from urllib.parse import urlsplit

import pytest

from tests.integration.closed_network.conftest import snapshot
from tests.support.lab import Lab, Outcome
from tests.support.mirror import Mirror

FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"


def answers(lab: Lab, url: str) -> bool:
    """Return whether the host gets an answer from an address."""
    try:
        return "200" in lab.within("python3", "-c", FETCH, url)
    except subprocess.CalledProcessError:
        return False


def test_host_reaches_nothing_but_the_mirror(lab: Lab, mirror: Mirror) -> None:
    """The host cannot connect to the package sources of this machine: otherwise the tests below would prove nothing."""
    assert answers(lab, f"{mirror.address}/wheels/")
    for url in (mirror.upstream.apt, mirror.upstream.apt_security, mirror.upstream.pip, mirror.upstream.npm):
        assert not answers(lab, url)


@pytest.mark.parametrize(("sources", "name"), [({}, "gpulab_sources.torch"), ({"torch": ""}, "gpulab_sources.apt")])
def test_without_a_mirror_the_message_names_the_variable(
    lab: Lab, before: str, sources: dict[str, str], name: str
) -> None:
    """Without a reachable package source, the message names the variable that sets one."""
    outcome = lab.converge(gpulab_sources=sources)
    assert outcome.code != 0
    assert name in outcome.text, outcome.output[-3000:]
    assert "Traceback" not in outcome.output


def test_source_that_does_not_answer_is_named(lab: Lab, mirror: Mirror) -> None:
    """Each source is checked before any change; all that do not answer are named at once."""
    dead = json.loads(json.dumps(mirror.sources).replace(mirror.address, "http://127.0.0.1:9"))
    outcome = lab.converge(gpulab_sources={**dead, "torch": "http://127.0.0.1:9/torch"})
    assert (outcome.code != 0, outcome.changed) == (True, 0)
    for name in ("apt.mirror", "apt.security_mirror", "pip.index_url", "pip.find_links", "npm.registry"):
        assert f"gpulab_sources.{name}): http://127.0.0.1:9" in outcome.text, outcome.output[-3000:]


def test_converge_from_the_mirror_alone(converged: Outcome, mirror: Mirror) -> None:
    """The whole site is installed, and every kind of source was used."""
    assert converged.code == 0, converged.output[-4000:]
    kinds = {urlsplit(path).path.split("/")[1] for path in mirror.requested}
    assert {"apt", "apt-security", "pip", "npm", "file"} <= kinds
    assert not mirror.upstream.wheels or "wheels" in kinds


def test_users_compute_on_it(lab: Lab, converged: Outcome) -> None:
    """A user logs in and computes in Python and in R, although conda's programs are first on a login's PATH."""
    assert " passed" in lab.verify(
        *(f"tests/acceptance/test_{name}.py" for name in ("users", "server", "session", "session_environment"))
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("id -u ada", "1603"),
        ("id -gn ada", "chemistry"),
        ("id -nG ada", "gpulab"),
        ("su -l ada -c 'cat results.txt'", "results of 2019"),
        ("systemctl is-active jupyterhub.service", "active"),
        ("python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000').status)\"", "200"),
        ("cat /etc/R/Renviron.site", "R_LIBS_SITE=/srv/r-library"),
        ("cat /etc/R/Renviron.site", "RETICULATE_PYTHON="),
    ],
)
def test_old_accounts_and_services_are_adopted(lab: Lab, converged: Outcome, command: str, expected: str) -> None:
    """Accounts keep their numbers, groups and work; the old hub goes on; the site's settings of R stay next to ours."""
    assert expected in lab.within("sh", "-c", command)


def test_account_that_is_not_requested_gets_no_access(lab: Lab, converged: Outcome) -> None:
    """An account that was not requested stays as it is, and is not a user of the hub."""
    assert "gpulab" not in lab.within("id", "-nG", "lise")


def test_old_files_are_unchanged(lab: Lab, converged: Outcome, before: str) -> None:
    """Owner, mode and content of every file are the same: of the conda, the old hub, the homes, the other kernel."""
    assert before.count("/opt/conda/") > 10
    assert snapshot(lab) == before


def test_second_converge_changes_nothing(lab: Lab, converged: Outcome, mirror: Mirror) -> None:
    """Also without a fix of the network."""
    again = lab.converge(gpulab_sources=mirror.sources)
    assert (again.code, again.changed) == (0, 0), again.output[-3000:]
