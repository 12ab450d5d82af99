"""What is wished for a host, as playbooks/wishes.yml writes it down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Wishes:
    """The wishes for one host. Sizes in GB are 1e9 bytes."""

    host: str
    disposable: bool
    connection: dict[str, Any]
    minimum: dict[str, float]
    gpu: str
    users: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    shared: dict[str, Any]
    users_group: str
    admin_group: str
    hub: dict[str, Any]
    interpreter: str
    kernels: dict[str, str]
    rstudio: str

    @property
    def present(self) -> list[str]:
        """The people who are to have access."""
        return [user["name"] for user in self.users if user.get("state", "present") == "present"]

    @property
    def admins(self) -> list[str]:
        """Those of them who administrate."""
        return [user["name"] for user in self.users if user.get("admin") and user["name"] in self.present]


def read(folder: Path) -> dict[str, Wishes]:
    """Read the wishes of all hosts."""
    found = (Wishes(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob("*.json"))
    return {wishes.host: wishes for wishes in found}


def password(folder: Path | None, user: str) -> str | None:
    """Give a demo password: the first word of the file that is named like the user."""
    path = folder / user if folder else None
    return path.read_text(encoding="utf-8").split()[0] if path and path.is_file() else None
