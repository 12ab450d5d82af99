# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn raw instances into hosts: facts, names, connection, groups. Pure: nothing is sent, no inventory is touched."""

from __future__ import annotations

import fnmatch
import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import by_google_accelerator
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import GcpError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.expressions import Expression, analyse, template_roots
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.machine_types import BUNDLED
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import (
    HOST_SOURCES,
    Scope,
    Settings,
    Shape,
    is_expression,
)
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.rows import Needs, Row, Snapshot, is_true, resource_path

# The API's fields that host facts are made of; all others are requested only when an option needs them.
_BASE_FIELDS = (
    "id", "name", "zone", "status", "machineType", "labels", "tags/items", "selfLink", "guestAccelerators", "hostname",
    "scheduling(preemptible,provisioningModel)",
    "networkInterfaces(network,networkIP,ipv6Address,accessConfigs/natIP,ipv6AccessConfigs/externalIpv6)",
)  # fmt: skip
_API_FIELDS = frozenset(
    [
        "advancedMachineFeatures",
        "canIpForward",
        "confidentialInstanceConfig",
        "cpuPlatform",
        "creationTimestamp",
        "deletionProtection",
        "description",
        "disks",
        "displayDevice",
        "fingerprint",
        "guestAccelerators",
        "hostname",
        "id",
        "instanceEncryptionKey",
        "keyRevocationActionType",
        "kind",
        "labelFingerprint",
        "labels",
        "lastStartTimestamp",
        "lastStopTimestamp",
        "lastSuspendedTimestamp",
        "machineType",
        "metadata",
        "minCpuPlatform",
        "name",
        "networkInterfaces",
        "networkPerformanceConfig",
        "params",
        "privateIpv6GoogleAccess",
        "reservationAffinity",
        "resourcePolicies",
        "resourceStatus",
        "satisfiesPzi",
        "satisfiesPzs",
        "scheduling",
        "selfLink",
        "serviceAccounts",
        "shieldedInstanceConfig",
        "shieldedInstanceIntegrityPolicy",
        "sourceMachineImage",
        "startRestricted",
        "status",
        "statusMessage",
        "tags",
        "zone",
    ]
)
# Facts that expressions may use and that become variables through compose only, each with the field it is made of.
_ON_DEMAND_FIELDS = {
    "gcp_created": "creationTimestamp",
    "gcp_service_account": "serviceAccounts",
    "gcp_subnetwork": "networkInterfaces",
}
_ON_DEMAND = frozenset(_ON_DEMAND_FIELDS)
_SAFE_WORD = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass
class Host:
    """One host before it is in the inventory: the input of expressions, its variables, and its groups."""

    name: str
    facts: Row
    variables: Row
    groups: tuple[str, ...]


_Named = tuple[str, Row, Row, "Row | None"]
Evaluate = Callable[[str, "Expression | None", Row], Any]


def needs(settings: Settings, expressions: Iterable[str]) -> Needs:
    """Return the fields of an instance that options and expressions read; all fields when that is unknown."""
    shape = settings.shape
    os_login = shape.os_login_user is not None
    if shape.hostvars == "compute" or shape.raw:
        return Needs(None, shape.image, os_login)
    roots: set[str] = set()
    for source in (
        *expressions,
        *settings.scope.include,
        *settings.scope.exclude,
        *filter(is_expression, shape.hostnames),
    ):
        known = template_roots(source) if "{{" in source or "{%" in source else _roots(source)
        if known is None:
            return Needs(None, shape.image, os_login)
        roots |= known
    fields = {name.split("(", maxsplit=1)[0].split("/", maxsplit=1)[0]: name for name in _BASE_FIELDS}
    wanted = roots | {_ON_DEMAND_FIELDS[root] for root in roots & _ON_DEMAND}
    fields.update({root: root for root in wanted & _API_FIELDS})
    if (
        shape.metadata
        or os_login
        or "instance_group" in shape.group_by
        or roots & {"gcp_metadata", "gcp_instance_group"}
    ):
        fields["metadata"] = "metadata/items"
    if shape.image:
        fields.setdefault("disks", "disks(boot,source)")
    return Needs(tuple(sorted(fields.values())), shape.image, os_login)


