"""The whole site on the other distributions. The tests run in order, on one bare host each."""

from __future__ import annotations

from tests.support.lab import Lab, Outcome


def test_whole_site_is_made(lab: Lab) -> None:
    """On a bare host."""
    outcome: Outcome = lab.converge()
    assert outcome.code == 0, outcome.output[-4000:]


def test_second_converge_changes_nothing(lab: Lab) -> None:
    """The packages, units and files of this distribution are recognised as what they are."""
    again = lab.converge()
    assert (again.code, again.changed) == (0, 0), again.output[-3000:]


def test_it_is_proven(lab: Lab) -> None:
    """The same verification as everywhere: log in, start a server, compute in Python and in R."""
    last = lab.verify()
    assert " passed" in last
    print(f"{lab.host}: {last}")  # noqa: T201
