# SPDX-License-Identifier: GPL-3.0-or-later
"""A converge that was interrupted or has failed succeeds when it is run again.

The tests run in order, on one host: each run starts where the one before ended, and gets further.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.support.lab import Lab
from tests.support.mirror import Mirror
from tests.support.paths import ROOT
from tests.support.processes import Child, started

LIMIT = 1800.0
"""Seconds after which a converge is killed that should have been interrupted long before."""
Interruption = Callable[[Lab, Child], None]


def stop(lab: Lab, run: Child) -> None:
    """Press Ctrl-C."""
    os.killpg(run.pid, signal.SIGINT)


def kill(lab: Lab, run: Child) -> None:
    """Kill the controller's processes at once: nothing is cleaned up."""
    os.killpg(run.pid, signal.SIGKILL)


def kill_dpkg(lab: Lab, run: Child) -> None:
    """Kill the package manager on the host while it works."""
    lab.shell("for i in $(seq 300); do pkill -KILL --exact dpkg && exit 0; sleep 0.1; done; exit 1")


def unplug(lab: Lab, run: Child) -> None:
    """Take the host off the network."""
    lab.within("ip", "link", "set", "eth0", "down")


def restart(lab: Lab, run: Child) -> None:
    """Restart the host."""
    lab.ansible("ansible", lab.host, "-m", "ansible.builtin.shell", "-a", "systemctl reboot")


def interrupt(lab: Lab, task: str, seconds: float, cut: Interruption) -> tuple[int, str]:
    """Start a converge and interrupt it some seconds into a task; return its exit code and output."""
    argv = ["ansible-playbook", "--inventory", lab.inventory, "site.yml", "--limit", lab.host]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    printed = ""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with started(argv, cwd=ROOT, env=environment, start_new_session=True, **pipes) as run:
        assert run.stdout is not None
        guard = threading.Timer(LIMIT, kill, (lab, run))
        guard.start()
        for line in run.stdout:
            printed += line
            if line.startswith("TASK") and task in line:
                time.sleep(seconds)
                try:
                    cut(lab, run)
                except BaseException:
                    kill(lab, run)
                    raise
                break
        else:
            pytest.fail(f"the run ended before the task {task!r}:\n{printed[-3000:]}")
        printed += run.stdout.read()
        guard.cancel()
        run.wait(timeout=60)
    return run.returncode, printed


def wait_for(lab: Lab) -> None:
    """Wait until the host can be reached and has booted."""
    for _ in range(60):
        done = lab.ansible(
            "ansible", lab.host, "-m", "ansible.builtin.command", "-a", "timeout 60 systemctl is-system-running --wait"
        )
        if "running" in done.stdout:
            return
        time.sleep(2)
    pytest.fail("the host did not come back")


@pytest.mark.parametrize("how", ["500", "half"])
@pytest.mark.parametrize(
    ("part", "words"),
    [
        pytest.param("/acl_", "gpulab_sources.apt", id="apt"),
        pytest.param("tensorflow", "gpulab_sources.pip", id="pip"),
        pytest.param("configurable-http-proxy", "gpulab_sources.pip, .npm", id="npm"),
    ],
)
def test_mirror_is_out_of_order(lab: Lab, mirror: Mirror, part: str, words: str, how: str) -> None:
    """An error instead of a package, or half of one: the message names the source."""
    if part == "configurable-http-proxy":
        # Downloads go on in the background when a run fails: an earlier one may have brought it already.
        wait = "timeout 600 sh -c 'while pgrep -f [a]sync_wrapper; do sleep 1; done'"
        lab.shell(f"{wait} && rm -rf /opt/gpulab/hub /var/cache/gpulab/npm")
    with mirror.failing(part, how):
        outcome = lab.converge(gpulab_sources=mirror.sources)
    assert outcome.code != 0
    assert words in outcome.text, outcome.output[-3000:]
    assert "Traceback" not in outcome.output
    assert any(part in path for path in mirror.requested)