def _roots(source: str) -> frozenset[str] | None:
    known = analyse(source)
    return None if known is None else known.roots


def hosts(snapshot: Snapshot, settings: Settings, evaluate: Evaluate) -> tuple[Iterator[Host], list[str]]:
    """Return every requested host in a stable order, and the warnings, complete after the last host.

    All that can fail has happened when this returns; hosts are made one by one, so that none waits in memory.
    """
    builder = _Builder(snapshot, settings, evaluate)
    return builder.make(builder.choose()), builder.warnings


class _Builder:
    def __init__(self, snapshot: Snapshot, settings: Settings, evaluate: Evaluate) -> None:
        self._snapshot = snapshot
        self._scope = settings.scope
        self._shape = settings.shape
        self._evaluate = evaluate
        self._conditions = [(source, analyse(source), True) for source in settings.scope.include]
        self._conditions += [(source, analyse(source), False) for source in settings.scope.exclude]
        self._sources = [
            (source, analyse(source) if is_expression(source) and "{" not in source else None)
            for source in settings.shape.hostnames
        ]
        self._hidden = _ON_DEMAND if settings.shape.metadata else _ON_DEMAND | {"gcp_metadata"}
        skip = 0 if settings.shape.hostvars == "compute" else len("gcp_")
        # One string per name, not one per host and name.
        self._variable_names = functools.cache(lambda key: settings.shape.vars_prefix + key[skip:])
        self.warnings: list[str] = list(snapshot.warnings)

    def choose(self) -> list[_Named]:
        """Select instances, shape their facts and name the hosts."""
        named: list[_Named] = []
        nameless: list[str] = []
        for project, rows in self._snapshot.instances.items():
            for row in sorted(rows, key=lambda item: (_last(item.get("zone")), str(item.get("name")))):
                if not row.get("name") or not row.get("zone"):
                    nameless.append(f"id {row.get('id', 'unknown')} in {project}")
                    continue
                if not self._wanted_by_scope(row):
                    continue
                raw = _copy(row) if self._shape.raw else None
                flat = self._flat(row, project)
                facts = self._facts(row, project)
                # compose, groups and keyed_groups have both spellings; gcp_* never equals the name of an API field.
                facts.update(flat)
                if not self._wanted_by_conditions(facts):
                    continue
                name = self._name(facts)
                if name is None:
                    nameless.append(f"{flat['gcp_name']} in {flat['gcp_zone']}")
                    continue
                named.append((name, facts, flat, raw))
        if nameless:
            self.warnings.append(
                f"{_few(nameless)}: no name for it from option 'hostnames'; left out (add 'name' as the last entry)"
            )
        if not named and any(self._snapshot.instances.values()):
            self.warnings.append(
                "no instance is left: statuses, regions, labels, tags, gpu_only, include and exclude drop all of them"
            )
        self._snapshot.instances.clear()
        return list(self._apart(named))

    def make(self, named: list[_Named]) -> Iterator[Host]:
        """Build hosts and release each row afterwards."""
        without = []
        named.reverse()
        while named:
            host = self._host(*named.pop())
            if "ansible_host" not in host.variables:
                without.append(host.name)
            yield host
        if without and self._shape.connect_with is not None:
            self.warnings.append(
                f"{_few(without)}: no address for connect_with: {self._shape.connect_with}; ansible_host is not set"
            )

    # --- selection -------------------------------------------------------------------------------------------------
    def _wanted_by_scope(self, row: Row) -> bool:
        scope: Scope = self._scope
        zone = _last(row.get("zone"))
        if scope.zones and zone not in scope.zones:
            return False
        if scope.regions and zone.rpartition("-")[0] not in scope.regions:
            return False
        if scope.statuses and row.get("status") not in scope.statuses:
            return False
        if scope.labels and not _labels_match(row.get("labels") or {}, scope.labels):
            return False
        if scope.tags and not set(scope.tags) <= set((row.get("tags") or {}).get("items") or ()):
            return False
        return not scope.gpu_only or gpu_of(row)[1] > 0

    def _wanted_by_conditions(self, facts: Row) -> bool:
        return all(bool(self._evaluate(source, known, facts)) is keep for source, known, keep in self._conditions)

    # --- facts -------------------------------------------------------------------------------------------------------
    def _facts(self, row: Row, project: str) -> Row:
        """Change a row in place to the form of gcp_compute: short zone and type, metadata as a dictionary."""
        row["zone_selflink"] = row["zone"]
        row["zone"] = _last(row["zone"])
        if "machineType" in row:
            row["machineType_selflink"] = row["machineType"]
            row["machineType"] = _last(row["machineType"])
        for interface in row.get("networkInterfaces") or ():
            for kind in ("network", "subnetwork"):
                if isinstance(interface.get(kind), str):
                    interface[kind] = _network(interface[kind])
        if "metadata" in row:
            row["metadata"] = _metadata(row)
        row["project"] = project_of(row, project)
        row["image"] = self._image(row)
        return row

    def _image(self, row: Row) -> str | None:
        image = None
        for disk in row.get("disks") or ():
            if disk.get("boot"):
                image = self._snapshot.images.get(resource_path(str(disk.get("source", ""))))
        return image

    def _flat(self, row: Row, project: str) -> Row:
        zone = _last(row["zone"])
        machine_type = _last(row.get("machineType"))
        scheduling = row.get("scheduling") or {}
        spot = bool(scheduling.get("preemptible")) or scheduling.get("provisioningModel") == "SPOT"
        addresses = addresses_of(row)
        interface = (row.get("networkInterfaces") or [{}])[0]
        accelerator, count, memory = gpu_of(row)
        model = by_google_accelerator(accelerator) if accelerator else None
        flat = {
            "gcp_created": row.get("creationTimestamp"),
            "gcp_external_ip": addresses["external_ip"],
            "gcp_external_ipv6": addresses["external_ipv6"],
            "gcp_gpu_count": count,
            "gcp_gpu_memory_gb": memory,
            "gcp_gpu_mig_capable": bool(model and model.mig_capable and memory == model.memory_gb),
            "gcp_gpu_min_driver": model.min_driver if model else None,
            "gcp_gpu_type": accelerator,
            "gcp_id": row.get("id"),
            "gcp_internal_ip": addresses["internal_ip"],
            "gcp_internal_ipv6": addresses["internal_ipv6"],
            "gcp_labels": row.get("labels") or {},
            "gcp_machine_family": machine_type.split("-")[0] if machine_type else None,
            "gcp_machine_type": machine_type or None,
            "gcp_name": row["name"],
            "gcp_network": _last(interface.get("network")) or None,
            "gcp_project": project_of(row, project),
            "gcp_region": zone.rpartition("-")[0],
            "gcp_service_account": next((account.get("email") for account in row.get("serviceAccounts") or ()), None),
            "gcp_spot": spot,
            "gcp_status": row.get("status"),
            "gcp_subnetwork": _last(interface.get("subnetwork")) or None,
            "gcp_tags": (row.get("tags") or {}).get("items") or [],
            "gcp_zone": zone,
        }
        if "metadata" in row:
            flat["gcp_instance_group"] = instance_group_of(row)
            flat["gcp_metadata"] = _metadata(row)
        if self._shape.os_login_user:
            flat["gcp_os_login"] = self._os_login(row, project)
        if self._shape.image:
            flat["gcp_image"] = self._image(row)
        return flat

    def _os_login(self, row: Row, project: str) -> bool:
        own = _metadata(row).get("enable-oslogin")
        return self._snapshot.os_login.get(project, False) if own is None else is_true(own)

    # --- names -------------------------------------------------------------------------------------------------------
    def _name(self, facts: Row) -> str | None:
        for source, known in self._sources:
            name = self._one_name(source, known, facts)
            if name:
                return name
        return None

    def _one_name(self, source: str, known: Expression | None, facts: Row) -> str | None:
        suffix = self._shape.name_suffix
        if source == "name":
            return str(facts["gcp_name"]) + suffix
        if source == "hostname":
            return str(facts.get("hostname") or facts["gcp_name"] + suffix)
        if source in HOST_SOURCES:
            name = _SOURCES[source](facts)
        elif source.startswith("labels.") and not is_expression(source):
            name = facts["gcp_labels"].get(source.removeprefix("labels."))
        else:
            name = self._evaluate(source, known, facts)
            if name is not None and not isinstance(name, str):
                raise GcpError(
                    f"option 'hostnames': '{source}' gives a {type(name).__name__}, no string, for {facts['gcp_name']}"
                )
        return str(name) if name else None

    def _apart(self, named: list[_Named]) -> Iterator[_Named]:
        """Rename all instances that would share a name, so that the result does not depend on their order."""
        counts = Counter(name for name, *_rest in named)
        shared = [name for name, count in counts.items() if count > 1]
        if not shared:
            return iter(named)
        policy = self._shape.on_duplicate
        if policy == "fail":
            raise GcpError(
                f"option 'on_duplicate': {_few(shared)}: several instances have this name; let 'hostnames' differ"
            )
        if policy == "first":
            self.warnings.append(
                f"{_few(shared)}: several instances have this name; only the first is kept (option on_duplicate)"
            )
            return iter({item[0]: item for item in reversed(named)}[name] for name in counts)
        self.warnings.append(
            f"{_few(shared)}: several instances have this name; each is called NAME_ZONE_PROJECT (option on_duplicate)"
        )
        return (
            (f"{name}_{flat['gcp_zone']}_{flat['gcp_project']}" if counts[name] > 1 else name, facts, flat, raw)
            for name, facts, flat, raw in named
        )

    # --- hosts -------------------------------------------------------------------------------------------------------
    def _host(self, name: str, facts: Row, flat: Row, raw: Row | None) -> Host:
        shape: Shape = self._shape
        prefix = shape.vars_prefix
        names = self._variable_names
        if shape.hostvars == "compute":
            variables = {names(key): value for key, value in facts.items() if not key.startswith("gcp_")}
        else:
            hidden = self._hidden
            variables = {names(key): value for key, value in flat.items() if value is not None and key not in hidden}
        if raw is not None:
            variables[("gcp_" if shape.hostvars == "compute" else prefix) + "raw"] = raw
        variables.update(self._connection(name, flat))
        return Host(name, facts, variables, tuple(_groups(flat, shape)))

    def _connection(self, name: str, flat: Row) -> Row:
        connection = self._connect(flat)
        if self._shape.os_login_user and flat.get("gcp_os_login"):
            connection["ansible_user"] = self._shape.os_login_user
        # A host that was named by its address and then renamed would lose its address.
        if "ansible_host" not in connection:
            address = name.split("_")[0]
            if name != address and address in (flat["gcp_external_ip"], flat["gcp_internal_ip"]):
                connection["ansible_host"] = address
        return connection

    def _connect(self, flat: Row) -> Row:
        how = self._shape.connect_with
        if how is None:
            return {}
        if how == "iap":
            return _tunnel(flat)
        orders = {"auto": ("external_ip", "internal_ip", "external_ipv6", "internal_ipv6")}
        for source in orders.get(how, (how,)):
            if address := _SOURCES[source](flat):
                return {"ansible_host": address}
        return {}


