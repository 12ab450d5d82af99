# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the Google Cloud inventory as one checked, typed value."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import POLICY_CLASSES, OptionError

AUTH_KINDS = ("application", "serviceaccount", "machineaccount", "accesstoken")
CONNECT_WITH = ("auto", "external_ip", "internal_ip", "external_ipv6", "internal_ipv6", "dns", "iap")
HOST_SOURCES = (
    "name",
    "hostname",
    "public_ip",
    "private_ip",
    "external_ip",
    "internal_ip",
    "external_ipv6",
    "internal_ipv6",
    "dns",
    "id",
)
GROUP_BY = ("project", "region", "zone", "status", "machine_type", "machine_family", "gpu", "spot", "instance_group")
DEFAULT_GROUP_BY = ("gpu", "spot")
STATUSES = (
    "PENDING",
    "PENDING_STOP",
    "PROVISIONING",
    "STAGING",
    "RUNNING",
    "STOPPING",
    "STOPPED",
    "SUSPENDING",
    "SUSPENDED",
    "REPAIRING",
    "DEPROVISIONING",
    "TERMINATED",
)
DUPLICATES = ("qualify", "first", "fail")
ON_ERROR = ("fail", "warn", "skip")

_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z0-9-]{1,63}")
_PROJECT_GLOB = re.compile(r"[a-z0-9.:*?\[\]!-]+")
_NUMBER = re.compile(r"[0-9]+")
_ZONE = re.compile(r"[a-z0-9-]+")
_EMAIL = re.compile(r"[^@\s/]+@[^@\s/]+\.[^@\s/]+")
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_LABEL_KEY = re.compile(r"[^\W\d_][\w-]{0,62}")
_YES_NO = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0", "y", "n", "t", "f"})
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Auth:
    """How to sign in; secrets are kept out of repr()."""

    kind: str
    scopes: tuple[str, ...] = ()
    service_account_file: str | None = None
    service_account_contents: str | None = field(default=None, repr=False)
    service_account_email: str | None = None
    access_token: str | None = field(default=None, repr=False)
    impersonate: str | None = None
    delegates: tuple[str, ...] = ()
    quota_project: str | None = None
    universe_domain: str = "googleapis.com"
    iam_endpoint: str | None = None


@dataclass(frozen=True)
class Scope:
    """Which instances are requested. Everything but projects, zones and filters is selected here, on one snapshot."""

    projects: tuple[str, ...] = ()
    project_globs: tuple[str, ...] = ()
    exclude_projects: tuple[str, ...] = ()
    project_labels: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    organization: str | None = None
    zones: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    statuses: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    gpu_only: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def discovers(self) -> bool:
        """Return whether Resource Manager must list projects."""
        return bool(self.project_globs or self.project_labels or self.folders or self.organization)


@dataclass(frozen=True)
class Service:
    """Addresses, time limits and retries of the service."""

    compute: str
    resource_manager: str
    timeout: float
    retries: int
    retry_budget: float
    workers: int
    on_error: Mapping[str, str]


@dataclass(frozen=True)
class Shape:
    """Names, variables and groups of a host in the inventory."""

    hostnames: tuple[str, ...]
    name_suffix: str
    on_duplicate: str
    connect_with: str | None
    os_login_user: str | None
    hostvars: str
    vars_prefix: str
    raw: bool
    metadata: bool
    image: bool
    group_by: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """All options of the plugin, checked."""

    auth: Auth
    scope: Scope
    service: Service
    shape: Shape


