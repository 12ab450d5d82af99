# SPDX-License-Identifier: GPL-3.0-or-later
"""Spawner of users' servers, which are instances of gpulab-server@.service in the slices of their users.

The hub runs without root. It sends the environment of a server to the launcher, and reads from systemd whether the
server runs. A server authenticates itself to the hub with a certificate for its user's own address.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from jupyterhub import orm
from jupyterhub.spawner import Spawner, SpawnException
from tornado import web
from traitlets import Bool, Integer, Unicode, default

from gpulab_hub import certificates, host, options, units
from gpulab_hub.addresses import address_of
from gpulab_hub.grants import Account, Granter, Rejection, collect, granters, known_options, release


class LabSpawner(Spawner):  # type: ignore[misc]
    """Start a server in its user's slice, so that notebooks and SSH share one set of limits."""

    least_memory = Integer(host.LEAST_MEMORY, help="Bytes that the host must have left to start one more server.").tag(
        config=True
    )
    state_directory = Unicode(
        "/var/lib/gpulab/jupyterhub", help="Directory of the hub's certificates and addresses."
    ).tag(config=True)
    internal_ssl = Bool(True, help="Servers speak TLS, with certificates that the hub makes.")
    uid = Integer(0, help="The uid that the server was started for; 0 when it was not.")
    authority = Unicode("", help="Fingerprint of the certificate authority that the server trusts.")

    token_id = Integer(0, help="Row of the server's own token in the hub's database; 0 when there is none.")

    granted: dict[str, Granter]
    note = ""
    limits: dict[str, str]

    @default("options_from_form")  # type: ignore[untyped-decorator]
    def _options_from_form(self) -> Any:
        """Check the options of a form or of a link to /hub/spawn before they are stored."""
        return self._known_options

    @staticmethod
    def _known_options(data: dict[str, Any]) -> dict[str, Any]:
        try:
            options.check(data, known_options())
        except options.UnknownOptions as error:
            raise web.HTTPError(400, str(error)) from error
        return data

    @property
    def tls(self) -> Path:
        """Return the directory of the certificates."""
        return Path(self.state_directory) / "tls"

    @property
    def server(self) -> Any:
        """Return the hub's record of the server, with the certificates for connections to it."""
        server = Spawner.server.fget(self)
        if server is not None:
            server.keyfile, server.certfile = str(self.tls / "hub.key"), str(self.tls / "hub.pem")
            server.cafile = str(self.tls / "authority.pem")
        return server

    @server.setter
    def server(self, server: Any) -> None:
        Spawner.server.fset(self, server)

    async def start(self) -> str:
        """Check the host, collect grants, start the unit; return the server's address."""
        try:
            return await self._start()
        except Rejection as rejection:
            raise SpawnException(rejection.message, reason=rejection.reason, status_code=503) from rejection
        except units.LauncherFailed as error:
            self.log.error("the server of %s was not started: %s", self.user.name, error)
            message = "Your server was not started. Ask an administrator: the log of gpulab-hub.service has the reason."
            raise SpawnException(message, reason="launcher_failed", status_code=500) from error

    async def _start(self) -> str:
        if self.name:
            raise Rejection("This hub starts one server per user: named servers are not available.", "named_server")
        own = orm.APIToken.find(self.user.db, self.api_token)
        self.token_id = own.id if own else 0
        account = host.account_of(self.user.name)
        host.reject_full_host(self.least_memory)
        grants = await collect(self._granters(), account, self.user_options)
        self.uid = account.uid
        try:
            self.ip = address_of(account.uid, Path(self.state_directory) / "addresses.json")
            self.port = free_port(self.ip)
            shown = await units.properties(account.slice, *host.LIMITS)
            self.limits = host.bar_limits(shown)
            self.authority = certificates.fingerprint(self.tls)
            environment = {**self.get_env(), "GPULAB_SERVER": self._settings()}
            for grant in grants:
                environment.update(grant.environment)
            await units.call({"action": "start", "uid": account.uid, "environment": environment})
            await self._check_home(account)
        except BaseException:
            await self._release()
            raise
        return f"https://{self.ip}:{self.port}"

    async def _check_home(self, account: Account) -> None:
        """Read the result of the unit's home check; stop the server and raise Rejection where the home is unusable."""
        state = host.home_state(await units.home_check_status(account.uid))
        self.note = host.MESSAGES.get(state, "")
        try:
            host.reject_home(account, state)
        except Rejection:
            await units.call({"action": "stop", "uid": account.uid})
            raise

    def _settings(self) -> str:
        """Return the input of gpulab_server.start: arguments, and the server's own key and certificate."""
        pair = certificates.server(self.ip, certificates.load(self.tls, "authority"))
        return json.dumps(
            {
                "arguments": self.get_args(),
                "key": pair.key_pem,
                "certificate": pair.certificate_pem,
                "authority": (self.tls / "authority.pem").read_text(encoding="ascii"),
            }
        )

    def get_env(self) -> dict[str, str]:
        """Return the environment of the server, with the limits for JupyterLab's resource bar."""
        return {**super().get_env(), **getattr(self, "limits", {})}

    def _granters(self) -> dict[str, Granter]:
        if not hasattr(self, "granted"):
            self.granted = granters()
        return self.granted

    async def _release(self) -> None:
        """Release all grants of the user."""
        try:
            account = host.account_of(self.user.name)
        except Rejection:
            return
        for name, error in (await release(self._granters(), account)).items():
            self.log.error("grant %s of %s could not be released: %s", name, account.name, error)

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002
        """Stop the unit and release all grants."""
        if self.uid:
            await units.call({"action": "stop", "uid": self.uid})
        self._end_token()
        await self._release()

    def _end_token(self) -> None:
        """Delete the server's token, which JupyterHub does not do after a restart of the hub."""
        if not self.api_token and (token := self.user.db.get(orm.APIToken, self.token_id)):
            self.user.db.delete(token)
            self.user.db.commit()

    async def poll(self) -> int | None:
        """Return None while the unit runs; otherwise release the grants of the server."""
        if not self.uid:
            return 0
        if await units.is_running(self.uid):
            if self.authority == certificates.fingerprint(self.tls):
                return None
            self.log.warning("The certificates were renewed: the server of %s is stopped", self.user.name)
        # Also removes the environment and the failed unit of a server that has ended.
        await units.call({"action": "stop", "uid": self.uid})
        self.uid = 0
        self._end_token()
        await self._release()
        return 1

    def get_state(self) -> dict[str, Any]:
        """Return the state that the hub stores for its next start."""
        return {**super().get_state(), "uid": self.uid, "authority": self.authority, "token": self.token_id}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the stored state."""
        super().load_state(state)
        self.uid, self.authority = state.get("uid", 0), state.get("authority", "")
        self.token_id = state.get("token", 0)

    def clear_state(self) -> None:
        """Clear the state of the previous server."""
        super().clear_state()
        self.uid, self.authority, self.note, self.token_id = 0, "", "", 0

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages that the user sees while the server starts."""
        yield {"progress": 30, "message": "Starting your server"}
        if self.note:
            yield {"progress": 50, "message": self.note}


def free_port(address: str) -> int:
    """Return a TCP port that is free on an address now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