def _tunnel(flat: Row) -> Row:
    """Connect through Identity-Aware Proxy; the values become part of a shell command, so only safe ones pass."""
    name, zone, project = (str(flat[key]) for key in ("gcp_name", "gcp_zone", "gcp_project"))
    if not all(_SAFE_WORD.fullmatch(word) for word in (name, zone, project, str(flat["gcp_id"]))):
        return {}
    command = f"gcloud compute start-iap-tunnel {name} %p --listen-on-stdin --project={project} --zone={zone}"
    options = (f'ProxyCommand="{command} --verbosity=warning"', f"HostKeyAlias=compute.{flat['gcp_id']}")
    return {"ansible_host": name, "ansible_ssh_common_args": " ".join(f"-o {option}" for option in options)}


def _dns_name(flat: Row) -> str:
    # The project of a domain, example.com:proj, is proj.example.com in its names.
    domain, _colon, project = str(flat["gcp_project"]).rpartition(":")
    suffix = f"{project}.{domain}" if domain else project
    return f"{flat['gcp_name']}.{flat['gcp_zone']}.c.{suffix}.internal"


_SOURCES: dict[str, Callable[[Row], Any]] = {
    "public_ip": lambda flat: flat["gcp_external_ip"],
    "external_ip": lambda flat: flat["gcp_external_ip"],
    "private_ip": lambda flat: flat["gcp_internal_ip"],
    "internal_ip": lambda flat: flat["gcp_internal_ip"],
    "external_ipv6": lambda flat: flat["gcp_external_ipv6"],
    "internal_ipv6": lambda flat: flat["gcp_internal_ipv6"],
    "id": lambda flat: flat["gcp_id"],
    "dns": _dns_name,
}


