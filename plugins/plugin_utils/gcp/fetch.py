# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch all requested projects and instances before the first host is made."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.auth import sign_in
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.client import Client, new_session
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import ApiError, BadParameterError, GcpError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import Scope, Service, Settings
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.rows import Needs, Row, Snapshot, is_true, resource_path

_T = TypeVar("_T")

_PAGE = "500"
_UNREACHABLE = frozenset({"UNREACHABLE", "PARTIAL_SUCCESS"})
_LIST_PERMISSION = "compute.instances.list"


def fetch(settings: Settings, wanted: Needs) -> Snapshot:
    """Return everything, or raise one error that names every project that failed."""
    service = settings.service
    with new_session(service.workers) as session:
        identity = sign_in(settings.auth, session, service.timeout, discovery=settings.scope.discovers)
        # One token before many threads need it, and one message instead of many when there is none.
        identity.headers()
        reader = _Reader(Client(session, identity, service), settings.scope, service, wanted)
        with ThreadPoolExecutor(service.workers) as pool:
            return reader.read(pool, identity.project)


class _Reader:
    def __init__(self, client: Client, scope: Scope, service: Service, wanted: Needs) -> None:
        self._client = client
        self._scope = scope
        self._service = service
        self._wanted = wanted
        self._mask = wanted.fields is not None
        self._partial_success = True
        self._zones: set[str] = set()
        self._snapshot = Snapshot()

    def read(self, pool: ThreadPoolExecutor, default_project: str | None) -> Snapshot:
        projects = self._projects(pool, default_project)
        answers = list(pool.map(lambda project: _caught(lambda: self._instances(project)), projects))
        snapshot = self._snapshot
        failures: list[GcpError] = []
        seen: set[object] = set()
        for project, (found, error) in zip(projects, answers, strict=True):
            if found is not None:
                snapshot.instances[project] = _first_seen(found, seen)
                if not found:
                    self._note_empty(project, named=projects[project])
            elif error is not None and not self._tolerated(error, named=projects[project]):
                failures.append(error)
        if failures:
            raise _joined(failures)
        for zone in sorted(set(self._scope.zones) - self._zones) if self._zones else ():
            snapshot.warnings.append(f"option 'zones': the service knows no zone '{zone}'; is it misspelt?")
        self._extras(pool, list(snapshot.instances))
        return snapshot

    def _note_empty(self, project: str, *, named: bool) -> None:
        narrowed = " of the wanted zones and filters" if self._scope.zones or self._scope.filters else ""
        message = f"project '{project}' has no instances{narrowed}"
        # Among many listed projects, empty ones are normal.
        (self._snapshot.warnings if named else self._snapshot.notes).append(message)

    def _tolerated(self, error: GcpError, *, named: bool) -> bool:
        """Apply on_error; a listed project that has no Compute Engine is not a failure."""
        if not isinstance(error, ApiError) or error.error_class == "other":
            return False
        default = "skip" if error.error_class == "api_disabled" and not named else "fail"
        policy = self._service.on_error.get(error.error_class, default)
        if policy == "warn":
            self._snapshot.warnings.append(f"left out, as on_error says: {error}")
            self._snapshot.complete = False
        elif policy == "skip":
            self._snapshot.notes.append(f"left out: {error}")
        return policy != "fail"

    # --- projects ----------------------------------------------------------------------------------------------------
    def _projects(self, pool: ThreadPoolExecutor, default: str | None) -> dict[str, bool]:
        """Return the requested projects in a stable order, each with whether the user named it."""
        scope = self._scope
        named = list(scope.projects)
        if not named and not scope.discovers:
            if default is None:
                raise GcpError(
                    "option 'projects': none given, and the credentials name none; set it, folders or organization"
                )
            named = [default]
        found = self._discovered(pool) if scope.discovers else []
        projects = {
            project: project in named
            for project in (*named, *sorted(found))
            if not _matches(project, scope.exclude_projects)
        }
        if not projects:
            raise GcpError(
                "no project is left: folders, organization, project_labels and patterns found none to keep; "
                "may these credentials see the projects (roles/browser)?"
            )
        return projects

    def _discovered(self, pool: ThreadPoolExecutor) -> list[str]:
        scope = self._scope
        roots = [*scope.folders, *([scope.organization] if scope.organization else [])]
        rows = self._tree(pool, roots) if roots else self._search()
        active = [row for row in rows if row.get("state", "ACTIVE") == "ACTIVE" and row.get("projectId")]
        labelled = [row for row in active if _labels_match(row.get("labels"), scope.project_labels)]
        if scope.project_globs and roots:
            # Patterns next to folders: the projects of the folders, and those of the patterns anywhere.
            labelled += [
                row
                for row in self._search()
                if row.get("state") == "ACTIVE" and _matches(row["projectId"], scope.project_globs)
            ]
        elif scope.project_globs:
            labelled = [row for row in labelled if _matches(row["projectId"], scope.project_globs)]
        found = sorted({str(row["projectId"]) for row in labelled})
        for pattern in scope.project_globs:
            if not _matches_any(found, pattern):
                self._no_match(pattern)
        return found

    def _no_match(self, pattern: str) -> None:
        message = f"option 'projects': no project that these credentials can see matches '{pattern}'"
        policy = self._service.on_error.get("not_found", "fail")
        if policy == "fail":
            raise GcpError(f"{message}; correct it, or set on_error")
        (self._snapshot.warnings if policy == "warn" else self._snapshot.notes).append(message)

    def _search(self) -> list[Row]:
        # Its query joins several fields by OR, so it cannot express "this label and that one": filter here instead.
        return list(
            self._pages("projects:search", {"query": "state:ACTIVE"}, "projects", "the search for projects", "get")
        )

    def _tree(self, pool: ThreadPoolExecutor, roots: list[str]) -> list[Row]:
        """Read the folders level by level, all folders of a level in parallel."""
        rows: list[Row] = []
        seen: set[str] = set()
        level = roots
        while level:
            seen.update(level)
            rows.extend(_flat(pool.map(self._children_projects, level)))
            folders = _flat(pool.map(self._children_folders, level))
            active = [str(row["name"]) for row in folders if row.get("state", "ACTIVE") == "ACTIVE" and row.get("name")]
            level = [name for name in dict.fromkeys(active) if name not in seen]
        return rows

    def _children_projects(self, parent: str) -> list[Row]:
        return list(self._pages("projects", {"parent": parent}, "projects", f"the projects of {parent}", "list"))

    def _children_folders(self, parent: str) -> list[Row]:
        return list(self._pages("folders", {"parent": parent}, "folders", f"the folders of {parent}", "list"))

    def _pages(self, path: str, params: dict[str, str], key: str, what: str, verb: str) -> Iterator[Row]:
        url = f"{self._service.resource_manager}/{path}"
        for body in self._follow(url, params, what, f"resourcemanager.{key}.{verb}"):
            yield from (row for row in body.get(key) or [] if isinstance(row, dict))

    def _follow(self, url: str, params: dict[str, str], what: str, permission: str) -> Iterator[Row]:
        """Read all pages, and stop at a page token that comes twice, which would never end."""
        params = {**params, "prettyPrint": "false"}
        tokens: set[str] = set()
        while True:
            body = self._client.get(url, params, what, permission)
            yield body
            token = body.get("nextPageToken")
            if not token:
                return
            if token in tokens:
                raise ApiError(what, "the service repeats a page", "Try again later")
            tokens.add(token)
            params["pageToken"] = token

    # --- instances ---------------------------------------------------------------------------------------------------
    def _instances(self, project: str) -> list[Row]:
        """Return the instances of a project; without a parameter that this service rejects."""
        url = f"{self._service.compute}/projects/{project}/aggregated/instances"
        what = f"project '{project}'"
        while True:
            params = self._params()
            try:
                pages = self._follow(url, params, what, _LIST_PERMISSION)
                return [row for body in pages for row in self._rows(body, project)]
            except BadParameterError as error:
                if "returnPartialSuccess" in error.cause and "returnPartialSuccess" in params:
                    self._partial_success = False
                elif "field" in error.cause and "selection" in error.cause and "fields" in params:
                    self._mask = False
                else:
                    raise

    def _params(self) -> dict[str, str]:
        params = {"maxResults": _PAGE}
        if self._partial_success:
            params["returnPartialSuccess"] = "true"
        if self._scope.filters:
            params["filter"] = joined_filters(self._scope.filters)
        if self._mask and self._wanted.fields is not None:
            names = ",".join(self._wanted.fields)
            params["fields"] = f"items/*/instances({names}),items/*/warning,nextPageToken,unreachables,warning"
        return params

    def _rows(self, body: Row, project: str) -> Iterator[Row]:
        items = body.get("items") or {}
        if not isinstance(items, dict):
            raise ApiError(f"project '{project}'", "the answer is not a list of instances", "Is api_endpoint right?")
        for place in body.get("unreachables") or ():
            self._note_unreachable(project, str(place).rpartition("/")[2])
        for scope, part in items.items():
            if not isinstance(part, dict):
                continue
            zone = scope.rpartition("/")[2]
            self._zones.add(zone)
            if (part.get("warning") or {}).get("code") in _UNREACHABLE:
                self._note_unreachable(project, zone)
            if not self._scope.zones or zone in self._scope.zones:
                yield from (row for row in part.get("instances") or () if isinstance(row, dict))

    def _note_unreachable(self, project: str, zone: str) -> None:
        if self._scope.zones and zone not in self._scope.zones:
            return
        message = f"project '{project}': zone {zone} does not answer; its instances are missing here"
        if message not in self._snapshot.warnings:
            self._snapshot.warnings.append(message)
        self._snapshot.complete = False

    # --- data that the list lacks -------------------------------------------------------------------------------------
    def _extras(self, pool: ThreadPoolExecutor, projects: list[str]) -> None:
        if self._wanted.images:
            for found in pool.map(self._images, projects):
                self._snapshot.images.update(found)
        if self._wanted.os_login:
            self._snapshot.os_login.update(zip(projects, pool.map(self._os_login, projects), strict=True))

    def _images(self, project: str) -> dict[str, str]:
        """Map each disk of a project, zonal or regional, to the image it was made from."""
        params = {"maxResults": _PAGE, "fields": "items/*/disks(selfLink,sourceImage),nextPageToken"}
        url = f"{self._service.compute}/projects/{project}/aggregated/disks"
        images = {}
        for body in self._follow(url, params, f"the disks of project '{project}'", "compute.disks.list"):
            for part in (body.get("items") or {}).values():
                for disk in part.get("disks") or []:
                    link = str(disk.get("selfLink", ""))
                    images[resource_path(link)] = str(disk.get("sourceImage") or link).rpartition("/")[2]
        return images

    def _os_login(self, project: str) -> bool:
        url = f"{self._service.compute}/projects/{project}"
        params = {"fields": "commonInstanceMetadata/items"}
        body = self._client.get(url, params, f"the metadata of project '{project}'", "compute.projects.get")
        items = (body.get("commonInstanceMetadata") or {}).get("items") or []
        return any(item.get("key") == "enable-oslogin" and is_true(item.get("value")) for item in items)


