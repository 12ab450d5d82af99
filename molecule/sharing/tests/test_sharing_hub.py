# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of servers that the hub starts."""

from __future__ import annotations

import secrets
import warnings

import pytest

from tests.support.hub import HubUser
from tests.support.sharing import DENIED, REACHED, SharingHost


@pytest.fixture
def ada(lab: SharingHost) -> HubUser:
    """Return a user who is logged in at the hub."""
    # The hub's own certificate, over a port of this machine.
    warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    password = secrets.token_hex(16)
    lab.users["root"].run(f"echo 'ada:{password}' | chpasswd")
    return HubUser(lab.hub, "ada", password, False)


def request(user: HubUser, gpus: int) -> tuple[int, str]:
    """Request a server with GPUs, and return status and text of the answer."""
    url = f"{user.base}/hub/api/users/{user.name}/server"
    answer = user.web.post(url, json={"gpus": gpus}, headers=user._xsrf(), timeout=120)
    return answer.status_code, answer.text


def stop(lab: SharingHost, user: HubUser) -> None:
    """Stop the server and wait for its end."""
    user.stop_server()
    url = f"{user.base}/hub/api/users/{user.name}"
    lab.wait_until(lambda: not user.web.get(url, timeout=60).json()["servers"])


def test_server_holds_a_gpu_as_long_as_it_runs(lab: SharingHost, ada: HubUser) -> None:
    """SSH sessions of the same user share it; the end of the server releases it."""
    assert request(ada, 1)[0] in (201, 202)
    ada.start_server()
    assert [grant["doors"] for grant in lab.state()["grants"]] == [["hub"]]
    assert REACHED in lab.opens("ada")
    stop(lab, ada)
    lab.wait_until(lambda: lab.holders()["nvidia0"] == [])
    assert DENIED in lab.opens("ada")


def test_link_requests_gpus(lab: SharingHost, ada: HubUser) -> None:
    """/hub/spawn/NAME?gpus=2."""
    ada.web.get(f"{ada.base}/hub/spawn/ada?gpus=2", timeout=120).raise_for_status()
    ada.start_server()
    assert lab.holders() == {"nvidia0": ["ada"], "nvidia1": ["ada"]}
    stop(lab, ada)


def test_server_starts_while_its_request_waits(lab: SharingHost, ada: HubUser) -> None:
    """On the CPU; the running server gets the GPU with its turn."""
    lab.output("bob", "gpulab gpu request --gpus 2 --whole")
    assert request(ada, 1)[0] in (201, 202)
    ada.start_server()
    assert DENIED in lab.opens("ada")
    lab.output("bob", "gpulab gpu release")
    assert REACHED in lab.opens("ada")
    stop(lab, ada)


def test_impossible_number_is_a_message_and_no_server(ada: HubUser) -> None:
    """From the broker."""
    status, text = request(ada, 5)
    assert status == 503
    assert "this host has 2 GPUs, fewer than the requested 5" in text


def test_server_starts_without_the_broker(lab: SharingHost, ada: HubUser) -> None:
    """On the CPU."""
    lab.output("root", "systemctl stop gpulab-gpud")
    try:
        assert request(ada, 1)[0] in (201, 202)
        ada.start_server()
        stop(lab, ada)
    finally:
        lab.output("root", "systemctl start gpulab-gpud")
