# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GET JSON from a Google API: one session, bounded retries, and errors that name the remedy.

urllib3's Retry was considered: it cannot see that a 403 means "too fast" (that stands in the body), nor repeat a body
that was cut off or is no JSON, nor keep one time limit over all tries. So the loop is here and urllib3 tries once.
"""

from __future__ import annotations

import email.utils
import json
import random
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
except ImportError as error:  # reported by require(), when the plugin is really used
    MISSING: ImportError | None = error
else:
    MISSING = None

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.auth import Identity
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import (
    ApiError,
    AuthError,
    BadParameterError,
    ErrorClass,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import Service

_TOO_FAST = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "concurrentLimitExceeded",
    }
)
_DISABLED = frozenset({"accessNotConfigured", "SERVICE_DISABLED", "API_DISABLED"})
_PERIMETER = frozenset({"SECURITY_POLICY_VIOLATED", "vpcServiceControls", "VPC_SERVICE_CONTROLS"})
# 0 stands for "no usable answer at all".
_RETRY_STATUS = frozenset({0, 408, 429, 500, 502, 503, 504})
_BAD_CERTIFICATE = -1
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_CHUNK = 1 << 16


def require() -> None:
    """Raise ImportError where the HTTP libraries are not installed."""
    if MISSING:
        raise MISSING


def new_session(workers: int) -> requests.Session:
    """Return one session for a whole run: connections are kept and shared by the workers."""
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=workers, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["User-Agent"] = "gpulab-core-gcp-inventory (gzip)"
    return session


@dataclass(frozen=True)
class Problem:
    """The error that an unusable answer reports, in either of Google's two styles."""

    status: int
    reasons: frozenset[str]
    message: str

    @property
    def too_fast(self) -> bool:
        """Return whether this is a rate limit, which is temporary, and not a rejection."""
        return self.status == 429 or (self.status == 403 and bool(self.reasons & _TOO_FAST))

    @property
    def error_class(self) -> ErrorClass:
        """Return the class of the error that the option on_error applies to."""
        if self.status == 404:
            return "not_found"
        if self.status != 403:
            return "other"
        text = self.message.lower()
        if self.reasons & _DISABLED or "has not been used in project" in text:
            return "api_disabled"
        if self.reasons & _PERIMETER or "vpcservicecontrols" in text.replace(" ", ""):
            return "perimeter"
        return "forbidden"


