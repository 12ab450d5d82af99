# SPDX-License-Identifier: GPL-3.0-or-later
"""Users cannot read the activity of others: over D-Bus, in user services, in cron and at jobs, in files in memory."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hosts import wait_for
from tests.support.hub import HubUser, Kernel, Kernels
from tests.support.shell import Shell

SECRET = "activity-secret-4711"
"""An argument of a neighbour's process."""
MANAGER = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"

Runner = Callable[[str], str]
"""Runs a shell command as the user and returns all that it printed."""

PROGRAMS = {"cron": "crontab", "at": "at"}
JOBS = {"cron": "echo '* * * * * sh ~/activity-cron-job' | crontab -", "at": "echo 'sh ~/activity-at-job' | at now"}
"""Commands of the user that start a job."""
SHOW = f"""
import subprocess
shown = subprocess.Popen(["sh", "-c", "sleep 900 # " + {SECRET!r}])
print(shown.pid)
"""
RUN = """
import subprocess
done = subprocess.run(["sh", "-c", {command!r}], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
print(done.stdout + done.stderr)
"""
REPORT = (
    "umask; ps -e -o user:32= | sort -u | tr '\\n' ' '; echo; ls /tmp; "
    "f=/dev/shm/report-$$; touch $f; stat -c %a $f; rm $f"
)
"""Prints what a session has: umask, owners of visible processes, files in /tmp, mode of a new file in memory."""


@pytest.fixture(scope="module")
def victim(kernels: Kernels, neighbour: HubUser, expected: Expected, host: Any) -> Iterator[dict[str, str]]:
    """Run a neighbour's process with a secret argument; return the units that hold it."""
    kernel = kernels(neighbour, expected.kernels["python"])
    process = kernel.run(SHOW).strip()
    uid = str(host.user(neighbour.name).uid)
    paths = host.check_output("cat /proc/%s/cgroup", process)
    unit = next(part for part in paths.split("/") if part.strip().endswith((".service", ".scope"))).split()[0]
    yield {"name": neighbour.name, "slice": f"user-{uid}.slice", "unit": unit}
    kernel.run("shown.kill()")


@pytest.fixture(params=["notebook", "ssh"])
def run_as_user(request: pytest.FixtureRequest, host: Any) -> Runner:
    """Return a function that runs a command of the user: once in a notebook and once over SSH."""
    if request.param == "notebook":
        kernel: Kernel = request.getfixturevalue("kernel")
        return lambda command: kernel.run(RUN.format(command=command))
    shell: Shell = request.getfixturevalue("ssh")

    def run(command: str) -> str:
        done = shell.run(f"sh -c {shlex.quote(command)} 2>&1 </dev/null")
        return done.stdout

    return run


def readers(victim: dict[str, str]) -> list[str]:
    """Return the commands with which systemd, logind and their tools show processes."""
    calls = [f"busctl call {MANAGER} GetUnitProcesses s {victim[kind]}" for kind in ("slice", "unit")]
    for kind in ("slice", "unit"):
        interface = f"org.freedesktop.systemd1.{victim[kind].rpartition('.')[2].capitalize()}"
        path = f"$(busctl call {MANAGER} GetUnit s {victim[kind]} | cut -d'\"' -f2)"
        calls.append(f"busctl call org.freedesktop.systemd1 {path} {interface} GetProcesses")
    return [
        *calls,
        *(f"systemctl status --no-pager --lines=0 --full {victim[kind]}" for kind in ("slice", "unit")),
        f"loginctl user-status --no-pager --lines=0 {victim['name']}",
        f"systemd-cgls --no-pager --full --unit {victim['slice']}",
        "systemctl list-units --no-pager --full --all",
        f"journalctl --no-pager --lines=200 --output=verbose _SYSTEMD_SLICE={victim['slice']}",
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
        "ps -e -o args=",
    ]


def test_command_lines_of_others_are_not_readable(run_as_user: Runner, victim: dict[str, str]) -> None:
    """No tool and no D-Bus call shows the argument, and the calls are denied rather than empty."""
    shown = {command: run_as_user(command) for command in readers(victim)}
    assert [command for command, output in shown.items() if SECRET in output] == []
    calls = {command: output for command, output in shown.items() if "Processes" in command}
    assert len(calls) == 4
    assert {command: output for command, output in calls.items() if "ccess denied" not in output} == {}


def test_root_reads_command_lines_of_users(host: Any, victim: dict[str, str]) -> None:
    """The commands of the test before find something when root runs them."""
    for command in readers(victim)[:6]:
        assert SECRET in host.run("sh -c %s", command).stdout, command


def test_state_of_all_units_is_not_dumped(run_as_user: Runner) -> None:
    """`systemd-analyze dump` names arguments and environments of everything that systemd started."""
    assert "ccess denied" in run_as_user("systemd-analyze --no-pager dump")
    assert "ccess denied" in run_as_user(f"busctl call {MANAGER} DumpByFileDescriptor")


def test_units_show_no_tokens(run_as_user: Runner) -> None:
    """All users can read the properties of units: none holds a secret of a server."""
    shown = run_as_user(
        "systemctl show --no-pager --property=Id,Environment,ExecStart,ExecStartPre '*'; cat /run/systemd/transient/*"
    )
    assert "Id=user.slice" in shown or "Id=ssh.service" in shown
    assert "TOKEN=" not in shown


