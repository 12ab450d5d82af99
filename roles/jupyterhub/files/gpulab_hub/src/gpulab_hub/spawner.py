"""A server as a systemd unit inside the one slice of its person, with what other packages grant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from jupyterhub.spawner import SpawnException
from systemdspawner import SystemdSpawner
from traitlets import Bool, Dict, Integer, Unicode

from gpulab_hub import host
from gpulab_hub.grants import Account, Grant, Granter, Refusal, collect, granters, merged, release


class LabSpawner(SystemdSpawner):  # type: ignore[misc]
    """Start a server in its person's slice, so that one budget covers notebooks and SSH alike."""

    unit_properties = Dict(
        help="Properties of every server's unit; a list where a property is named more than once."
    ).tag(config=True)
    least_memory = Integer(host.LEAST_MEMORY, help="Bytes that the host must have left to start one more server.").tag(
        config=True
    )
    rescue = Bool(True, help="Whether somebody whose home is full gets a server to tidy up with.").tag(config=True)
    slice_name = Unicode("", help="The slice that the server was put in.")

    granted: dict[str, Granter]
    note = ""

    def _expand_user_vars(self, value: Any) -> Any:
        """Expand in lists too; braces of other meanings stay as they are."""
        if isinstance(value, list):
            return [self._expand_user_vars(each) for each in value]
        return value.replace("{USERNAME}", self.user.name).replace("{USERID}", str(self.user.id))

    async def start(self) -> Any:
        """Check the host, ask for grants, start the unit."""
        try:
            return await self._start()
        except Refusal as refusal:
            raise SpawnException(refusal.message, reason=refusal.reason, status_code=503) from refusal

    async def _start(self) -> Any:
        account = host.account_of(self.user.name)
        host.refuse_full_host(self.least_memory)
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(None, host.room_in_home, account)
        host.refuse_home(account, state)
        self.note = host.MESSAGES.get(state, "")
        if self.note and not self.rescue:
            raise Refusal(self.note.partition(".")[0] + ": delete something over SSH, then try again.", f"home_{state}")
        grants = await collect(self._granters(), account, self.user_options)
        runtime = f"/run/{self.unit_name}"
        rescue = Grant(environment=host.away_from_home(runtime) if self.note else {})
        # A copy: what a grant adds must not be there the next time.
        self.unit_extra_properties = merged(
            [self.unit_properties, *(grant.properties for grant in grants), {"Slice": account.slice}]
        )
        self.slice_name = account.slice
        self.extra_environment = {
            "JUPYTER_RUNTIME_DIR": runtime,
            **await self._limits(account),
            **{name: value for grant in [rescue, *grants] for name, value in grant.environment.items()},
        }
        return await super().start()

    async def _limits(self, account: Account) -> dict[str, str]:
        """Ask systemd for the budget that holds."""
        argv = ["systemctl", "show", account.slice, *(f"--property={name}" for name in host.LIMITS)]
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        return host.bar_limits((await process.communicate())[0].decode())

    def _granters(self) -> dict[str, Granter]:
        if not hasattr(self, "granted"):
            self.granted = granters()
        return self.granted

    async def _release(self) -> None:
        """Give back what was granted."""
        try:
            account = host.account_of(self.user.name)
        except Refusal:
            return
        for name, error in (await release(self._granters(), account)).items():
            self.log.error("grant %s of %s could not be released: %s", name, account.name, error)

    def get_args(self) -> list[str]:
        """Where a home is full, what is deleted goes for good: a trash in the home would free nothing."""
        return [*super().get_args(), *(["--FileContentsManager.delete_to_trash=False"] if self.note else [])]

    def get_env(self) -> dict[str, str]:
        """Add what this start settled."""
        return {**super().get_env(), **getattr(self, "extra_environment", {})}

    async def stop(self, now: bool = False) -> None:
        """Stop the unit and give back what was granted."""
        await super().stop(now)
        await self._release()

    async def poll(self) -> int | None:
        """Tell whether the unit runs; what it held is given back when it has ended by itself."""
        status: int | None = await super().poll()
        if status is not None and self.slice_name:
            self.slice_name = ""
            await self._release()
        return status

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Say what a person should know while the server starts."""
        yield {"progress": 30, "message": "Starting your server"}
        if self.note:
            yield {"progress": 50, "message": self.note}
