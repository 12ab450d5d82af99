# SPDX-License-Identifier: GPL-3.0-or-later
"""The client without a network: retries, their time limits, and messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.client import Client, read_problem
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import ApiError, AuthError, GcpError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import Service


class _Identity:
    project, kind = None, "serviceaccount"

    def __init__(self) -> None:
        self.renewals = 0

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.renewals}"}

    def renew(self, rejected: dict[str, str]) -> bool:
        self.renewals += 1
        return True


class _Response:
    def __init__(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.status_code, self.content, self.headers = status, content, headers or {}

    def __enter__(self) -> _Response:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def iter_content(self, _size: int) -> Iterator[bytes]:
        yield self.content


class _Session:
    """Plays answers in order, the last one again and again."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.sent = 0

    def get(self, _url: str, **_options: Any) -> _Response:
        self.sent += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, _Response)
        return answer


def _error(status: int, reason: str = "x", **headers: str) -> _Response:
    body = {"error": {"code": status, "message": f"words of {status}", "errors": [{"reason": reason}]}}
    return _Response(
        status, json.dumps(body).encode(), {key.replace("_", "-"): value for key, value in headers.items()}
    )


GOOD = _Response(200, b'{"items": {}}')


def _client(
    *answers: object, retries: int = 8, time_limit: float = 120
) -> tuple[Client, _Session, list[float], _Identity]:
    session, identity = _Session(*answers), _Identity()
    waits: list[float] = []
    service = Service("https://c", "https://r", 30, retries, time_limit, 1, {})
    return Client(session, identity, service, waits.append), session, waits, identity  # type: ignore[arg-type]


def _get(client: Client) -> dict[str, Any]:
    return client.get("https://c/x", {}, "project 'lab'", "compute.instances.list")


PASSING = [
    _error(429), _error(500), _error(502), _error(503), _error(504), _error(408), _error(403, "rateLimitExceeded"),
    _error(403, "userRateLimitExceeded"), requests.ConnectionError("reset"), requests.ReadTimeout("slow"),
    requests.exceptions.ChunkedEncodingError("cut"), requests.exceptions.ContentDecodingError("gzip"),
    _Response(200, b'{"items": '), _Response(200, b"<html>"), _Response(200, b"[]"), _Response(502, b"<html>oops</html>"),
]  # fmt: skip


@pytest.mark.parametrize("trouble", PASSING)
def test_passing_trouble_is_retried(trouble: object) -> None:
    client, session, waits, _identity = _client(trouble, GOOD)
    assert _get(client) == {"items": {}}
    assert session.sent == 2
    assert len(waits) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 301])
def test_lasting_trouble_is_not_retried(status: int) -> None:
    client, session, waits, _identity = _client(_error(status))
    with pytest.raises(ApiError, match=f"project 'lab': words of {status} \\(HTTP {status}\\)"):
        _get(client)
    assert (session.sent, waits) == (1, [])


def test_waits_grow_are_jittered_and_capped() -> None:
    client, session, waits, _identity = _client(_error(503), retries=10, time_limit=10_000)
    with pytest.raises(ApiError, match="after 11 tries"):
        _get(client)
    steps = [min(30.0, 0.5 * 2**number) for number in range(10)]
    assert all(step / 2 <= wait <= step for step, wait in zip(steps, waits, strict=True))
    assert len({wait / step for step, wait in zip(steps, waits, strict=True)}) > 5
    assert session.sent == 11


def test_retry_after_is_followed() -> None:
    client, _session, waits, _identity = _client(_error(429, Retry_After="7"), GOOD)
    _get(client)
    assert 7 <= waits[0] < 8


def test_wait_beyond_the_time_limit_ends_it() -> None:
    client, session, waits, _identity = _client(_error(429, Retry_After="121"))
    with pytest.raises(ApiError, match="Too many requests"):
        _get(client)
    assert (session.sent, waits) == (1, [])


def test_no_retries_means_one_try() -> None:
    client, session, _waits, _identity = _client(_error(503), retries=0)
    with pytest.raises(ApiError):
        _get(client)
    assert session.sent == 1


def test_rejected_token_is_renewed_once() -> None:
    client, session, _waits, identity = _client(_error(401), GOOD)
    assert _get(client)
    assert (session.sent, identity.renewals) == (2, 1)
    client, session, _waits, identity = _client(_error(401))
    with pytest.raises(AuthError, match="does not accept the credentials"):
        _get(client)
    assert (session.sent, identity.renewals) == (2, 1)


CLASSES = {
    "api_disabled": [
        (403, "accessNotConfigured", ""),
        (403, "SERVICE_DISABLED", ""),
        (403, "x", "API has not been used in project 5"),
    ],
    "perimeter": [(403, "SECURITY_POLICY_VIOLATED", ""), (403, "x", "vpcServiceControlsUniqueIdentifier: abc")],
    "forbidden": [(403, "forbidden", "no"), (403, "IAM_PERMISSION_DENIED", "no")],
    "not_found": [(404, "notFound", "no")],
    "other": [(400, "invalid", "no"), (500, "backendError", "no")],
}


@pytest.mark.parametrize(("expected", "case"), [(name, case) for name, cases in CLASSES.items() for case in cases])
@pytest.mark.parametrize("style", ["old", "new"])
def test_error_class(expected: str, case: tuple[int, str, str], style: str) -> None:
    status, reason, message = case
    error: dict[str, Any] = {"code": status, "message": message}
    error |= {"errors": [{"reason": reason}]} if style == "old" else {"status": "X", "details": [{"reason": reason}]}
    problem = read_problem(status, json.dumps({"error": error}).encode())
    assert problem.error_class == expected
    assert not problem.too_fast


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>",
        b'{"error": null}',
        b'{"error": "text"}',
        b'{"error": {"errors": 5, "details": [3]}}',
        b"\xff",
    ],
)
def test_any_error_body_can_be_read(body: bytes) -> None:
    assert read_problem(500, body).message


def test_error_is_one_line_and_bounded() -> None:
    client, _session, _waits, _identity = _client(
        _Response(400, json.dumps({"error": {"message": "a\nb " * 1000}}).encode())
    )
    with pytest.raises(GcpError) as caught:
        _get(client)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
