# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP side of the fake cloud: real sockets, real TLS through a proxy CONNECT, faults on demand."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import query, schema
from .world import API, World

TOKEN = "good-token"
PAGE = 500


@dataclass
class Fault:
    """A fault for requests whose path matches, `times` times (None: always)."""

    path: str
    kind: str  # status, reset, truncate, hang, garbage, no_items, repeat_token, plain_text
    times: int | None = 1
    status: int = 503
    style: str = "new"  # new, old, html, empty
    reason: str = "backendError"
    message: str = "The service is currently unavailable."
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 30.0


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: str
    connection: int


class RejectedError(Exception):
    """Ends the handling of a request with an error body."""

    def __init__(self, status: int, reason: str, message: str, google_status: str = "", style: str = "old") -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, reason, message, google_status, style)


def error_body(status: int, reason: str, message: str, google_status: str = "", style: str = "old") -> bytes:
    """Return an error in one of the styles that Google's front ends use."""
    if style == "html":
        return f"<!DOCTYPE html><html><title>Error {status}</title><p>{message}</html>".encode()
    if style == "empty":
        return b""
    error: dict[str, Any] = {"code": status, "message": message}
    if style == "new":
        error["status"] = google_status or {403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}.get(
            status, "UNAVAILABLE"
        )
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
        ]
    else:
        error["errors"] = [{"message": message, "domain": "global", "reason": reason}]
    return json.dumps({"error": error}).encode()


