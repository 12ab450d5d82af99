# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The profiles of frameworks that fit together, and which of them a host gets.

A profile is a set of packages that one environment holds, hash-locked in roles/frameworks/files/locks. Sources of the
bounds: the architectures that the wheels' binaries hold (read with cuobjdump), NVIDIA's support matrix of cuDNN (9.11
and later know no GPU before Turing), and NVIDIA's "CUDA compatibility" (12.x wants driver 525.60.13, 13.x wants 580).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import MODELS
from ansible_collections.gpulab.core.plugins.module_utils.gpu.versions import numbers

CUDA_DRIVERS = {12: "525.60.13", 13: "580"}
"""The least driver of a CUDA version (NVIDIA: CUDA compatibility, minor version compatibility)."""

MACHINES = ("x86_64",)
"""The processors that the locks have wheels for."""

SETS = ("geo", "nlp", "vision")
"""Sets of packages that may be requested next to the frameworks; each has a lock for each profile and Python."""

BLACKWELL = "TensorFlow has been released for no GPU newer than Hopper (compute capability 9.0)"


@dataclass(frozen=True)
class Profile:
    """One set of frameworks. Bounds are compute capabilities; the reason says why there is nothing beyond."""

    name: str
    title: str
    on_gpu: tuple[str, ...]
    on_cpu: tuple[str, ...]
    pythons: tuple[str, ...]
    free_gb: float
    cuda: int | None = None
    least: str = "0"
    below: str = ""
    most: str = "99"
    above: str = ""

    @property
    def least_driver(self) -> str:
        """The oldest driver that carries it; empty where no GPU is used."""
        return CUDA_DRIVERS[self.cuda] if self.cuda else ""

    def lock(self, python: str) -> str:
        """Name the lock for a Python such as 3.11, below the role's files."""
        return f"locks/{self.name}-py{python.replace('.', '')}.txt"

    def extra_lock(self, entry: str, python: str) -> str:
        """Name the lock of a set for this profile; a file of somebody's own stays as it is."""
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
        least="7.5",
        below="CUDA 13 knows no GPU before Turing (compute capability 7.5)",
    ),
    Profile(
        "tensorflow-cu12",
        "TensorFlow",
        on_gpu=("tensorflow",),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=14,
        cuda=12,
        least="7.5",
        below="its cuDNN knows no GPU before Turing (compute capability 7.5)",
        most="9.0",
        above=BLACKWELL,
    ),
    Profile(
        "one-cu12",
        "TensorFlow, PyTorch, JAX",
        on_gpu=("tensorflow", "torch", "jax"),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=22,
        cuda=12,
        least="7.0",
        below="its PyTorch knows no GPU before Volta (compute capability 7.0)",
        most="9.0",
        above=BLACKWELL,
    ),
    Profile(
        "pascal-cu12",
        "TensorFlow, PyTorch",
        on_gpu=("tensorflow", "torch"),
        on_cpu=(),
        pythons=("3.10", "3.11", "3.12", "3.13"),
        free_gb=16,
        cuda=12,
        least="6.0",
        below="TensorFlow knows no GPU before Pascal (compute capability 6.0)",
        most="9.0",
        above=BLACKWELL,
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
"""The sets of profiles that a layout may become, in the order in which they are tried. R uses the first of a set."""

CAPABILITIES = {model.name: model.compute_capability for model in MODELS}


@dataclass(frozen=True)
class Environment:
    """One environment to install: what its name ends with, and what goes in."""

    suffix: str
    profile: str
    lock: str
    title: str
    on_gpu: tuple[str, ...]
    on_cpu: tuple[str, ...]
    free_gb: float
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a host gets. A rejection, where there is one, names the reason and the fix."""

    environments: tuple[Environment, ...] = ()
    notes: tuple[str, ...] = ()
    rejection: str = ""


@dataclass(frozen=True)
class Host:
    """What decides: the GPUs' compute capabilities by name, the driver (empty: none), the Python, the processor."""

    capabilities: Mapping[str, str] = field(default_factory=dict)
    driver: str = ""
    python: str = "3.11"
    machine: str = "x86_64"
    extras: tuple[str, ...] = ()


def obstacles(profile: Profile, host: Host) -> list[str]:
    """Give the reasons why a profile cannot work on a host, nothing where it can."""
    found = []
    if host.python not in profile.pythons:
        found.append(f"there are wheels of it for Python {', '.join(profile.pythons)} and not for {host.python}")
    if host.machine not in MACHINES:
        found.append(f"it is locked for {', '.join(MACHINES)} and not for {host.machine}")
    for gpu, capability in host.capabilities.items():
        if profile.cuda and numbers(capability) < numbers(profile.least):
            found.append(f"the host has {gpu} (compute capability {capability}), and {profile.below}")
        if profile.cuda and numbers(capability) > numbers(profile.most):
            found.append(f"the host has {gpu} (compute capability {capability}), and {profile.above}")
    if profile.cuda and host.driver and numbers(host.driver) < numbers(profile.least_driver):
        found.append(
            f"CUDA {profile.cuda} wants driver {profile.least_driver} or newer, and the host has {host.driver}"
        )
    return found


def environments(names: Iterable[str], host: Host) -> tuple[Environment, ...]:
    """Turn profiles into environments: the first has the plain name, another one the name of its frameworks."""
    python = host.python
    chosen = [BY_NAME[name] for name in names]
    found = []
    for position, profile in enumerate(chosen):
        where = "; GPU" if profile.cuda else "; CPU" if len(chosen) > 1 else ""
        suffix = f"-{profile.name.partition('-')[0]}" if position else ""
        lock, title = profile.lock(python), profile.title + where
        where_from = (profile.on_gpu, profile.on_cpu)
        extras = tuple(profile.extra_lock(entry, python) for entry in host.extras)
        found.append(Environment(suffix, profile.name, lock, title, *where_from, profile.free_gb + len(extras), extras))
    return tuple(found)


def plan(
    gpus: Iterable[Mapping[str, Any]],
    driver: str,
    layout: str = "auto",
    python: str = "3.11",
    machine: str = "x86_64",
    gpu: str = "auto",
    profiles: Iterable[str] = (),
    capability: str = "",
    settled: bool = True,
    extras: Iterable[str] = (),
) -> dict[str, Any]:
    """Choose the environments of a host, or reject with the reason; gives a dictionary with the fields of Plan.

    `gpus` and `driver` are as gpu_info gives them; `settled` says that no driver will come any more. `gpu` none leaves
    the GPUs alone. `profiles` names the profiles instead of choosing them, for images that are made on another machine.
    `extras` are sets and files that go into every environment.
    """
    chosen = tuple(profiles)
    cards = list(gpus) if gpu != "none" else []
    capabilities, unknown = {}, []
    for card in cards:
        known = card.get("compute_capability") or CAPABILITIES.get(str(card["model"])) or capability
        name = str(card["model"]) if card["model"] != "unknown" else f"a GPU with PCI id 10de:{card['device_id']}"
        if known:
            capabilities[name] = known
        else:
            unknown.append(name)
    host = Host(capabilities, driver, python, machine, tuple(extras))
    requested_gpu = chosen or layout in ("split", "unified")
    if unknown and (requested_gpu or layout == "auto"):
        return asdict(
            Plan(
                rejection=f"the host has {unknown[0]}, which the table of GPUs does not know: say its compute "
                f"capability "
                "with frameworks_capability, or choose frameworks_layout cpu."
            )
        )
    if chosen:
        return asdict(_named(chosen, host))
    no_gpu = _why_no_gpu(cards, host, gpu, settled)
    if layout in ("split", "unified") and no_gpu:
        return asdict(
            Plan(
                rejection=f"frameworks_layout {layout} is for GPUs, and {no_gpu}: choose auto or cpu, or name "
                "frameworks_profiles to make an image for other hosts."
            )
        )
    tries = LAYOUTS["cpu"] if no_gpu else LAYOUTS[layout]
    notes = [f"everything runs on the CPU, because {no_gpu}."] if no_gpu and layout == "auto" and cards else []
    return asdict(_first_that_works(tries, host, layout, notes))


def _why_no_gpu(cards: list[Mapping[str, Any]], host: Host, gpu: str, settled: bool) -> str:
    if gpu == "none":
        return 'gpulab_gpu is "none"'
    if not cards:
        return "the host has no NVIDIA GPU"
    if settled and not host.driver:
        return "no NVIDIA driver is loaded"
    return ""


def _named(names: tuple[str, ...], host: Host) -> Plan:
    """Judge profiles that somebody named."""
    strangers = [name for name in names if name not in BY_NAME]
    if strangers:
        return Plan(rejection=f"there is no profile {strangers[0]}: there are {', '.join(BY_NAME)}.")
    reasons = [f"{name}: {reason}" for name in names for reason in obstacles(BY_NAME[name], host)]
    if reasons:
        return Plan(rejection=f"frameworks_profiles cannot be installed: {'; '.join(reasons)}.")
    return Plan(environments(names, host))


def _first_that_works(tries: Iterable[tuple[str, ...]], host: Host, layout: str, notes: list[str]) -> Plan:
    """Take the first set in which everything works; else say what stood in the way of each."""
    reasons: list[str] = []
    for names in tries:
        found = [f"{name}: {reason}" for name in names for reason in obstacles(BY_NAME[name], host)]
        if not found:
            if names[0] == "cpu" and len(names) > 1:
                notes.append(f"TensorFlow runs on the CPU, because {BLACKWELL}.")
            elif reasons and layout == "auto":
                notes.append(f"an older set was chosen, because {reasons[0].partition(': ')[2]}.")
            return Plan(environments(names, host), tuple(notes))
        reasons += [reason for reason in found if reason not in reasons]
    cpu = obstacles(BY_NAME["cpu"], host)
    if layout == "auto" and not cpu:
        said = f"everything runs on the CPU, because no set of frameworks fits: {'; '.join(reasons)}."
        return Plan(environments(["cpu"], host), (said,))
    ways = "choose an interpreter with frameworks_python" if cpu else "choose frameworks_layout auto or cpu"
    return Plan(rejection=f"frameworks_layout {layout} cannot be installed: {'; '.join(reasons)}: {ways}.")