def reject_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Reject unknown keys, and name the nearest option."""
    names = sorted(known)
    for key in given:
        if key in names:
            continue
        near = difflib.get_close_matches(str(key), names, 1, 0.6)
        way_out = (
            f"did you mean '{near[0]}'?" if near else "run 'ansible-doc -t inventory gpulab.core.gcp' for the list"
        )
        raise OptionError(str(key), f"there is no such option; {way_out}")


def settings_from(values: Mapping[str, Any], written: Mapping[str, Any] | None = None) -> Settings:
    """Check the option values (as Ansible passes them, and as they are in the file) and return them typed."""
    read = _Reader(values, written or {})
    for name in (
        "strict",
        "cache",
        "use_extra_vars",
        "leading_separator",
        "use_contrib_script_compatible_sanitization",
    ):
        read.flag(name)
    _check_keyed_groups(read.raw("keyed_groups"))
    scope = _scope(read)
    auth = _auth(read)
    return Settings(auth, scope, _service(read, auth.universe_domain), _shape(read))


class _Reader:
    """Reads single options and rejects wrong types by name."""

    def __init__(self, values: Mapping[str, Any], written: Mapping[str, Any]) -> None:
        self._values = values
        self._written = written

    def raw(self, name: str) -> Any:
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None or value == "":
            return None
        # Ansible turns everything into a string; the value in the file shows a mistake.
        for seen in (self._written.get(name), value):
            if isinstance(seen, (bool, list, dict)):
                raise OptionError(name, f"expected a string, got {_kind(seen)}")
        return str(value)

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            raise OptionError(name, f"'{value}' is not one of {', '.join(choices)}")
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        # Ansible takes anything that is not a yes for a no; the value in the file shows a mistake.
        seen = self._written.get(name, value)
        if seen is not None and str(seen).lower() not in _YES_NO:
            raise OptionError(name, f"expected true or false, got {_kind(seen)}")
        return bool(value)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise OptionError(name, f"expected a number, got {_kind(value)}")
        if not low <= value <= high:
            raise OptionError(name, f"{value} is out of range; allowed is {low:g} to {high:g}")
        return value

    def texts(self, name: str, pattern: re.Pattern[str] | None = None, form: str = "") -> tuple[str, ...]:
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)):
            raise OptionError(name, f"expected a list of strings, got {_kind(value)}")
        result = []
        for item in value:
            if isinstance(item, bool) or not isinstance(item, (str, int)):
                raise OptionError(name, f"expected a list of strings, found {_kind(item)} in it")
            # Left as it is where it can be: Ansible marks the strings of a file as trusted templates.
            text = item if isinstance(item, str) else str(item)
            if not text.strip():
                raise OptionError(name, "an entry is empty")
            if pattern is not None and not pattern.fullmatch(text):
                raise OptionError(name, f"'{text}' is not {form}")
            result.append(text)
        return tuple(dict.fromkeys(result))

    def pairs(self, name: str) -> dict[str, str]:
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise OptionError(name, f"expected a dictionary of label: value, got {_kind(value)}")
        result = {}
        for key, wanted in value.items():
            if not isinstance(key, str) or not _is_label_key(key):
                raise OptionError(name, f"'{key}' is not a label name")
            if isinstance(wanted, bool) or not isinstance(wanted, (str, int)):
                raise OptionError(name, f"the value of '{key}' must be a string (quote it), got {_kind(wanted)}")
            result[key] = str(wanted)
        return result


def _is_label_key(text: str) -> bool:
    """Return whether a text can be the name of a label: letters of any script without capitals, digits, _ and -."""
    return text == text.lower() and bool(_LABEL_KEY.fullmatch(text))


def _is_label_source(text: str) -> bool:
    return text.startswith("labels.") and _is_label_key(text.removeprefix("labels."))


def _kind(value: object) -> str:
    names = {
        dict: "a dictionary",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
    }
    for known, name in names.items():
        if isinstance(value, known):
            return name
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def _auth(read: _Reader) -> Auth:
    email = read.text("service_account_email")
    file = read.text("service_account_file")
    contents = read.text("service_account_contents")
    token = read.text("access_token")
    kind = read.choice("auth_kind", AUTH_KINDS)
    belongs = {
        "service_account_file": (file, "serviceaccount"),
        "service_account_contents": (contents, "serviceaccount"),
        "service_account_email": (email, "machineaccount"),
        "access_token": (token, "accesstoken"),
    }
    given = {name: wanted for name, (value, wanted) in belongs.items() if value}
    if kind is None:
        kinds = sorted(set(given.values()))
        if len(kinds) > 1:
            raise OptionError(
                "auth_kind", f"{', '.join(given)} are set together; keep one of them, or say which with auth_kind"
            )
        kind = kinds[0] if kinds else "application"
    for name, wanted in given.items():
        if wanted != kind:
            raise OptionError(name, f"works with auth_kind: {wanted} only, but auth_kind is {kind}; remove one of them")
    if kind == "serviceaccount":
        if file and contents:
            raise OptionError("service_account_contents", "service_account_file is set too; keep one of them")
        if not file and not contents:
            raise OptionError("auth_kind", "serviceaccount needs service_account_file or service_account_contents")
    if kind == "accesstoken" and not token:
        raise OptionError(
            "access_token", "auth_kind: accesstoken needs it; 'gcloud auth print-access-token' prints one"
        )
    impersonate = read.text("impersonate_service_account")
    if impersonate and not _EMAIL.fullmatch(impersonate):
        raise OptionError("impersonate_service_account", f"'{impersonate}' is not a service account's e-mail address")
    delegates = read.texts("impersonate_delegates", _EMAIL, "a service account's e-mail address")
    if delegates and not impersonate:
        raise OptionError("impersonate_delegates", "has no effect without impersonate_service_account")
    universe = read.text("universe_domain") or "googleapis.com"
    if not _DOMAIN.fullmatch(universe):
        raise OptionError("universe_domain", f"'{universe}' is not a domain name")
    quota_project = read.text("quota_project")
    if quota_project and not _PROJECT.fullmatch(quota_project):
        raise OptionError("quota_project", f"'{quota_project}' is not a project id")
    return Auth(
        kind,
        read.texts("scopes"),
        file,
        contents,
        email,
        token,
        impersonate,
        delegates,
        quota_project,
        universe,
        _endpoint(read, "iam_credentials_endpoint"),
    )


def _scope(read: _Reader) -> Scope:
    wanted = read.texts("projects")
    globs = tuple(item for item in wanted if any(sign in item for sign in "*?["))
    for item in wanted:
        pattern = _PROJECT_GLOB if item in globs else _PROJECT
        if not pattern.fullmatch(item):
            raise OptionError("projects", f"'{item}' is not a project id (lower case letters, digits, hyphens)")
    statuses = read.texts("statuses")
    for status in statuses:
        if status.upper() not in STATUSES:
            raise OptionError("statuses", f"'{status}' is not a status; there are {', '.join(STATUSES)}")
    folders = read.texts("folders")
    organization = read.raw("organization")
    if organization is not None and (isinstance(organization, bool) or not isinstance(organization, (str, int))):
        raise OptionError("organization", f"expected the number of an organisation, got {_kind(organization)}")
    return Scope(
        projects=tuple(item for item in wanted if item not in globs),
        project_globs=globs,
        exclude_projects=read.texts("exclude_projects", _PROJECT_GLOB, "a project id or pattern"),
        project_labels=read.pairs("project_labels"),
        folders=tuple(_resource("folders", item) for item in folders),
        organization=_resource("organization", str(organization)) if organization not in (None, "") else None,
        zones=read.texts("zones", _ZONE, "a zone such as us-central1-a"),
        regions=read.texts("regions", _ZONE, "a region such as us-central1"),
        filters=read.texts("filters"),
        statuses=frozenset(status.upper() for status in statuses),
        labels=read.pairs("labels"),
        tags=read.texts("tags"),
        gpu_only=read.flag("gpu_only"),
        include=read.texts("include"),
        exclude=read.texts("exclude"),
    )


def _resource(option: str, value: str) -> str:
    plural = {"folders": "folders", "organization": "organizations"}[option]
    number = value.removeprefix(f"{plural}/")
    if not _NUMBER.fullmatch(number):
        raise OptionError(option, f"'{value}' is not a number; 'gcloud resource-manager {plural} list' shows it")
    return f"{plural}/{number}"


def _service(read: _Reader, universe: str) -> Service:
    return Service(
        compute=_endpoint(read, "api_endpoint") or f"https://compute.{universe}/compute/v1",
        resource_manager=_endpoint(read, "resource_manager_endpoint") or f"https://cloudresourcemanager.{universe}/v3",
        timeout=read.number("timeout", 30, 1, 3600),
        retries=int(read.number("retries", 8, 0, 100)),
        retry_budget=read.number("retry_budget", 120, 0, 3600),
        workers=int(read.number("workers", 16, 1, 64)),
        on_error=_on_error(read.raw("on_error")),
    )


def _endpoint(read: _Reader, name: str) -> str | None:
    value = read.text(name)
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise OptionError(name, f"'{value}' is not a base URL such as https://compute.example.com/compute/v1")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise OptionError(
            name, "plain http would show the token to the network; use https (http works for this machine only)"
        )
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _on_error(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        value = dict.fromkeys(POLICY_CLASSES, value)
    if not isinstance(value, Mapping):
        raise OptionError("on_error", f"expected one of {', '.join(ON_ERROR)}, or a dictionary, got {_kind(value)}")
    for name, policy in value.items():
        if name not in POLICY_CLASSES:
            raise OptionError("on_error", f"'{name}' is not one of {', '.join(POLICY_CLASSES)}")
        if policy not in ON_ERROR:
            raise OptionError("on_error", f"'{policy}' is not one of {', '.join(ON_ERROR)}")
    return {str(name): str(policy) for name, policy in value.items()}


def _check_keyed_groups(value: object) -> None:
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, Mapping) or "key" not in item:
            raise OptionError("keyed_groups", f"each entry is a dictionary with a 'key', found {_kind(item)}")


def _shape(read: _Reader) -> Shape:
    hostvars = read.choice("hostvars", ("flat", "compute")) or "flat"
    hostnames = read.texts("hostnames") or ("public_ip", "private_ip", "name")
    for source in hostnames:
        _check_host_source(source)
    prefix = read.text("vars_prefix") or ""
    if prefix and not _IDENTIFIER.fullmatch(prefix):
        raise OptionError("vars_prefix", f"'{prefix}' cannot begin a variable name")
    group_by = read.raw("group_by")
    if group_by is None:
        groups: tuple[str, ...] = DEFAULT_GROUP_BY if hostvars == "flat" else ()
    else:
        groups = read.texts("group_by")
        for name in groups:
            if name not in GROUP_BY:
                raise OptionError("group_by", f"'{name}' is not one of {', '.join(GROUP_BY)}")
    return Shape(
        hostnames=hostnames,
        name_suffix=read.text("name_suffix") or "",
        on_duplicate=read.choice("on_duplicate", DUPLICATES) or "qualify",
        connect_with=read.choice("connect_with", CONNECT_WITH),
        os_login_user=read.text("os_login_user"),
        hostvars=hostvars,
        vars_prefix=prefix or ("gcp_" if hostvars == "flat" else ""),
        raw=read.flag("raw"),
        metadata=read.flag("metadata"),
        image=read.flag("retrieve_image_info"),
        group_by=groups,
    )


def is_expression(source: str) -> bool:
    """Return whether a text is a Jinja expression or template, and not the name of a host name source."""
    if source in HOST_SOURCES or _is_label_source(source):
        return False
    return source.startswith("gcp_") or not _IDENTIFIER.fullmatch(source)


def _check_host_source(source: str) -> None:
    if source in HOST_SOURCES or _is_label_source(source) or is_expression(source):
        return
    known = ", ".join((*HOST_SOURCES, "labels.KEY"))
    raise OptionError("hostnames", f"'{source}' is no source of host names; there are {known}, and Jinja expressions")