class FakeCloud:
    """Serves a world on loopback; use it as a context manager."""

    def __init__(
        self,
        world: World,
        tls: ssl.SSLContext | None = None,
        latency: float = 0.0,
        per_row: float = 0.0,
        gate: bool = True,
    ) -> None:
        self.world = world
        self.faults: list[Fault] = []
        self.rejections: dict[str, tuple[int, str, str]] = {}
        self.seen: list[Seen] = []
        self.gate_errors: list[str] = []
        self.tokens = {TOKEN}
        self.token_seconds = 3600
        self.on_compute_engine = True
        self.latency, self.per_row, self.gate = latency, per_row, gate
        self.in_flight = self.most_in_flight = self.connections = 0
        self.reject_partial_success = False
        self.zone_warnings = True
        self.lock = threading.Lock()
        self._pages: dict[tuple[object, ...], tuple[bytes, int]] = {}
        handler = type("Handler", (_Handler,), {"cloud": self, "tls": tls})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> FakeCloud:
        """Start the service."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the service."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Return the plain base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        """Return inventory options that point a plugin here."""
        return {
            "api_endpoint": f"{self.url}/compute/v1",
            "resource_manager_endpoint": f"{self.url}/v3",
            "access_token": TOKEN,
        }

    def reject(self, project: str, status: int, reason: str, message: str) -> None:
        """Answer every request for a project with an error."""
        self.rejections[project] = (status, reason, message)

    def paths(self) -> list[str]:
        """Return the paths requested so far."""
        return [entry.path for entry in self.seen]

    # --- answers ------------------------------------------------------------------------------------------------------
    def answer(self, seen: Seen) -> tuple[int, bytes, int]:
        """Return status, body, and the number of rows in it."""
        for pattern, handle in self._routes().items():
            found = re.fullmatch(pattern, seen.path)
            if found:
                try:
                    answer: tuple[int, bytes, int] = handle(seen, **found.groupdict())
                    return answer
                except RejectedError as problem:
                    return problem.status, problem.body, 0
                except query.BadRequestError as problem:
                    return 400, error_body(400, "invalid", str(problem)), 0
        return 404, error_body(404, "notFound", "", style="html"), 0

    def _routes(self) -> dict[str, Any]:
        project = r"/compute/v1/projects/(?P<project>[^/]+)"
        return {
            project + r"/aggregated/instances": self._instances,
            project + r"/aggregated/disks": self._disks,
            project: self._project,
            r"/v1/projects": self._old_projects,
            r"/v3/projects": self._projects,
            r"/v3/folders": self._folders,
            r"/v3/projects:search": self._search,
            r"/token": self._token,
            r"/v1/token": self._exchange,
            r"/v1/projects/-/serviceAccounts/(?P<account>[^/:]+):generateAccessToken": self._impersonate,
            r"/computeMetadata/v1/(?P<name>.*)": self._metadata,
            r"/": self._metadata_root,
            r"/stats": self._stats,
        }

    def _signed(self, seen: Seen) -> None:
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise RejectedError(401, "authError", "Request had invalid authentication credentials.", "UNAUTHENTICATED")

    def _checked(self, seen: Seen, document: str, method: str) -> None:
        self._signed(seen)
        unknown = schema.unknown_parameters(document, method, set(seen.params))
        if self.reject_partial_success and "returnPartialSuccess" in seen.params:
            unknown = {"returnPartialSuccess"}
        if unknown:
            name = min(unknown)
            raise RejectedError(
                400, "invalid", f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
            )

    def _owned(self, name: str) -> Any:
        for project in self.world.projects.values():
            if name in (project.project_id, project.number) and project.state == "ACTIVE":
                if project.project_id in self.rejections:
                    status, reason, message = self.rejections[project.project_id]
                    raise RejectedError(status, reason, message, style="new" if reason.isupper() else "old")
                return project
        raise RejectedError(404, "notFound", f"The resource 'projects/{name}' was not found")

    def _page(self, seen: Seen, kind: str, rows: list[Any]) -> tuple[list[Any], str | None]:
        size = int(seen.params.get("maxResults", PAGE))
        if not 0 <= size <= PAGE:
            raise RejectedError(400, "invalid", f"Invalid value for field 'maxResults': '{size}'.")
        start = 0
        if token := seen.params.get("pageToken"):
            start = int(base64.urlsafe_b64decode(token).decode().removeprefix(f"{kind}:"))
        end = start + size
        return rows[start:end], base64.urlsafe_b64encode(f"{kind}:{end}".encode()).decode() if end < len(rows) else None

    def _render(self, seen: Seen, document: str, kind: str, body: dict[str, Any], rows: int) -> tuple[int, bytes, int]:
        if mask_text := seen.params.get("fields"):
            mask = query.parse_mask(mask_text)
            for path in query.mask_paths(mask):
                if not schema.field_exists(document, kind, path):
                    raise RejectedError(400, "invalidParameter", f"Invalid field selection {path[-1]}")
            body = query.apply_mask(mask, body)
        elif self.gate:
            problems = schema.violations(document, kind, body)
            self.gate_errors += problems[:5]
        pretty = seen.params.get("prettyPrint", "true") != "false"
        text = json.dumps(body, indent=2) if pretty else json.dumps(body, separators=(",", ":"))
        return 200, text.encode(), rows

    def _cached(self, seen: Seen, make: Any) -> tuple[int, bytes, int]:
        """Serve a page that was made before: the bench must not measure this server."""
        key = (seen.path, *sorted(seen.params.items()))
        if self.gate or key not in self._pages:
            status, content, rows = make()
            if status != 200 or self.gate:
                return status, content, rows
            self._pages[key] = content, rows
        content, rows = self._pages[key]
        return 200, content, rows

    def _instances(self, seen: Seen, project: str) -> tuple[int, bytes, int]:
        self._checked(seen, "compute.v1", "compute.instances.aggregatedList")
        owner = self._owned(project)

        def make() -> tuple[int, bytes, int]:
            rows, down = self._selected(owner, seen)
            if down and seen.params.get("returnPartialSuccess") != "true":
                raise RejectedError(503, "backendError", f"Backend error in zone {min(down)}")
            page, token = self._page(seen, "instances", rows)
            items: dict[str, Any] = {}
            for zone in self.world.zones:
                warning = {
                    "code": "NO_RESULTS_ON_PAGE",
                    "message": f"No results for the scope 'zones/{zone}'.",
                    "data": [{"key": "scope", "value": f"zones/{zone}"}],
                }
                if zone in down and self.zone_warnings:
                    warning = {"code": "UNREACHABLE", "message": f"The zone {zone} is unreachable.", "data": []}
                items[f"zones/{zone}"] = {"warning": warning}
            for row in page:
                scope = items.setdefault("zones/" + row["zone"].rpartition("/")[2], {})
                scope.pop("warning", None)
                scope.setdefault("instances", []).append(row)
            place = f"projects/{owner.project_id}/aggregated/instances"
            body = {"kind": "compute#instanceAggregatedList", "id": place, "selfLink": f"{API}/{place}", "items": items}
            if down:
                body["unreachables"] = [f"{API}/projects/{owner.project_id}/zones/{zone}" for zone in sorted(down)]
            if token:
                body["nextPageToken"] = token
            return self._render(seen, "compute.v1", "InstanceAggregatedList", body, len(page))

        return self._cached(seen, make)

    def _selected(self, owner: Any, seen: Seen) -> tuple[list[Any], set[str]]:
        down = {zone for zone in self.world.unreachable if zone in self.world.zones}
        text = seen.params.get("filter", "")
        rows = [row for row in owner.instances if row["zone"].rpartition("/")[2] not in down]
        if text:
            rows = [row for row in rows if query.matches(text, row)]
        return sorted(rows, key=lambda row: row["zone"]), down

    def _disks(self, seen: Seen, project: str) -> tuple[int, bytes, int]:
        self._checked(seen, "compute.v1", "compute.disks.aggregatedList")
        owner = self._owned(project)
        rows = [(scope, disk) for scope, disks in owner.disks.items() for disk in disks]
        if text := seen.params.get("filter"):
            rows = [(scope, disk) for scope, disk in rows if query.matches(text, disk)]
        page, token = self._page(seen, "disks", rows)
        items: dict[str, Any] = {f"zones/{zone}": {} for zone in self.world.zones}
        for scope, disk in page:
            items.setdefault(scope, {}).setdefault("disks", []).append(disk)
        body: dict[str, Any] = {
            "kind": "compute#diskAggregatedList",
            "id": f"projects/{project}/aggregated/disks",
            "items": items,
        }
        if token:
            body["nextPageToken"] = token
        return self._render(seen, "compute.v1", "DiskAggregatedList", body, len(page))

    def _project(self, seen: Seen, project: str) -> tuple[int, bytes, int]:
        self._checked(seen, "compute.v1", "compute.projects.get")
        owner = self._owned(project)
        items = [{"key": key, "value": value} for key, value in owner.metadata.items()]
        body = {
            "kind": "compute#project",
            "name": owner.project_id,
            "commonInstanceMetadata": {"kind": "compute#metadata", "items": items},
        }
        return self._render(seen, "compute.v1", "Project", body, 1)

    # --- Resource Manager ---------------------------------------------------------------------------------------------
    def _listed(self, seen: Seen, schema_name: str, key: str, rows: list[Any]) -> tuple[int, bytes, int]:
        start = int(seen.params.get("pageToken") or 0)
        page = rows[start : start + 3]
        body: dict[str, Any] = {key: page} if page else {}
        if start + 3 < len(rows):
            body["nextPageToken"] = str(start + 3)
        return self._render(seen, "cloudresourcemanager.v3", schema_name, body, len(page))

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "name": f"projects/{project.number}",
                "projectId": project.project_id,
                "parent": project.parent,
                "state": project.state,
                "labels": project.labels,
            }
            for project in self.world.projects.values()
        ]

    def _projects(self, seen: Seen) -> tuple[int, bytes, int]:
        self._checked(seen, "cloudresourcemanager.v3", "cloudresourcemanager.projects.list")
        rows = [row for row in self._rows() if row["parent"] == seen.params.get("parent")]
        return self._listed(seen, "ListProjectsResponse", "projects", [row for row in rows if row["state"] == "ACTIVE"])

    def _folders(self, seen: Seen) -> tuple[int, bytes, int]:
        self._checked(seen, "cloudresourcemanager.v3", "cloudresourcemanager.folders.list")
        parent = seen.params.get("parent")
        if parent not in self.world.folders and not str(parent).startswith("organizations/"):
            raise RejectedError(403, "forbidden", f"The caller does not have permission on {parent}", style="new")
        rows = [
            {"name": name, "parent": above, "state": "ACTIVE"}
            for name, above in self.world.folders.items()
            if above == parent
        ]
        return self._listed(seen, "ListFoldersResponse", "folders", rows)

    def _search(self, seen: Seen) -> tuple[int, bytes, int]:
        self._checked(seen, "cloudresourcemanager.v3", "cloudresourcemanager.projects.search")
        assert seen.params.get("query") == "state:ACTIVE", "several fields in this query would be joined by OR"
        return self._listed(
            seen, "SearchProjectsResponse", "projects", [row for row in self._rows() if row["state"] == "ACTIVE"]
        )

    def _old_projects(self, seen: Seen) -> tuple[int, bytes, int]:
        self._signed(seen)
        folder = "folders/" + seen.params.get("filter", "").rpartition(" ")[2]
        rows = [{"projectId": row["projectId"]} for row in self._rows() if row["parent"] == folder]
        return 200, json.dumps({"projects": rows} if rows else {}).encode(), len(rows)

    # --- identities ---------------------------------------------------------------------------------------------------
    def issue(self, name: str) -> str:
        """Return a new token that the service will accept."""
        token = f"token-{name}-{len(self.tokens)}"
        self.tokens.add(token)
        return token

    def _token(self, seen: Seen) -> tuple[int, bytes, int]:
        form = dict(parse_qsl(seen.body))
        if "assertion" in form:
            claims = json.loads(_unbase64(form["assertion"].split(".")[1]))
            if claims["iss"].startswith("disabled@") or claims["exp"] < time.time():
                return (
                    400,
                    json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}).encode(),
                    0,
                )
        elif form.get("refresh_token") != "good-refresh":
            return (
                400,
                json.dumps(
                    {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
                ).encode(),
                0,
            )
        return (
            200,
            json.dumps(
                {"access_token": self.issue("oauth"), "expires_in": self.token_seconds, "token_type": "Bearer"}
            ).encode(),
            0,
        )

    def _exchange(self, seen: Seen) -> tuple[int, bytes, int]:
        form = dict(parse_qsl(seen.body))
        if form.get("subject_token") != "good-subject":
            return (
                400,
                json.dumps({"error": "invalid_grant", "error_description": "The subject token is not valid."}).encode(),
                0,
            )
        body = {"access_token": self.issue("sts"), "expires_in": 3600, "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}  # fmt: skip
        return 200, json.dumps(body).encode(), 0

    def _impersonate(self, seen: Seen, account: str) -> tuple[int, bytes, int]:
        self._signed(seen)
        if account.startswith("forbidden"):
            raise RejectedError(
                403, "IAM_PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied", style="new"
            )
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        return 200, json.dumps({"accessToken": self.issue("impersonated"), "expireTime": stamp}).encode(), 0

    def _metadata(self, seen: Seen, name: str) -> tuple[int, bytes, int]:
        if seen.headers.get("metadata-flavor") != "Google":
            return 403, b"Missing Metadata-Flavor:Google header.", 0
        if name == "project/project-id":
            return 200, next(iter(self.world.projects)).encode(), 0
        if name.startswith("instance/service-accounts/") and name.endswith("/token"):
            body: dict[str, Any] = {"access_token": self.issue("machine"), "expires_in": 3600, "token_type": "Bearer"}
        elif name.startswith("instance/service-accounts/"):
            body = {
                "email": "box@lab-00.iam.gserviceaccount.com",
                "scopes": ["https://www.googleapis.com/auth/compute.readonly"],
                "aliases": ["default"],
            }
        elif name == "universe/universe-domain":
            return 200, b"googleapis.com", 0
        else:
            return 404, b"not found", 0
        return 200, json.dumps(body).encode(), 0

    def _stats(self, seen: Seen) -> tuple[int, bytes, int]:
        """Report to another process the requests since its last query."""
        with self.lock:
            others = [entry for entry in self.seen if entry.path != "/stats"]
            stats = {
                "requests": len(others),
                "connections": len({entry.connection for entry in others}),
                "most_in_flight": self.most_in_flight,
            }
            self.seen.clear()
            self.most_in_flight = 0
        return 200, json.dumps(stats).encode(), 0

    def _metadata_root(self, seen: Seen) -> tuple[int, bytes, int]:
        return 200, b"computeMetadata/\n", 0


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients that disconnect in the middle are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    cloud: FakeCloud
    tls: ssl.SSLContext | None
    host = ""

    def log_message(self, *args: object) -> None:
        """Print nothing; FakeCloud.seen records all requests."""

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        with self.cloud.lock:
            self.cloud.connections += 1
            self.number = self.cloud.connections

    def do_CONNECT(self) -> None:
        """Act as the proxy and as the remote end at once."""
        assert self.tls is not None
        self.host = self.path
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 1 << 16)
        self.close_connection = False

    def do_GET(self) -> None:
        """Answer a read."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a token request."""
        self._answer()

    def _answer(self) -> None:
        cloud = self.cloud
        length = int(self.headers.get("Content-Length") or 0)
        parts = urlsplit(self.path)
        seen = Seen(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            {key.lower(): value for key, value in self.headers.items()},
            self.rfile.read(length).decode(),
            self.number,
        )
        with cloud.lock:
            cloud.seen.append(seen)
            cloud.in_flight += 1
            cloud.most_in_flight = max(cloud.most_in_flight, cloud.in_flight)
        try:
            self._respond(seen)
        finally:
            with cloud.lock:
                cloud.in_flight -= 1

    def _respond(self, seen: Seen) -> None:
        cloud = self.cloud
        with cloud.lock:
            fault = next((item for item in cloud.faults if re.search(item.path, seen.path) and item.times != 0), None)
            if fault and fault.times is not None:
                fault.times -= 1
        status, content, rows = cloud.answer(seen)
        if cloud.latency or cloud.per_row:
            time.sleep(cloud.latency + cloud.per_row * rows)
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if seen.path.startswith("/computeMetadata") or seen.path == "/":
            headers["Metadata-Flavor"] = "Google"
            if not content.startswith(b"{"):
                headers["Content-Type"] = "application/text"
        if fault:
            status, content, headers = self._spoil(fault, status, content, headers)
            if status < 0:
                return
        if "gzip" in seen.headers.get("accept-encoding", "") and len(content) > 1000:
            content = _zipped(content)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        cut = fault is not None and fault.kind == "truncate"
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut

    def _spoil(
        self, fault: Fault, status: int, content: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        if fault.kind == "status":
            body = error_body(fault.status, fault.reason, fault.message, style=fault.style)
            return (
                fault.status,
                body,
                {"Content-Type": "text/html" if fault.style == "html" else "application/json", **fault.headers},
            )
        if fault.kind == "garbage":
            return 200, b"<html>a captive portal</html>", {"Content-Type": "text/html"}
        if fault.kind in ("no_items", "repeat_token"):
            body = json.loads(content)
            body.pop("items", None)
            if fault.kind == "repeat_token":
                body["nextPageToken"] = "aW5zdGFuY2VzOjA="
            return status, json.dumps(body).encode(), headers
        if fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return -1, b"", {}
        if fault.kind == "hang":
            time.sleep(fault.seconds)
            self.close_connection = True
            return -1, b"", {}
        return status, content, headers


_zip_memory: dict[int, tuple[bytes, bytes]] = {}


def _zipped(content: bytes) -> bytes:
    """Return the compressed content; the pages of the bench are kept."""
    known = _zip_memory.get(id(content))
    if known is None or known[0] is not content:
        known = content, gzip.compress(content, 5)
        if len(_zip_memory) < 512:
            _zip_memory[id(content)] = known
    return known[1]