def test_account_without_the_group_reads_no_activity_either(host: Any, victim: dict[str, str]) -> None:
    """Accounts of services, and processes that dropped their groups, are denied too."""
    call = f"busctl call {MANAGER} GetUnitProcesses s {victim['slice']}"
    done = host.run(f"setpriv --reuid=nobody --regid=nogroup --clear-groups {call}")
    assert "ccess denied" in done.stderr
    assert SECRET not in done.stdout


def test_users_own_tools_work(ssh: Shell) -> None:
    """`gpulab info` names the limits, and the user's own service manager answers."""
    shown = ssh.run("gpulab info").stdout
    assert "Your limits for all sessions together: " in shown
    assert "together: none" not in shown
    assert ssh.run("systemctl --user list-units --no-pager").returncode == 0
    assert "ActiveState=active" in ssh.run("systemctl show user-$(id -u).slice").stdout


@pytest.fixture(scope="module", autouse=True)
def jobs(request: pytest.FixtureRequest, host: Any, expected: Expected) -> Iterator[dict[str, str]]:
    """Start a cron job and an at job, which run while the other tests do; return a file in the user's /tmp for each."""
    names: dict[str, str] = {}
    if not expected.disposable:
        yield names
        return
    ssh: Shell = request.getfixturevalue("ssh")
    for program, command in JOBS.items():
        if not host.exists(PROGRAMS[program]):
            continue
        names[program] = f"marker-{program}-{time.monotonic_ns()}"
        report = f"activity-{program}"
        job = (
            f"cd; {{ {REPORT}; cat /proc/self/cgroup >&2; }} >{report}-new 2>{report}-cgroup; mv {report}-new {report}"
        )
        write = f"rm -f ~/{report}; touch /tmp/{names[program]}; printf %s {shlex.quote(job)} >~/{report}-job"
        ssh.run(f"{write}; {command}")
    yield names
    ssh.run("crontab -r; atq | cut -f1 | xargs -r atrm; rm -f ~/activity-* /tmp/marker-*")


def expect_isolated(lines: list[str], name: str, marker: str) -> None:
    """Check what a session reported: umask, own processes only, the private /tmp, a file that only its owner reads."""
    assert lines[0] == "0077"
    assert lines[1].split() == [name]
    assert marker in lines
    assert lines[-1] == "600"


@pytest.fixture
def marker(ssh: Shell) -> Iterator[str]:
    """Create a file in the user's private /tmp over SSH; return its name."""
    name = f"marker-{time.monotonic_ns()}"
    assert ssh.run(f"touch /tmp/{name}").returncode == 0
    yield name
    ssh.run(f"rm -f /tmp/{name} ~/activity-report ~/activity-job")


def test_sessions_over_ssh_are_private(ssh: Shell, marker: str) -> None:
    """Files in memory are private by umask, whatever the program."""
    expect_isolated(ssh.run(REPORT).stdout.splitlines(), ssh.name, marker)


def test_switching_to_the_user_is_private(host: Any, ssh: Shell, marker: str) -> None:
    """A session that `su` opens is isolated like one over SSH."""
    expect_isolated(host.check_output("su - %s -c %s", ssh.name, REPORT).splitlines(), ssh.name, marker)


def test_services_of_users_are_isolated(ssh: Shell, marker: str) -> None:
    """Services of `systemctl --user` do not see the host's /tmp and /proc, and share the user's /tmp with SSH."""
    unit = "[Service]\nType=oneshot\nExecStart=/bin/sh %h/activity-job\n"
    job = f"{{ {REPORT}; }} >$HOME/activity-report 2>&1\n"
    made = ssh.run(
        f"mkdir -p ~/.config/systemd/user && printf %s {shlex.quote(job)} >~/activity-job && "
        f"printf %s {shlex.quote(unit)} >~/.config/systemd/user/activity.service && systemctl --user daemon-reload && "
        "systemctl --user start activity.service; rm ~/.config/systemd/user/activity.service; cat ~/activity-report"
    )
    expect_isolated(made.stdout.splitlines(), ssh.name, marker)


def test_files_in_memory_are_private(run_as_user: Runner, neighbours_kernel: Kernel) -> None:
    """Each user has an own /dev/shm: files of one user do not exist for another."""
    run_as_user("echo secret >/dev/shm/activity-private")
    try:
        command = "cat /dev/shm/activity-private; ls -l /dev/shm/activity-private"
        shown = neighbours_kernel.run(RUN.format(command=command))
    finally:
        run_as_user("rm -f /dev/shm/activity-private")
    assert shown.count("No such file") == 2


@pytest.mark.parametrize("program", ["cron", "at"])
def test_jobs_are_isolated(host: Any, ssh: Shell, jobs: dict[str, str], program: str) -> None:
    """A job has the view of an SSH session, and counts in the user's slice."""
    if program not in jobs:
        pytest.skip(f"this host has no {program}")
    wait_for(lambda: ssh.run(f"test -e ~/activity-{program}").returncode == 0, 75, 1)
    expect_isolated(ssh.run(f"cat ~/activity-{program}").stdout.splitlines(), ssh.name, jobs[program])
    assert f"user-{host.user(ssh.name).uid}.slice" in ssh.run(f"cat ~/activity-{program}-cgroup").stdout
