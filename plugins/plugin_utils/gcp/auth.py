# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sign in to Google Cloud with google-auth, and return which identity would sign in without a request."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import AuthError, OptionError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import Auth

if TYPE_CHECKING:
    import requests

COMPUTE_SCOPE = "https://www.googleapis.com/auth/compute.readonly"
DISCOVERY_SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"
_IMPERSONATION_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

# Time limit in seconds of the search for a metadata server outside of Google Cloud, all tries together.
_METADATA_PATIENCE = 1.2
_HELP = (
    "no credentials found. Run 'gcloud auth application-default login', or set GOOGLE_APPLICATION_CREDENTIALS to a "
    "credentials file, or set service_account_file; on a Google Cloud machine attach a service account"
)


class Identity:
    """Signed-in credentials: provides the token as request headers in any thread, refreshed once when needed."""

    def __init__(self, credentials: Any, transport: Callable[..., Any], project: str | None, kind: str) -> None:
        self.project = project
        self.kind = kind
        self._credentials = credentials
        self._transport = transport
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """Return the headers that prove the identity; the token is fetched at the first call only."""
        headers: dict[str, str] = {}
        with self._lock:
            if not self._credentials.valid:
                self._refresh()
            self._credentials.apply(headers)
        return headers

    def renew(self, rejected: Mapping[str, str]) -> bool:
        """Fetch a new token after the service rejected these headers; return False when no new one is available."""
        with self._lock:
            current: dict[str, str] = {}
            self._credentials.apply(current)
            # Another thread may have renewed it already.
            if current.get("authorization") != rejected.get("authorization"):
                return True
            if self.kind == "accesstoken":
                return False
            self._refresh()
            return True

    def _refresh(self) -> None:
        from google.auth import exceptions

        try:
            self._credentials.refresh(self._transport)
        except exceptions.GoogleAuthError as error:
            raise AuthError(_refresh_problem(self.kind, error)) from None


def sign_in(auth: Auth, session: requests.Session, timeout: float, *, discovery: bool) -> Identity:
    """Return an identity for these options; nothing is sent unless the kind of credentials needs it."""
    import google.auth.transport.requests

    # Its warnings repeat the errors below.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    scopes = list(auth.scopes) or [COMPUTE_SCOPE, *([DISCOVERY_SCOPE] if discovery else [])]
    source_scopes = [_IMPERSONATION_SCOPE] if auth.impersonate else scopes
    transport = _bounded(google.auth.transport.requests.Request(session=session), timeout)
    credentials, project = _LOADERS[auth.kind](auth, source_scopes, transport)
    if auth.impersonate:
        from google.auth import impersonated_credentials

        endpoint = None
        if auth.iam_endpoint:
            endpoint = f"{auth.iam_endpoint}/projects/-/serviceAccounts/{auth.impersonate}:generateAccessToken"
        credentials = impersonated_credentials.Credentials(
            source_credentials=credentials,
            target_principal=auth.impersonate,
            target_scopes=scopes,
            delegates=list(auth.delegates),
            iam_endpoint_override=endpoint,
        )
    if auth.quota_project and hasattr(credentials, "with_quota_project"):
        credentials = credentials.with_quota_project(auth.quota_project)
    kind = "impersonation" if auth.impersonate else auth.kind
    return Identity(credentials, transport, project, kind)


