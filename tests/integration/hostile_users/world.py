# SPDX-License-Identifier: GPL-3.0-or-later
"""A converged host with two hostile users and their victim, and root's actions on it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from secrets import token_hex
from typing import Any

import requests

from tests.support.lab import SUDO
from tests.support.users import PASSWORD, TestHost

HERE = Path(__file__).parent
ATTACKERS, VICTIM, GROUP = ("mallory", "trudy"), "victor", "hostile"
ACTION, LOGIN, SYNC = 15.0, 20.0, 180.0
"""Seconds that one action of a hostile user, one login of another user, and one run of playbooks/users.yml may take."""
CANARIES = """
mkdir -p /root/hostile /home/{victim}/canary
for directory in /root/hostile /home/{victim}/canary; do
    echo {secret} > $directory/closed; echo {secret} > $directory/open
    chmod 600 $directory/closed; chmod 644 $directory/open
done
chmod 755 /home/{victim}/canary
chown -R {victim}: /home/{victim}/canary
"""


@dataclass
class World(TestHost):
    """A host with two hostile users and their victim. `pid` is its first process, on this machine."""

    pid: str = ""
    uids: dict[str, int] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: f"canary-{token_hex(8)}")
    secrets: list[str] = field(default_factory=list)

    def root(self, *argv: str, text: str | None = None, seconds: float = 60) -> str:
        """Run a program on the host as root, without its network and logins; return what it printed."""
        command = [*SUDO, "nsenter", "--target", self.pid, "--all", *argv]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def observe(self, gone: list[str]) -> dict[str, Any]:
        """Return what observe.py reports; `gone` names the hostile users who have left."""
        users = {name: self.uids[name] for name in ATTACKERS}
        services = [f"gpulab-server@{self.uids[VICTIM]}"]
        # Not on the command line, which hostile users may see.
        options = json.dumps({"users": users, "gone": gone, "services": services, "secrets": self.secrets})
        source = (HERE / "observe.py").read_text(encoding="utf-8")
        answer: dict[str, Any] = json.loads(self.root("/usr/bin/python3", "-I", "-c", source, text=options))
        return answer

    def sync(self, *absent: str, expired: str = "", **options: Any) -> None:
        """Run playbooks/users.yml without these users; it must succeed in time."""
        yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).date().isoformat()
        more = {expired: {"expires": yesterday}}
        users = [
            self.account(name, groups=[GROUP], **more.get(name, {}))
            for name in (VICTIM, *ATTACKERS)
            if name not in absent
        ]
        groups = {GROUP: {"shared_directory": True, "limits": {"memory": "3G", "tasks": 700}}}
        path = self.directory / "users.json"
        path.write_text(json.dumps({"gpulab_users": users, "gpulab_groups": groups, **options}), encoding="utf-8")
        begun = time.monotonic()
        done = self.lab.play("playbooks/users.yml", "--extra-vars", f"@{path}")
        assert done.code == 0, f"playbooks/users.yml failed: {done.text[-3000:]}"
        assert time.monotonic() - begun < SYNC, "playbooks/users.yml took too long"

    def prepare(self) -> None:
        """Make the users and install cron and at; a second call changes nothing."""
        packages = "apt-get -qq install -y --no-install-recommends cron at >/dev/null"
        self.root(
            "sh", "-c", f"dpkg -s cron at >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive {packages}", seconds=300
        )
        self.sync()
        for name in (VICTIM, *ATTACKERS):
            self.uids[name] = int(self.root("id", "-u", name))
        self.clean(readmit=False)

    def remove(self) -> None:
        """Restore the users of the inventory."""
        self.clean(readmit=False)
        done = self.lab.play("playbooks/users.yml")
        assert done.code == 0, done.text[-3000:]
        names = " ".join((VICTIM, *ATTACKERS))
        self.root(
            "sh", "-c", f"for name in {names}; do userdel -rf $name; done; rm -rf /root/hostile /srv/shared/{GROUP}"
        )

    def place_canaries(self) -> None:
        """Write the files that hostile users may neither read nor change."""
        self.root("sh", "-es", text=CANARIES.format(victim=VICTIM, secret=self.secret))

    def clean(self, *, readmit: bool) -> None:
        """End the processes of hostile users, remove their files, and restore their accounts."""
        script = (HERE / "clean.sh").read_text(encoding="utf-8")
        self.root("sh", "-s", GROUP, *ATTACKERS, text=script, seconds=300)
        if readmit:
            self.sync()

    def collect_secrets(self) -> None:
        """Collect what a hostile user must never print: canaries, passwords, secrets of the hub and of its servers."""
        hub = "xxd -p -c 100 /var/lib/gpulab/jupyterhub/cookie_secret; cat /etc/gpulab/jupyterhub/proxy_token"
        server = f"sed -n 's/^[A-Z_]*TOKEN=//p' /run/gpulab/servers/{self.uids[VICTIM]}"
        words = self.root("sh", "-c", f"{hub}; {server}; true").replace('"', " ").split()
        self.secrets = [self.secret, PASSWORD, *(word for word in words if len(word) > 12)]

    def server_address(self) -> str:
        """Return address and port of the victim's server."""
        pid = self.root(
            "systemctl", "show", "--property=MainPID", "--value", f"gpulab-server@{self.uids[VICTIM]}"
        ).strip()
        listener = re.search(rf"\s(127\.\S+:\d+)\s.*pid={pid},", self.root("ss", "-Hltnp"))
        assert listener, "the victim's server does not listen"
        return listener[1]

    def wait_for_hub(self) -> None:
        """Wait until the hub answers again after a restart."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.base}/hub/api/", verify=False, timeout=10).status_code == 200:  # noqa: S501
                    return
            time.sleep(0.5)
        raise TimeoutError("the hub does not answer after its restart")