def _groups(flat: Row, shape: Shape) -> Iterator[str]:
    for name in shape.group_by:
        if name == "gpu":
            if flat["gcp_gpu_count"]:
                yield "gpu"
                yield "gpu_" + str(flat["gcp_gpu_type"]).removeprefix("nvidia-")
        elif name == "spot":
            if flat["gcp_spot"]:
                yield "spot"
        elif value := flat.get(f"gcp_{name}"):
            yield f"{name}_{value.lower() if name == 'status' else value}"


def gpu_of(row: Row) -> tuple[str | None, int, int | None]:
    """Return accelerator, number of cards and memory per card in GB: from the instance, else from its machine type."""
    accelerator: str | None = None
    count = 0
    for entry in row.get("guestAccelerators") or ():
        kind = _last(entry.get("acceleratorType"))
        # TPUs are accelerators too.
        if kind.startswith("nvidia-"):
            accelerator = accelerator or kind
            count += int(entry.get("acceleratorCount") or 0)
    bundled = BUNDLED.get(_last(row.get("machineType")))
    if not count and bundled:
        accelerator, count = bundled.accelerator, bundled.count
    if not accelerator or not count:
        return None, 0, None
    model = by_google_accelerator(accelerator)
    whole = model.memory_gb if model else None
    return accelerator, count, (bundled.slice_gb if bundled and bundled.slice_gb else whole)


