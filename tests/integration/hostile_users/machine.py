# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hostile users and an administrator as a state machine: their actions, and what must hold after each action."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.integration.hostile_users.actors import FAILURES, Attacker, Victim
from tests.integration.hostile_users.primitives import CALLS, DIRECTORIES, PLACES, SOCKETS, TARGETS
from tests.integration.hostile_users.reporting import LOG, recorded, reported
from tests.integration.hostile_users.world import ATTACKERS, World

BY, VIA = st.sampled_from(ATTACKERS), st.sampled_from(["ssh", "notebook"])
BODIES = {
    "options": "x" * 2**20,
    "note": "y" * 60_000,
    "name": "../" * 20,
    "roles": ["admin"],
    "scopes": ["admin:users"],
}
PATHS = [
    *("users/{victim}", "users/{victim}/server", "users/{victim}/tokens", "users/{name}/tokens", "users/{name}/server"),
    *("users", "groups/hostile/users", "services", "proxy", "shutdown", "info", "user", "users/{name}/activity"),
]
OFTEN = 5
"""After this number of actions, other users log in again."""


class HostileUsers(RuleBasedStateMachine):
    """The actions of two hostile users and of the administrator."""

    world: ClassVar[World]
    victim: ClassVar[Victim]

    def __init__(self) -> None:
        super().__init__()
        self.failed = self.linked = False
        self.steps: list[str] = []
        self.world.place_canaries()
        self.victim.revive()
        self.gone: list[str] = []
        self.world.collect_secrets()
        self.before = self.world.observe([])
        server = self.world.server_address()
        self.attackers = {name: Attacker(self.world, name, server) for name in ATTACKERS}

    def do(self, by: str, via: str, primitive: str, **arguments: str) -> None:
        """Let a hostile user run a primitive; check what it printed."""
        self.check_shown(by, self.attackers[by].run(via, primitive, **arguments))

    def check_shown(self, by: str, output: str) -> None:
        """Check that a hostile user saw no secret, and nothing at all after leaving."""
        LOG.info("  %s", output[:100].strip() or "nothing")
        read = [secret for secret in self.world.secrets if secret in output]
        assert not read, f"{by} has read {read}: {output[:2000]}"
        assert not (by in self.gone and output), f"{by} has left and still acts: {output[:500]}"

    @rule()
    @recorded
    def wait(self) -> None:
        """Wait a second. Hypothesis begins with this, the only rule without arguments."""
        time.sleep(1)

    @rule(
        by=BY,
        via=VIA,
        places=st.sampled_from(sorted(PLACES)),
        to=st.sampled_from(TARGETS),
        kind=st.sampled_from(["symbolic", "symbolic", "hard"]),
    )
    @recorded
    def link(self, by: str, via: str, places: str, to: str, kind: str) -> None:
        """Replace files by links."""
        self.linked = True
        self.do(by, via, "link", places=places, to=to, kind=kind)

    @rule(by=BY, via=VIA, where=st.sampled_from(SOCKETS))
    @recorded
    def bind(self, by: str, via: str, where: str) -> None:
        """Take a service's address."""
        self.do(by, via, "bind", where=where)

    @rule(
        by=BY,
        via=VIA,
        where=st.sampled_from(SOCKETS),
        send=st.sampled_from(["", "SSH-2.0-x\r\n", "POST / HTTP/1.1\r\nContent-Length: 90000000\r\n\r\nx"]),
    )
    @recorded
    def connect(self, by: str, via: str, where: str, send: str) -> None:
        """Hold many connections."""
        self.do(by, via, "connect", where=where, send=send)

    @rule(by=BY, via=VIA, place=st.sampled_from(DIRECTORIES), what=st.sampled_from(["bytes", "files"]))
    @recorded
    def fill(self, by: str, via: str, place: str, what: str) -> None:
        """Fill a directory."""
        self.do(by, via, "fill", place=place, what=what)

    @rule(by=BY, via=VIA, number=st.sampled_from(["SIGSTOP", "SIGTERM", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGSEGV"]))
    @recorded
    def kill(self, by: str, via: str, number: str) -> None:
        """Send a signal to all processes."""
        self.do(by, via, "kill", number=number)

    @rule(by=BY, via=VIA)
    @recorded
    def stop(self, by: str, via: str) -> None:
        """Stop processes that root starts in the user's name."""
        self.do(by, via, "stop")

    @rule(by=BY, via=VIA, how=st.sampled_from(["stubborn", "cron", "at", "unit", "scope", "session"]))
    @recorded
    def spawn(self, by: str, via: str, how: str) -> None:
        """Start processes that outlive their parent."""
        self.do(by, via, "spawn", how=how)

    @rule(by=BY, via=VIA, what=st.sampled_from(["shmget", "semget", "msgget", "mqueue", "fifo", "directory", "setuid"]))
    @recorded
    def leave_behind(self, by: str, via: str, what: str) -> None:
        """Leave objects and files behind."""
        self.do(by, via, "leave", what=what)

    @rule(by=BY, via=VIA, what=st.sampled_from(sorted(CALLS)))
    @recorded
    def call(self, by: str, via: str, what: str) -> None:
        """Call the system's services."""
        self.do(by, via, "call", what=what)

    @rule(by=BY, via=VIA)
    @recorded
    def read(self, by: str, via: str) -> None:
        """Read all that can be read."""
        self.do(by, via, "read")

    @rule(by=BY, via=VIA)
    @recorded
    def guess(self, by: str, via: str) -> None:
        """Try wrong passwords."""
        self.do(by, via, "guess")

    @rule(
        by=BY,
        method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
        path=st.sampled_from(PATHS),
        keys=st.sets(st.sampled_from(sorted(BODIES))),
    )
    @recorded
    def request(self, by: str, method: str, path: str, keys: set[str]) -> None:
        """Send malformed requests to the hub with the user's cookie."""
        self.check_shown(
            by, self.attackers[by].request(method, f"api/{path}", {key: BODIES[key] for key in sorted(keys)})
        )

    @rule(by=BY, method=st.sampled_from(["POST", "DELETE"]))
    @recorded
    def restart(self, by: str, method: str) -> None:
        """Start or stop the own server, without waiting for it."""
        self.check_shown(by, self.attackers[by].request(method, "api/users/{name}/server", None))

    @rule(by=BY, event=st.sampled_from(["sync", "remove", "archive", "expire", "readmit", "hub", "proxy"]))
    @recorded
    def administrate(self, by: str, event: str) -> None:
        """Let the administrator run the playbook of users, or restart a service."""
        if event in ("hub", "proxy"):
            self.restart_service(f"gpulab-{event}")
            return
        rest = [name for name in self.gone if name != by]
        self.gone = (
            sorted({*rest, by})
            if event in ("remove", "archive", "expire")
            else rest
            if event == "readmit"
            else self.gone
        )
        absent = [name for name in self.gone if name != by or event != "expire"]
        more = {"users_leavers_home": "archive"} if event == "archive" else {}
        self.world.sync(*absent, expired=by if event == "expire" else "", **more)

    def restart_service(self, unit: str) -> None:
        """Restart hub or proxy; the victim's browser connects again."""
        self.world.root("systemctl", "restart", unit)
        self.world.wait_for_hub()
        self.victim.log_in()
        self.before["units"] = self.world.observe([])["units"]

    @invariant()
    @reported
    def others_notice_nothing(self) -> None:
        """Files, units and slices are as before, leavers run nothing, and the victim computes."""
        now = self.world.observe(self.gone)
        for part in ("files", "units"):
            pairs = {key: (self.before[part].get(key), now[part].get(key)) for key in {*self.before[part], *now[part]}}
            changed = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
            assert not changed, f"{part} that have changed: {changed}"
        assert not now["outside"], f"processes of hostile users outside of their slices: {now['outside']}"
        assert not now["kept"], f"files of hostile users with secrets of others: {now['kept']}"
        assert not now["leavers"], f"users who have left still have: {now['leavers']}"
        self.victim.work()

    @invariant()
    @reported
    def others_log_in(self) -> None:
        """At each fifth action, and at the end."""
        if self.steps and len(self.steps) % OFTEN == 0:
            self.log_in()

    @reported
    def log_in(self) -> None:
        """Log the others in, and none who has left; let the administrator reload systemd."""
        self.world.root("systemctl", "daemon-reload", seconds=20)
        self.victim.log_in_again()
        for name in self.gone:
            self.check_shown(name, Attacker(self.world, name, "").run("ssh", "read"))
            with pytest.raises(FAILURES):
                self.world.hub_user(name)

    def teardown(self) -> None:
        """Check once more, and restore the host."""
        try:
            if self.linked and not self.failed:
                self.administrate(by=ATTACKERS[0], event="sync")
                self.others_notice_nothing()
            if self.steps and not self.failed:
                self.log_in()
        finally:
            self.world.clean(readmit=bool(self.gone))