class _SignedRequest:
    """Signs one request; being an auth object it also keeps requests from taking a password out of ~/.netrc."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self.headers)
        return request


class Client:
    """Reads JSON objects with retries and a time limit; safe to use from many threads."""

    def __init__(
        self,
        session: requests.Session,
        identity: Identity,
        service: Service,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.identity = identity
        self._session = session
        self._service = service
        self._sleep = sleep

    def get(self, url: str, params: Mapping[str, str], what: str, permission: str) -> dict[str, Any]:
        """Return the JSON object behind a URL; `what` and `permission` are for the message when that fails."""
        deadline = time.monotonic() + self._service.retry_budget
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            headers = self.identity.headers()
            problem, retry_after, body = self._try(url, params, headers)
            if problem is None:
                return body
            if problem.status == 401:
                if renewed or not self.identity.renew(headers):
                    raise AuthError(self._rejected(problem))
                renewed = True
                continue
            passing = problem.status in _RETRY_STATUS or problem.too_fast
            wait = self._wait(attempt, retry_after)
            if not passing or attempt > self._service.retries or time.monotonic() + wait > deadline:
                raise _final_error(what, permission, problem, attempt if passing else 0)
            self._sleep(wait)

    def _try(
        self, url: str, params: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[Problem | None, float | None, dict[str, Any]]:
        limit = self._service.timeout
        try:
            with self._session.get(
                url,
                params=params,
                auth=_SignedRequest(headers),
                timeout=(min(limit, 10.0), limit),
                stream=True,
                allow_redirects=False,
            ) as response:
                content = self._read(response, limit)
        except requests.exceptions.SSLError as error:
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            return Problem(_BAD_CERTIFICATE if untrusted else 0, frozenset(), f"TLS failed ({_words(error)})"), None, {}
        except requests.exceptions.ProxyError:
            return Problem(0, frozenset(), "the proxy rejected or dropped the connection"), None, {}
        except requests.exceptions.Timeout:
            return Problem(0, frozenset(), f"no answer within {limit:g} s"), None, {}
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, zlib.error, OSError) as error:
            return Problem(0, frozenset(), _broken(error)), None, {}
        if response.status_code == 200:
            try:
                body = json.loads(content)
            except ValueError:
                return Problem(0, frozenset(), "the answer is no JSON or was cut off"), None, {}
            if isinstance(body, dict):
                return None, None, body
            return Problem(0, frozenset(), "the answer is not a JSON object"), None, {}
        retry_after = _seconds(response.headers.get("Retry-After"))
        return read_problem(response.status_code, content), retry_after, {}

    @staticmethod
    def _read(response: requests.Response, limit: float) -> bytes:
        """Read a body within the time limit: a read timeout alone starts again with every byte that arrives."""
        deadline = time.monotonic() + max(limit, 5.0) * 2
        chunks = []
        for chunk in response.iter_content(_CHUNK):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout
        return b"".join(chunks)

    @staticmethod
    def _wait(attempt: int, retry_after: float | None) -> float:
        step = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (attempt - 1))
        jittered = step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
        return jittered if retry_after is None else retry_after + jittered / 10

    def _rejected(self, problem: Problem) -> str:
        if self.identity.kind == "accesstoken":
            return (
                "option 'access_token': it is expired or not valid; 'gcloud auth print-access-token' prints a new one"
            )
        return f"the service does not accept the credentials (auth_kind {self.identity.kind}): {problem.message}"


def read_problem(status: int, content: bytes) -> Problem:
    """Parse an error body of the older style, of the newer style, an HTML page, or an empty one."""
    try:
        error = json.loads(content).get("error")
    except (ValueError, AttributeError):
        error = None
    reasons: set[str] = set()
    message = ""
    if isinstance(error, dict):
        message = str(error.get("message") or "")
        reasons.add(str(error.get("status") or ""))
        for entry in [*_dicts(error.get("errors")), *_dicts(error.get("details"))]:
            reasons.add(str(entry.get("reason") or ""))
            reasons.update(str(violation.get("type") or "") for violation in _dicts(entry.get("violations")))
    elif isinstance(error, str):
        message = error
    text = " ".join(message.split())[:400] or f"HTTP status {status} without an explanation"
    return Problem(status, frozenset(reasons - {""}), text.rstrip("."))


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _seconds(header: str | None) -> float | None:
    """Return Retry-After as seconds from now; the header holds either seconds or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError):
        return None
    return max(0.0, moment - time.time())


def _broken(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer was cut off"
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"the connection failed ({_words(error)})"
    return f"the transfer failed ({_words(error)})"


def _words(error: BaseException) -> str:
    """Return the innermost cause of a nest of transport errors, in short."""
    seen = 0
    while seen < 8:
        inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None) or getattr(
            error, "reason", None
        )
        if not isinstance(inner, BaseException):
            break
        error, seen = inner, seen + 1
    return (getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__)[:160]


def _final_error(what: str, permission: str, problem: Problem, attempts: int) -> ApiError:
    cause = problem.message if problem.status <= 0 else f"{problem.message} (HTTP {problem.status})"
    if attempts > 1:
        cause += f", after {attempts} tries"
    if problem.status == 400:
        return BadParameterError(what, cause, "Check the options filters, zones and projects")
    kind = problem.error_class
    if problem.too_fast:
        return ApiError(
            what, cause, "Too many requests: wait a minute, or lower the option workers", "other", problem.status
        )
    hints = {
        "forbidden": f"Grant {permission} (roles/compute.viewer, for folders roles/browser), or set on_error",
        "api_disabled": "Enable it there ('gcloud services enable compute.googleapis.com'), or set on_error",
        "perimeter": "A VPC Service Controls perimeter stands between; ask for an access level, or set on_error",
        "not_found": "Is the name right (option projects or folders)? exclude_projects and on_error leave it out",
        "other": "Try again later; the options timeout, retries and retry_budget decide how long to wait",
    }
    if problem.status == _BAD_CERTIFICATE:
        hints["other"] = "Set REQUESTS_CA_BUNDLE to your own CA file if a proxy inspects TLS"
    return ApiError(what, cause, hints[kind], kind, problem.status)
