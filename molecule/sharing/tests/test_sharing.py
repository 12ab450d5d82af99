# SPDX-License-Identifier: GPL-3.0-or-later
"""Three users, two GPUs with two slots each, and every way to a GPU."""

from __future__ import annotations

import pytest

from tests.support.sharing import DENIED, REACHED, SharingHost

WAYS = {
    "SSH": "{}",
    "SSH without any variables": "env -i /bin/sh -c '{}'",
    "systemd-run --user": "systemd-run --user --quiet --wait --pipe /bin/sh -c '{}'",
    "cron": (
        'rm -f $HOME/cron; echo "* * * * * {} > $HOME/cron 2>&1" | crontab -; '
        "n=0; until [ -s $HOME/cron ] || [ $n -gt 100 ]; do sleep 1; n=$((n+1)); done; crontab -r; cat $HOME/cron"
    ),
    "at": (
        'rm -f $HOME/at; echo "{} > $HOME/at 2>&1" | at now; '
        "n=0; until [ -s $HOME/at ] || [ $n -gt 100 ]; do sleep 1; n=$((n+1)); done; cat $HOME/at"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_user_with_a_grant_opens_the_gpu_and_others_do_not(lab: SharingHost, way: str) -> None:
    """Whatever starts the program: the kernel checks the user."""
    assert "holds GPU 0" in lab.output("ada", "gpulab gpu request")
    assert REACHED in lab.opens("ada", way=WAYS[way])
    assert DENIED in lab.opens("bob", way=WAYS[way])
    assert DENIED in lab.opens("ada", "nvidia1")


def test_every_user_opens_the_common_node(lab: SharingHost) -> None:
    """CUDA and nvidia-smi open it before any GPU."""
    assert REACHED in lab.opens("bob", "nvidiactl")


def test_slots_are_filled_and_the_next_user_waits(lab: SharingHost) -> None:
    """With position and reason; the freed slot is granted to the one who waits."""
    for user in ("ada", "bob"):
        lab.output(user, "gpulab gpu request --gpus 2")
    assert lab.holders() == {"nvidia0": ["ada", "bob"], "nvidia1": ["ada", "bob"]}
    answer = lab.output("eve", "gpulab gpu request --whole")
    assert "waits at position 1: held by ada, bob" in answer
    assert DENIED in lab.opens("eve")
    assert "waiting" in lab.output("bob", "gpulab top")
    lab.output("ada", "gpulab gpu release")
    assert DENIED in lab.opens("ada")
    lab.output("bob", "gpulab gpu release")
    assert REACHED in lab.opens("eve")
    assert "holds GPU 0" in lab.output("eve", "gpulab gpu wait")


def test_run_waits_runs_and_releases(lab: SharingHost) -> None:
    """The program sees its GPU by UUID, and its exit code is that of the command."""
    answer = lab.output(
        "ada", "gpulab run -- sh -c 'echo $CUDA_VISIBLE_DEVICES; cat /dev/nvidia0; exit 7'; echo exit $?"
    )
    assert "TEST-nvidia0" in answer
    assert REACHED in answer
    assert "exit 7" in answer
    assert lab.holders() == {"nvidia0": [], "nvidia1": []}
    assert DENIED in lab.opens("ada")


def test_detached_run_goes_on_after_the_logout(lab: SharingHost) -> None:
    """It waits in the queue, and its output is in a file."""
    lab.output("bob", "gpulab gpu request --gpus 2 --whole")
    lab.output("ada", "rm -f gpulab-run-*; gpulab run --detach -- sh -c 'cat /dev/nvidia0; echo done'")
    lab.wait_until(lambda: [entry["user"] for entry in lab.state()["waiting"]] == ["ada"])
    lab.output("bob", "gpulab gpu release")
    lab.wait_until(lambda: "done" in lab.output("ada", "cat gpulab-run-*.log"))
    assert REACHED in lab.output("ada", "cat gpulab-run-*.log")
    lab.wait_until(lambda: lab.holders() == {"nvidia0": [], "nvidia1": []})


def test_killed_run_releases_its_gpu(lab: SharingHost) -> None:
    """The broker watches the process."""
    with lab.users["ada"].start("gpulab run -- sleep 600") as child:
        lab.wait_until(lambda: lab.holders()["nvidia0"] == ["ada"])
        lab.output("root", "pkill --signal KILL --uid ada --full 'gpulab run'")
        lab.wait_until(lambda: lab.holders()["nvidia0"] == [])
        child.stop()


def test_broker_that_is_killed_loses_nothing(lab: SharingHost) -> None:
    """Grants and requests continue, and what was changed meanwhile by hand is repaired."""
    lab.output("ada", "gpulab gpu request --gpus 2 --whole")
    lab.output("bob", "gpulab gpu request")
    before = lab.state()
    lab.output(
        "root", "systemctl kill --signal KILL gpulab-gpud; setfacl -b /dev/nvidia0; setfacl -m u:bob:rw /dev/nvidia1"
    )
    assert DENIED in lab.opens("ada"), "by hand"
    lab.wait_until(lambda: lab.output("root", "systemctl is-active gpulab-gpud").strip() == "active")
    lab.wait_until(lambda: REACHED in lab.opens("ada"))
    assert DENIED in lab.opens("bob", "nvidia1")
    after = lab.state()
    for kind in ("grants", "waiting"):
        assert [(entry["id"], entry["user"]) for entry in after[kind]] == [
            (entry["id"], entry["user"]) for entry in before[kind]
        ]
    assert after["grants"][0]["until"] == pytest.approx(before["grants"][0]["until"], abs=30)


def test_stopped_broker_takes_nothing(lab: SharingHost) -> None:
    """Running work and access go on; the user of a new request learns why it fails; root opens all GPUs."""
    lab.output("ada", "gpulab gpu request")
    lab.output("root", "systemctl stop gpulab-gpud")
    try:
        assert REACHED in lab.opens("ada")
        assert "the broker does not run" in lab.output("bob", "gpulab gpu request")
        assert "Traceback" not in lab.output("bob", "gpulab info")
        assert "only root" in lab.output("bob", "gpulab gpu open-all --for 2h")
        assert DENIED in lab.opens("bob")
        lab.output("root", "gpulab gpu open-all --for 2h")
        assert REACHED in lab.opens("bob")
    finally:
        lab.output("root", "systemctl start gpulab-gpud")
    assert lab.state()["open_until"]
    assert REACHED in lab.opens("bob")
    lab.output("root", "gpulab gpu open-all --for 0s")
    assert DENIED in lab.opens("bob")
    assert REACHED in lab.opens("ada")


def test_login_shows_what_is_held_and_free(lab: SharingHost) -> None:
    """One line."""
    lab.output("ada", "gpulab gpu request")
    assert "you hold GPU 0 until" in lab.output("ada", "gpulab info")
    assert "you hold none; 3 of 4 slots are free" in lab.output("bob", "gpulab info")


def test_lost_gpu_is_out_of_service_and_others_go_on(lab: SharingHost) -> None:
    """Its users lose it; it comes back after the repair."""
    for user in ("ada", "bob"):
        lab.output(user, "gpulab gpu request")
    assert lab.holders() == {"nvidia0": ["ada"], "nvidia1": ["bob"]}
    lab.output("root", "rm /dev/nvidia0; systemctl restart gpulab-gpud")
    try:
        assert lab.holders() == {"nvidia0": [], "nvidia1": ["bob"]}
        assert "out of service" in lab.output("ada", "gpulab top")
        assert REACHED in lab.opens("bob", "nvidia1")
    finally:
        lab.output("root", "systemd-tmpfiles --create /etc/tmpfiles.d/test-gpus.conf; systemctl restart gpulab-gpud")
    assert "holds GPU 0" in lab.output("ada", "gpulab gpu request")
    assert REACHED in lab.opens("ada")
    assert DENIED in lab.opens("bob")


def test_user_who_is_removed_loses_all_at_once(lab: SharingHost) -> None:
    """Grants, requests and access."""
    lab.output("ada", "gpulab gpu request --gpus 2 --whole")
    lab.output("bob", "gpulab gpu request")
    lab.output("root", "gpasswd --delete ada gpulab-users")
    try:
        lab.wait_until(lambda: [grant["user"] for grant in lab.state()["grants"]] == ["bob"])
        assert "user:ada" not in lab.output("root", "getfacl --omit-header --absolute-names /dev/nvidia0 /dev/nvidia1")
        for node in ("nvidia0", "nvidia1"):
            assert DENIED in lab.opens("ada", node)
        assert "not a member of gpulab-users" in lab.output("ada", "gpulab gpu request")
    finally:
        lab.output("root", "gpasswd --add ada gpulab-users")
        # The broker reads memberships every few seconds.
        lab.wait_until(lambda: "not a member" not in lab.output("ada", "gpulab gpu list"))


REQUEST = """
import json, http.client, socket, sys
connection = http.client.HTTPConnection("x", timeout=20)
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/gpulab/gpu.sock")
connection.request(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
print(connection.getresponse().read().decode())
"""


def test_hub_requests_and_releases_for_a_user(lab: SharingHost) -> None:
    """Its account may, another system account may not. The hub itself is not installed here."""
    lab.output("root", f"cat > /srv/request.py <<'END'\n{REQUEST}\nEND\nchmod 0644 /srv/request.py")
    lab.output("root", "for name in gpulab-hub other; do id $name || useradd --system $name; done")
    as_account = "setpriv --reuid {} --regid {} --clear-groups python3 /srv/request.py "
    body = '\'{"user": "ada", "door": "hub"}\''
    answer = lab.output("root", as_account.format("gpulab-hub", "gpulab-hub") + f"POST /v1/requests {body}")
    assert '"status": "granted"' in answer
    assert REACHED in lab.opens("ada")
    answer = lab.output("root", as_account.format("other", "other") + f"POST /v1/requests {body}")
    assert "other is not a member of gpulab-users" in answer
    lab.output("root", as_account.format("gpulab-hub", "gpulab-hub") + "DELETE '/v1/requests?door=hub&user=ada'")
    assert DENIED in lab.opens("ada")
