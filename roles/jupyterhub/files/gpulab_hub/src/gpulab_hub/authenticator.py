"""PAM, asked again while somebody is logged in."""

from __future__ import annotations

from typing import Any

from jupyterhub.auth import PAMAuthenticator

from gpulab_hub.people import may_come_in


class LabPAMAuthenticator(PAMAuthenticator):  # type: ignore[misc]
    """PAM, with the account looked at anew while somebody is logged in."""

    async def refresh_user(self, user: Any, handler: Any = None, **arguments: Any) -> Any:  # noqa: ARG002
        """Give True while the account is good; else every cookie and token of it is refused."""
        if may_come_in(user.name, set(self.allowed_groups)):
            return True
        self.log.warning("%s may not come in any more", user.name)
        return False
