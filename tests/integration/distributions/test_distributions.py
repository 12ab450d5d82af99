# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole site on the other distributions. The tests run in order, on one bare host each."""

from __future__ import annotations

from tests.support.lab import Lab, Outcome


def test_whole_site_is_installed(lab: Lab) -> None:
    """On a bare host."""
    outcome: Outcome = lab.converge()
    assert outcome.code == 0, outcome.output[-4000:]


def test_second_converge_changes_nothing(lab: Lab) -> None:
    """The packages, units and files of this distribution are recognised."""
    again = lab.converge()
    assert (again.code, again.changed) == (0, 0), again.output[-3000:]


def test_acceptance_suite_passes(lab: Lab) -> None:
    """The acceptance suite is the same on all distributions."""
    last = lab.verify()
    assert " passed" in last
    print(f"{lab.host}: {last}")  # noqa: T201