def fingerprint(auth: Auth) -> str:
    """Return a digest that changes with the identity, from options, files and environment, without a request."""
    parts: list[object] = [
        auth.kind, auth.impersonate, auth.delegates, auth.quota_project, auth.universe_domain, auth.scopes,
        auth.service_account_email,
    ]  # fmt: skip
    if auth.kind == "accesstoken":
        parts.append(auth.access_token)
    elif auth.service_account_contents:
        parts.append(auth.service_account_contents)
    elif auth.service_account_file:
        parts.append(_file_bytes(_expand(auth.service_account_file)).decode("utf-8", "replace"))
    elif auth.kind == "application":
        parts.append(os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCLOUD_PROJECT"))
        explicit = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        path = Path(explicit) if explicit else _well_known_file()
        parts.append(_file_bytes(path).decode("utf-8", "replace"))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _well_known_file() -> Path:
    folder = os.environ.get("CLOUDSDK_CONFIG")
    # Unlike Path.home(), no error for a user without a home, as in a container.
    base = Path(folder) if folder else Path(os.path.expanduser("~/.config/gcloud"))  # noqa: PTH111
    return base / "application_default_credentials.json"


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _expand(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def _bounded(request: Callable[..., Any], timeout: float) -> Callable[..., Any]:
    """Set our time limit on every request of google-auth, whose default is two minutes."""

    def call(*args: Any, **kwargs: Any) -> Any:
        wanted = kwargs.get("timeout")
        kwargs["timeout"] = min(wanted, timeout) if isinstance(wanted, (int, float)) else timeout
        return request(*args, **kwargs)

    return call


def _refresh_problem(kind: str, error: Exception) -> str:
    cause = _first_sentence(error)
    if kind == "serviceaccount":
        return (
            f"option 'service_account_file': the key was rejected ({cause}); is it deleted or disabled, or this "
            "machine's clock wrong?"
        )
    if kind == "impersonation":
        return (
            f"option 'impersonate_service_account': no token for it ({cause}); the caller needs "
            "roles/iam.serviceAccountTokenCreator on it"
        )
    if kind == "machineaccount":
        return (
            f"option 'auth_kind': the metadata server gave no token ({cause}); is a service account attached to this "
            "machine?"
        )
    if kind == "accesstoken":
        return "option 'access_token': it is expired or not valid; 'gcloud auth print-access-token' prints a new one"
    return (
        f"option 'auth_kind': no token from the application default credentials ({cause}); run 'gcloud auth "
        "application-default login'"
    )


def _first_sentence(error: Exception) -> str:
    """Return the message of an error without the response bodies that google-auth appends to it."""
    text = str(error.args[0]) if error.args else str(error)
    return " ".join(text.split())[:200]


# --- one loader per kind ---------------------------------------------------------------------------------------------
def _service_account(auth: Auth, scopes: list[str], transport: object) -> tuple[Any, str | None]:
    from google.oauth2 import service_account

    option = "service_account_contents" if auth.service_account_contents else "service_account_file"
    text = auth.service_account_contents
    if text is None:
        path = _expand(auth.service_account_file or "")
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise OptionError(
                option, f"cannot read '{path}' ({error.strerror}); does it exist and may this user read it?"
            ) from None
        except UnicodeDecodeError:
            raise OptionError(option, f"'{path}' is not a JSON key file") from None
    try:
        info = json.loads(text)
    except ValueError:
        raise OptionError(option, "this is not JSON; it must be the key file exactly as Google made it") from None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        found = info.get("type") if isinstance(info, dict) else None
        hint = "; use auth_kind: application with GOOGLE_APPLICATION_CREDENTIALS for it" if found else ""
        raise OptionError(option, f"this is not a service account key (its type is '{found}'){hint}")
    try:
        credentials = service_account.Credentials.from_service_account_info(info, scopes=scopes)
    except (ValueError, KeyError) as error:
        raise OptionError(option, f"the key file is damaged ({type(error).__name__}); download a new one") from None
    return credentials, cast("str | None", info.get("project_id"))


def _access_token(auth: Auth, scopes: list[str], transport: object) -> tuple[Any, str | None]:
    from google.oauth2 import credentials

    return credentials.Credentials(auth.access_token, universe_domain=auth.universe_domain), None


def _machine_account(auth: Auth, scopes: list[str], transport: Callable[..., Any]) -> tuple[Any, str | None]:
    from google.auth import compute_engine, exceptions
    from google.auth.compute_engine import _metadata

    if not _metadata_answers():
        raise AuthError(
            "option 'auth_kind': machineaccount works on a Google Cloud machine only; no metadata server answers here"
        )
    try:
        project = _metadata.get_project_id(transport)
    except exceptions.GoogleAuthError:
        project = None
    return compute_engine.Credentials(auth.service_account_email or "default", scopes=scopes), project


def _application(auth: Auth, scopes: list[str], transport: Callable[..., Any]) -> tuple[Any, str | None]:
    import google.auth
    from google.auth import exceptions

    explicit = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if explicit and not Path(explicit).is_file():
        raise AuthError(
            f"GOOGLE_APPLICATION_CREDENTIALS names '{explicit}', which is not there; correct it or unset it"
        )
    # google-auth would query the metadata server three times, three seconds each, on a machine without one.
    if not explicit and not _well_known_file().is_file() and not _metadata_answers():
        raise AuthError(_HELP)
    try:
        credentials, project = google.auth.default(scopes=scopes, request=transport)
    except exceptions.DefaultCredentialsError as error:
        raise AuthError(f"{_HELP} ({_first_sentence(error)})") from None
    except exceptions.GoogleAuthError as error:
        raise AuthError(_refresh_problem("application", error)) from None
    return credentials, project


def _metadata_answers() -> bool:
    """Return whether a metadata server answers one request within a short time limit."""
    import requests

    if os.environ.get("NO_GCE_CHECK", "").lower() == "true":
        return False
    host = os.environ.get("GCE_METADATA_IP") or os.environ.get("GCE_METADATA_HOST") or "169.254.169.254"
    deadline = time.monotonic() + _METADATA_PATIENCE
    session = requests.Session()
    # A proxy must neither receive nor answer a request for this machine's own metadata.
    session.trust_env = False
    while (left := deadline - time.monotonic()) > 0.05:
        try:
            answer = session.get(f"http://{host}", headers={"Metadata-Flavor": "Google"}, timeout=min(left, 0.6))
            return answer.headers.get("metadata-flavor") == "Google"
        except requests.ConnectTimeout:
            continue
        except requests.RequestException:
            return False
    return False


_LOADERS: dict[str, Callable[[Auth, list[str], Callable[..., Any]], tuple[Any, str | None]]] = {
    "application": _application,
    "serviceaccount": _service_account,
    "machineaccount": _machine_account,
    "accesstoken": _access_token,
}