def test_disk_is_full(lab: Lab) -> None:
    """Lack of space is rejected before any change; space that runs out in the middle is reported in one sentence."""
    lab.shell("mkdir -p /opt/gpulab/envs && mount -t tmpfs -o size=200m tmpfs /opt/gpulab/envs")
    try:
        rejected = lab.converge()
        assert (rejected.code != 0, rejected.changed) == (True, 0), rejected.output[-3000:]
        assert "/opt/gpulab/envs has" in rejected.text, rejected.output[-3000:]
        failed = lab.converge(frameworks_free_gb=0.1)
        assert failed.code != 0
        assert "The disk is full: the file system mounted at /opt/gpulab/envs" in failed.text, failed.output[-3000:]
        assert "Free some space and run again." in failed.text
        assert "Traceback" not in failed.output
    finally:
        lab.shell("umount /opt/gpulab/envs")


@pytest.mark.parametrize(
    ("task", "seconds", "cut"),
    [
        pytest.param("Install | Install uv", 2, stop, id="Ctrl-C while uv is installed"),
        pytest.param("Install | Install TensorFlow", 6, kill, id="controller killed in the large download"),
        pytest.param("Install | Install TensorFlow", 3, restart, id="host restarted"),
        pytest.param("Install | Install TensorFlow", 3, unplug, id="host off the network"),
        pytest.param(
            "Configure | Write the session environment", 0, kill, id="controller killed while files are written"
        ),
    ],
)
def test_interrupted_run_ends_with_one_message(
    lab: Lab, mirror: Mirror, task: str, seconds: float, cut: Interruption
) -> None:
    """It ends with one error message, in bounded time."""
    code, printed = interrupt(lab, task, seconds, cut)
    if cut is unplug:
        assert "UNREACHABLE" in printed, printed[-3000:]
        lab.within("ip", "link", "set", "eth0", "up")
        lab.within("ip", "route", "replace", "default", "via", str(urlsplit(mirror.address).hostname))
    if cut is not restart:  # SSH connects again by itself: the run may well survive a restart of the host
        assert code != 0
    assert "Traceback" not in printed
    wait_for(lab)


def test_next_run_ends_well_although_dpkg_is_killed(lab: Lab) -> None:
    """The package manager is killed in this run too: it is repaired, and the whole site is installed."""
    lab.shell("DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes purge r-base-core")
    code, printed = interrupt(lab, "Install | Install R", 0, kill_dpkg)
    assert code == 0, printed[-4000:]


def test_nothing_half_installed_stays(lab: Lab) -> None:
    """No release without its marker, which is written last; no package half-configured, no lock, no failed unit."""
    releases = "/opt/gpulab/*/releases/* /opt/gpulab/envs/*/releases/*"
    unfinished = f"for r in {releases}; do test -e $r/.gpulab-release.json || echo $r; done"
    assert "/opt" not in lab.shell(unfinished)
    assert "whole" in lab.shell('test -z "$(dpkg --audit)" && echo whole')
    assert "gone" in lab.shell("test -e /run/gpulab-converge.json || echo gone")
    assert "gpulab" not in lab.shell("systemctl list-units --failed --plain --no-legend")


def test_manual_drift_is_repaired(lab: Lab) -> None:
    """Stopped services, a secret that others may read, an account with a shell, a missing certificate."""
    units = "gpulab-proxy gpulab-hub"
    secret = "/etc/gpulab/jupyterhub/proxy_token"
    before = lab.shell(f"sha256sum {secret}").split()[-2]
    lab.shell(
        f"systemctl disable --now {units}; chmod 0644 {secret}; usermod --shell /bin/sh gpulab-proxy; "
        "rm /etc/gpulab/tls/certificate.pem"
    )
    done = lab.converge()
    assert done.code == 0, done.output[-4000:]
    state = lab.shell(
        f"systemctl is-active {units}; systemctl is-enabled {units}; stat --format mode=%a {secret}; "
        f"sha256sum {secret}; getent passwd gpulab-proxy; ls /etc/gpulab/tls"
    )
    assert (state.count("active"), state.count("inactive"), state.count("enabled")) == (2, 0, 2), state
    for word in ("mode=640", before, ":/usr/sbin/nologin", "certificate.pem"):
        assert word in state


def test_run_after_that_changes_nothing(lab: Lab) -> None:
    """The host is as after one undisturbed run."""
    done = lab.converge()
    assert (done.code, done.changed) == (0, 0), done.output[-4000:]
