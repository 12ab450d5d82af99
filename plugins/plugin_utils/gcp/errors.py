# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the Google Cloud inventory; each message names the problem and the remedy, and never holds a secret."""

from __future__ import annotations

from typing import Literal

ErrorClass = Literal["forbidden", "api_disabled", "perimeter", "not_found", "other"]

# Classes that the option on_error applies to; all other errors always fail.
POLICY_CLASSES: tuple[ErrorClass, ...] = ("forbidden", "api_disabled", "perimeter", "not_found")


class GcpError(Exception):
    """A problem that the user must handle; the message is complete."""


class OptionError(GcpError):
    """An option with an unusable value."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"option '{option}': {problem}")
        self.option = option


class AuthError(GcpError):
    """No usable credentials."""


class ApiError(GcpError):
    """An answer of the service that ends the work on one project."""

    def __init__(self, what: str, cause: str, hint: str, error_class: ErrorClass = "other", status: int = 0) -> None:
        super().__init__(f"{what}: {cause}" + (f". {hint}" if hint else ""))
        self.error_class: ErrorClass = error_class
        self.status = status


class BadParameterError(ApiError):
    """The service rejected the request itself (status 400); `cause` names the parameter."""

    def __init__(self, what: str, cause: str, hint: str) -> None:
        super().__init__(what, cause, hint, "other", 400)
        self.cause = cause
