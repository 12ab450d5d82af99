# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiles of frameworks, and the layouts that combine them.

A profile is a set of packages for one environment, hash-locked in roles/frameworks/files/locks. Sources of the bounds:
the architectures in the wheels' binaries (read with cuobjdump), NVIDIA's support matrix of cuDNN (9.11 and later do not
support GPUs before Turing), and NVIDIA's "CUDA compatibility" (12.x needs driver 525.60.13, 13.x needs 580).
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.cuda import CUDA_DRIVERS

MACHINES = ("x86_64",)
"""The processor architectures that the locks have wheels for."""

SETS = ("geo", "nlp", "vision")
"""Sets of extra packages; each has a lock for each profile and version of Python."""

TENSORFLOW_TOO_OLD = "no release of TensorFlow supports GPUs newer than Hopper (compute capability 9.0)"


@dataclass(frozen=True)
class Profile:
    """A set of frameworks for one environment. Bounds are compute capabilities, each with the reason for it."""

    name: str
    title: str
    on_gpu: tuple[str, ...]
    on_cpu: tuple[str, ...]
    pythons: tuple[str, ...]
    free_gb: float
    cuda: int | None = None
    min_capability: str = "0"
    min_reason: str = ""
    max_capability: str = "99"
    max_reason: str = ""

    @property
    def min_driver(self) -> str:
        """The oldest driver that supports the profile; empty if it does not use a GPU."""
        return CUDA_DRIVERS[self.cuda] if self.cuda else ""

    def lock(self, python: str) -> str:
        """Return the path of the lock for a version of Python such as 3.11, below the role's files."""
        return f"locks/{self.name}-py{python.replace('.', '')}.txt"

    def extra_lock(self, entry: str, python: str) -> str:
        """Return the path of the lock of a set of extra packages for this profile; a user's own file stays as it is."""
        return f"locks/extras/{entry}-{self.name}-py{python.replace('.', '')}.txt" if entry in SETS else entry


PROFILES: tuple[Profile, ...] = (
    Profile(
        "torch-cu13",
        "PyTorch, JAX",
        on_gpu=("torch", "jax"),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=15,
        cuda=13,
        min_capability="7.5",
        min_reason="CUDA 13 does not support GPUs before Turing (compute capability 7.5)",
    ),
    Profile(
        "tensorflow-cu12",
        "TensorFlow",
        on_gpu=("tensorflow",),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=14,
        cuda=12,
        min_capability="7.5",
        min_reason="its cuDNN does not support GPUs before Turing (compute capability 7.5)",
        max_capability="9.0",
        max_reason=TENSORFLOW_TOO_OLD,
    ),
    Profile(
        "one-cu12",
        "TensorFlow, PyTorch, JAX",
        on_gpu=("tensorflow", "torch", "jax"),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=22,
        cuda=12,
        min_capability="7.0",
        min_reason="its PyTorch does not support GPUs before Volta (compute capability 7.0)",
        max_capability="9.0",
        max_reason=TENSORFLOW_TOO_OLD,
    ),
    Profile(
        "pascal-cu12",
        "TensorFlow, PyTorch",
        on_gpu=("tensorflow", "torch"),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=16,
        cuda=12,
        min_capability="6.0",
        min_reason="TensorFlow does not support GPUs before Pascal (compute capability 6.0)",
        max_capability="9.0",
        max_reason=TENSORFLOW_TOO_OLD,
    ),
    Profile(
        "cpu",
        "TensorFlow, PyTorch",
        on_gpu=(),
        on_cpu=("tensorflow", "torch"),
        pythons=("3.11", "3.12", "3.13"),
        free_gb=6,
    ),
)
BY_NAME = {profile.name: profile for profile in PROFILES}

LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "split": (("tensorflow-cu12", "torch-cu13"),),
    "unified": (("one-cu12",), ("pascal-cu12",)),
    "cpu": (("cpu",),),
    # Best first: the newest of each; then one environment for old drivers and Volta; then Pascal; then Blackwell,
    # where PyTorch and JAX use the GPU and TensorFlow the processor.
    "auto": (("tensorflow-cu12", "torch-cu13"), ("one-cu12",), ("pascal-cu12",), ("cpu", "torch-cu13")),
}
"""The combinations of profiles that a layout allows, in order of preference. R uses the first profile of each."""
