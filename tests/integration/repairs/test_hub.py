# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub that does not start with its new configuration returns to the previous one."""

from __future__ import annotations

from tests.support.hub_state import FILES, state
from tests.support.lab import Lab


def test_hub_that_does_not_start_returns_to_its_previous_configuration(lab: Lab) -> None:
    """No check knows everything: here the hub cannot open its socket."""
    before = lab.shell(f"find {FILES} -type f | sort | xargs sha256sum")
    done = lab.play("site.yml", "--tags", "jupyterhub", __jupyterhub_socket="/run/gpulab-hub/nowhere/hub.sock")
    assert done.code != 0, done.output[-3000:]
    assert "runs with the previous configuration again" in done.text
    assert "The last lines of its journal" in done.text
    state(lab)
    assert lab.shell(f"find {FILES} -type f | sort | xargs sha256sum") == before
    again = lab.play("site.yml", "--tags", "jupyterhub")
    assert (again.code, again.changed) == (0, 0), again.output[-3000:]