def addresses_of(row: Row) -> dict[str, str | None]:
    """Return the first address of each kind over all interfaces; an instance may have none of them."""
    found: dict[str, str | None] = dict.fromkeys(("external_ip", "internal_ip", "external_ipv6", "internal_ipv6"))
    for interface in row.get("networkInterfaces") or ():
        found["internal_ip"] = found["internal_ip"] or interface.get("networkIP")
        found["internal_ipv6"] = found["internal_ipv6"] or interface.get("ipv6Address")
        for access in interface.get("accessConfigs") or ():
            found["external_ip"] = found["external_ip"] or access.get("natIP")
        for access in interface.get("ipv6AccessConfigs") or ():
            found["external_ipv6"] = found["external_ipv6"] or access.get("externalIpv6")
    return found


def instance_group_of(row: Row) -> str | None:
    """Return the managed instance group that made an instance, which the group writes into the metadata."""
    owner = str(_metadata(row).get("created-by") or "")
    return owner.rpartition("/")[2] if "/instanceGroupManagers/" in owner else None


def project_of(row: Row, requested: str) -> str:
    """Return the project's id from the instance's own URL, since a project may be requested by number."""
    parts = resource_path(str(row.get("selfLink", ""))).split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "projects" else requested


def _metadata(row: Row) -> dict[str, str]:
    items = (row.get("metadata") or {}).get("items") or ()
    return {item["key"]: item.get("value") for item in items if "key" in item}


def _network(link: str) -> dict[str, str]:
    parts = link.split("/")
    region = "global" if "global" in parts else next((b for a, b in itertools.pairwise(parts) if a == "regions"), "")
    return {"region": region, "name": parts[-1], "selfLink": link}


def _last(link: object) -> str:
    """Return the last part of a resource's URL."""
    return str(link or "").rpartition("/")[2]


def _labels_match(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(name in labels and fnmatch.fnmatchcase(str(labels[name]), value) for name, value in wanted.items())


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _few(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