def joined_filters(filters: Sequence[str]) -> str:
    """Join filters by AND, each in brackets of its own."""
    if len(filters) == 1:
        return filters[0]
    return " ".join(item if item.startswith("(") or item.endswith(")") else f"({item})" for item in filters)


def _caught(call: Callable[[], _T]) -> tuple[_T | None, GcpError | None]:
    try:
        return call(), None
    except GcpError as error:
        return None, error


def _joined(failures: list[GcpError]) -> GcpError:
    messages = list(dict.fromkeys(str(failure) for failure in failures))
    if len(messages) == 1:
        return failures[0]
    shown = messages[:10] + ([f"and {len(messages) - 10} more"] if len(messages) > 10 else [])
    return GcpError(f"{len(messages)} failures: " + " | ".join(shown))


def _first_seen(rows: list[Row], seen: set[object]) -> list[Row]:
    """Remove duplicates: a list that changed between two pages, a project given by id and by number."""
    fresh = []
    for row in rows:
        key = row.get("selfLink") or (row.get("id"), row.get("zone"), row.get("name"))
        if key not in seen:
            seen.add(key)
            fresh.append(row)
    return fresh


def _flat(lists: Iterable[list[Row]]) -> list[Row]:
    return [row for rows in lists for row in rows]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _matches_any(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _labels_match(labels: object, wanted: Any) -> bool:
    have = labels if isinstance(labels, dict) else {}
    return all(name in have and fnmatch.fnmatchcase(str(have[name]), value) for name, value in wanted.items())
