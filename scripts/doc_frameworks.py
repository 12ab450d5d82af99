# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of frameworks and GPUs, from the data and the functions that the role frameworks uses."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from scripts.doc_tables import table

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "roles" / "frameworks" / "files"


class Compatibility:
    """What each GPU gets, and what each profile holds."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "collections"))
        from ansible_collections.gpulab.core.plugins.module_utils.frameworks import cuda, planning, profiles
        from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import MODELS
        from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers

        self.profiles, self.models, self.numbers = profiles, MODELS, numbers
        self.plan, self.cuda_drivers = planning.plan, cuda.CUDA_DRIVERS

    def versions(self, profile: str, package: str) -> str:
        """Return the versions of a package in a profile's locks: one, or those of the oldest and the newest Python."""
        versions = []
        for python in self.profiles.BY_NAME[profile].pythons:
            lock = (LOCKS / self.profiles.BY_NAME[profile].lock(python)).read_text(encoding="utf-8")
            versions += re.findall(rf"^{package}==([^\s;+]+)", lock, re.MULTILINE)
        return " to ".join(dict.fromkeys([versions[0], versions[-1]])) if versions else ""

    def contents(self, profile: Any) -> str:
        """Return the frameworks of a profile with their versions."""
        names = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
        parts = []
        for package in [*profile.on_gpu, *profile.on_cpu]:
            locked = "tensorflow-cpu" if package == "tensorflow" and not profile.cuda else package
            parts.append(f"{names[package]} {self.versions(profile.name, locked)}")
        return ", ".join(parts)

    def hosts(self) -> str:
        """Return what the layout auto chooses for each generation of GPUs, with a new driver and with an old one."""
        new, old = sorted(set(self.cuda_drivers.values()), key=self.numbers, reverse=True)
        generations: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for model in self.models:
            outcomes = tuple(self.kernels([{"model": model.name}], driver) for driver in (new, old))
            generations.setdefault((model.architecture, outcomes), []).append(model.name)
        lines = [["none", "", *(self.kernels([], "") for _ in range(2))]]
        for (architecture, outcomes), models in generations.items():
            some = ", ".join(models[:4]) + (" and others" if len(models) > 4 else "")
            lines.append([architecture, some, *outcomes])
        return table(["GPU", "models", f"driver {new} or newer", f"driver {old} or newer"], lines)

    def kernels(self, cards: list[dict[str, str]], driver: str) -> str:
        """Return the kernels that a host gets."""
        plan = self.plan(cards, driver, python="3.12")
        return "<br>".join(f"{entry['title']} (`{entry['profile']}`)" for entry in plan["environments"])

    def sets(self) -> str:
        """Return what each profile holds and needs."""
        lines = []
        for profile in self.profiles.PROFILES:
            cuda = f"cu{profile.cuda}"
            libraries = [self.versions(profile.name, f"nvidia-{name}-{cuda}") for name in ("cudnn", "nccl")]
            newest = "newest" if profile.max_capability == "99" else profile.max_capability
            gpus = f"{profile.min_capability} to {newest}" if profile.cuda else ""
            pythons = f"{profile.pythons[0]} to {profile.pythons[-1]}"
            lines.append([f"`{profile.name}`", self.contents(profile), *libraries, gpus, profile.min_driver, pythons])
        head = ["profile", "holds", "cuDNN", "NCCL", "compute capability", "driver at least", "Python"]
        return table(head, lines)
