# SPDX-License-Identifier: GPL-3.0-or-later
"""The requested state of a host, as playbooks/expected_state.yml writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Expected:
    """The expected state of one host. Sizes in GB are 1e9 bytes."""

    host: str
    disposable: bool
    connection: dict[str, Any]
    minimum: dict[str, float]
    gpu: str
    cuda: dict[str, Any]
    cudnn: bool
    gpu_sharing: str
    users: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    shared: dict[str, Any]
    users_group: str
    admin_group: str
    hub: dict[str, Any]
    interpreter: str
    kernels: dict[str, str]
    rstudio: str

    @property
    def present(self) -> list[str]:
        """The names of users with access."""
        return [user["name"] for user in self.users if user.get("state", "present") == "present"]

    @property
    def admins(self) -> list[str]:
        """The names of the administrators among them."""
        return [user["name"] for user in self.users if user.get("admin") and user["name"] in self.present]


def read(directory: Path) -> dict[str, Expected]:
    """Read the expected state of all hosts."""
    states = (Expected(**json.loads(path.read_text(encoding="utf-8"))) for path in directory.glob("*.json"))
    return {expected.host: expected for expected in states}


def password(directory: Path | None, user: str) -> str | None:
    """Return a demo password: the first word of the file with the user's name; None without such a file."""
    path = directory / user if directory else None
    return path.read_text(encoding="utf-8").split()[0] if path and path.is_file() else None
