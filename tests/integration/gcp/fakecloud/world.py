# SPDX-License-Identifier: GPL-3.0-or-later
"""Content of the cloud: projects, folders and instances, the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

API = "https://www.googleapis.com/compute/v1"
ZONES = tuple(
    f"{region}-{letter}"
    for region in ("us-central1", "us-east1", "us-east4", "us-west1", "europe-west1", "europe-west4", "asia-east1")
    for letter in ("a", "b", "c")
)[:20]
# machine type, accelerator attached by hand, count
SHAPES = (
    ("e2-standard-4", None, 0),
    ("n2-standard-8", None, 0),
    ("n1-standard-8", "nvidia-tesla-t4", 1),
    ("g2-standard-24", None, 0),
    ("a2-highgpu-2g", "nvidia-tesla-a100", 2),
    ("a3-highgpu-8g", None, 0),
)
STATUSES = ("RUNNING",) * 8 + ("TERMINATED", "STOPPING")


@dataclass
class Project:
    """A project and its content."""

    project_id: str
    number: str
    parent: str = "organizations/1"
    state: str = "ACTIVE"
    labels: dict[str, str] = field(default_factory=dict)
    instances: list[dict[str, Any]] = field(default_factory=list)
    disks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class World:
    """All projects and folders; zones that answer, and those that do not."""

    projects: dict[str, Project] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    zones: tuple[str, ...] = ZONES
    unreachable: set[str] = field(default_factory=set)

    def add(self, project: Project) -> Project:
        """Add a project."""
        self.projects[project.project_id] = project
        return project


def make_world(instances: int = 40, projects: int = 2, seed: int = 1) -> World:
    """Return a healthy world with so many instances spread over projects and zones."""
    rng = random.Random(seed)  # noqa: S311
    world = World(folders={"folders/10": "organizations/1", "folders/11": "folders/10"})
    for index in range(projects):
        world.add(
            Project(
                f"lab-{index:02d}",
                str(1000 + index),
                parent=("folders/10", "folders/11", "organizations/1")[index % 3],
                labels={"team": ("vision", "speech")[index % 2]},
            )
        )
    names = list(world.projects)
    for number in range(instances):
        project = world.projects[names[number * projects // instances]]
        add_instance(project, f"vm-{number:05d}", rng.choice(world.zones), rng)
    return world


def add_instance(
    project: Project, name: str, zone: str, rng: random.Random | None = None, **changes: Any
) -> dict[str, Any]:
    """Add one instance with its boot disk; `changes` replace top-level fields, None removes one."""
    rng = rng or random.Random(project.project_id + zone + name)  # noqa: S311
    machine_type, accelerator, cards = rng.choice(SHAPES)
    region = zone.rpartition("-")[0]
    base = f"{API}/projects/{project.project_id}"
    instance_id = str(rng.randrange(10**18, 10**19))
    disk = f"{base}/zones/{zone}/disks/{name}"
    number = len(project.instances)
    row: dict[str, Any] = {
        "kind": "compute#instance",
        "id": instance_id,
        "creationTimestamp": f"2026-0{rng.randrange(1, 9)}-11T08:00:00.000-07:00",
        "name": name,
        "description": "",
        "tags": {"items": ["http-server", "gpu"][: rng.randrange(0, 3)], "fingerprint": "42WmSpB8rSM="},
        "machineType": f"{base}/zones/{zone}/machineTypes/{machine_type}",
        "status": rng.choice(STATUSES),
        "zone": f"{base}/zones/{zone}",
        "canIpForward": False,
        "networkInterfaces": [
            {
                "kind": "compute#networkInterface",
                "network": f"{base}/global/networks/default",
                "subnetwork": f"{base}/regions/{region}/subnetworks/default",
                "networkIP": f"10.{int(project.number) % 200}.{number // 250}.{number % 250 + 2}",
                "name": "nic0",
                "fingerprint": "Y5oWmAuoGSU=",
                "stackType": "IPV4_ONLY",
                "accessConfigs": [
                    {
                        "kind": "compute#accessConfig",
                        "type": "ONE_TO_ONE_NAT",
                        "name": "External NAT",
                        "natIP": f"34.{int(project.number) % 200}.{number // 250}.{number % 250 + 2}",
                        "networkTier": "PREMIUM",
                    }
                ],
            }
        ],
        "disks": [
            {
                "kind": "compute#attachedDisk",
                "type": "PERSISTENT",
                "mode": "READ_WRITE",
                "source": disk,
                "deviceName": name,
                "index": 0,
                "boot": True,
                "autoDelete": True,
                "licenses": [
                    "https://www.googleapis.com/compute/v1/projects/debian-cloud/global/licenses/debian-12-bookworm"
                ],
                "interface": "SCSI",
                "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}, {"type": "VIRTIO_SCSI_MULTIQUEUE"}],
                "diskSizeGb": "50",
                "architecture": "X86_64",
            }
        ],
        "metadata": {
            "kind": "compute#metadata",
            "fingerprint": "xk2w1Q3mDuo=",
            "items": [
                {"key": "created-by", "value": f"projects/{project.number}/zones/{zone}/instanceGroupManagers/workers"},
                {"key": "enable-oslogin", "value": rng.choice(["TRUE", "FALSE"])},
                {"key": "startup-script", "value": "#! /bin/bash\n" + "echo warming up the cards\n" * 12},
            ],
        },
        "serviceAccounts": [
            {
                "email": f"{project.number}-compute@developer.gserviceaccount.com",
                "scopes": [
                    "https://www.googleapis.com/auth/devstorage.read_only",
                    "https://www.googleapis.com/auth/logging.write",
                ],
            }
        ],
        "selfLink": f"{base}/zones/{zone}/instances/{name}",
        "scheduling": {
            "onHostMaintenance": "TERMINATE",
            "automaticRestart": True,
            "preemptible": False,
            "provisioningModel": rng.choice(["STANDARD", "STANDARD", "SPOT"]),
        },
        "cpuPlatform": "Intel Broadwell",
        "labels": {
            "env": rng.choice(["prod", "dev", "test"]),
            "owner": f"team-{rng.randrange(6)}",
            "vm-name": f"label-{name}",
        },
        "labelFingerprint": "p1OOaGXvfLA=",
        "startRestricted": False,
        "deletionProtection": False,
        "shieldedInstanceConfig": {"enableSecureBoot": False, "enableVtpm": True, "enableIntegrityMonitoring": True},
        "shieldedInstanceIntegrityPolicy": {"updateAutoLearnPolicy": True},
        "fingerprint": "e2l2nCTmCrU=",
        "lastStartTimestamp": "2026-11-11T08:00:06.000-07:00",
        "resourceStatus": {"scheduling": {"availabilityDomain": 0}},
        "satisfiesPzi": True,
    }
    if accelerator:
        row["guestAccelerators"] = [
            {"acceleratorType": f"{base}/zones/{zone}/acceleratorTypes/{accelerator}", "acceleratorCount": cards}
        ]
    row.update(changes)
    row = {key: value for key, value in row.items() if value is not None}
    project.instances.append(row)
    project.disks.setdefault(f"zones/{zone}", []).append(
        {
            "kind": "compute#disk",
            "id": str(int(instance_id) - 1),
            "name": name,
            "status": "READY",
            "sizeGb": "50",
            "zone": f"{base}/zones/{zone}",
            "selfLink": disk,
            "sourceImage": f"{API}/projects/debian-cloud/global/images/debian-12-v2026{rng.randrange(10, 13)}10",
        }
    )
    return row
