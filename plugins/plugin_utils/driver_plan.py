# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a host is and what is requested to a driver: pure functions. A plan that cannot be applied says why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils.gpu_models import OPEN, PROPRIETARY, numbers
from . import driver_offers as data
from .driver_offers import Offer


def branch_of(version: str) -> int:
    """Give the branch of a driver version, 0 where there is no version."""
    found = numbers(version)
    return found[0] if found else 0


def carries_cuda(driver: str, cuda: str) -> bool:
    """Tell whether a driver runs programs of a CUDA version; newer majors than the newest known need a newer driver."""
    major = numbers(cuda)[0]
    floor = data.CUDA_FLOORS.get(major)
    if floor is None:
        return major < min(data.CUDA_FLOORS)
    return numbers(driver) >= numbers(floor)


def kernel_flavour(release: str) -> str:
    """Give what follows the numbers of a kernel's release: cloud-amd64, generic, gcp."""
    found = re.match(r"^\d[\d.]*(?:-\d+)?(?:[+~][\w.+~]*?)?-([a-z][\w-]*)$", release)
    return found[1] if found else ""


def mismatch(host: Mapping[str, Any], version: str, flavour: str) -> str:
    """Say why a driver cannot carry the GPUs of a host; nothing where it can."""
    needs = host["requirements"]
    names = ", ".join(sorted({gpu["model"] for gpu in host["gpus"]}))
    lowest = needs["min_driver"] or ""
    # A branch without a version stands for its newest one.
    whole = len(numbers(version)) > 1
    if (numbers(version) < numbers(lowest)) if whole else (branch_of(version) < branch_of(lowest)):
        return f"driver {version} is too old for {names}: at least {lowest} is needed"
    if needs["last_driver_branch"] and branch_of(version) > needs["last_driver_branch"]:
        return f"driver {version} is too new for {names}: R{needs['last_driver_branch']} is the last that carries it"
    if flavour and needs["kernel_modules"] and flavour not in needs["kernel_modules"]:
        return f"{names} needs the {' or '.join(needs['kernel_modules'])} kernel module, not the {flavour} one"
    return ""


def impossible(host: Mapping[str, Any]) -> str:
    """Say why no driver at all can carry the GPUs of a host together; nothing where one can."""
    known = [gpu for gpu in host["gpus"] if gpu["model"] != "unknown"]
    needs = host["requirements"]
    if not known:
        return ""
    last, lowest = needs["last_driver_branch"], branch_of(needs["min_driver"] or "")
    if needs["kernel_modules"] and not (last and lowest > last):
        return ""
    by_age = sorted(known, key=lambda gpu: numbers(gpu["compute_capability"]))
    old, new = by_age[0], by_age[-1]
    return (
        f"no driver carries {old['model']} ({old['architecture']}) and {new['model']} ({new['architecture']}) in one "
        "host: take one of them out, or hide one from the host (vfio), or choose gpulab_gpu none"
    )


def requested_branches(options: Mapping[str, Any], host: Mapping[str, Any]) -> tuple[int, ...]:
    """List the branches to look for in NVIDIA's repository, the best first."""
    if options.get("version"):
        return (branch_of(options["version"]),)
    if options.get("branch"):
        return (branch_of(str(options["branch"])),)
    lowest = branch_of(host["requirements"]["min_driver"] or "")
    return (data.LTS,) if lowest <= data.LTS else (lowest,)


def flavours(host: Mapping[str, Any], options: Mapping[str, Any], branch: int) -> list[str]:
    """List the flavours of the kernel module that may be used, the best first."""
    allowed = list(host["requirements"]["kernel_modules"]) or [OPEN, PROPRIETARY]
    if options.get("flavour", "auto") != "auto":
        return [options["flavour"]] if options["flavour"] in allowed else []
    first = OPEN if branch >= data.OPEN_FOR_DESKTOPS else PROPRIETARY
    return sorted(allowed, key=lambda flavour: flavour != first)


def candidates(host: Mapping[str, Any], options: Mapping[str, Any]) -> list[Offer]:
    """List the offers that carry the GPUs and are as requested, the best first."""
    system = host["system"]
    found = []
    for offer in data.offers(
        system["id"], system["version"], kernel_flavour(host["boot_kernel"]), requested_branches(options, host)
    ):
        if options["source"] not in ("auto", offer.source):
            continue
        if options.get("branch") and offer.branch != branch_of(str(options["branch"])):
            continue
        if options.get("version") and offer.branch != branch_of(options["version"]):
            continue
        if mismatch(host, str(offer.branch), offer.flavour) or offer.flavour not in flavours(
            host, options, offer.branch
        ):
            continue
        found.append(offer)
    order = {(offer.source, offer.branch): position for position, offer in reversed(list(enumerate(found)))}

    def rank(offer: Offer) -> tuple[int, int]:
        return order[offer.source, offer.branch], flavours(host, options, offer.branch).index(offer.flavour)

    return sorted(found, key=rank)


def why_none(host: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Say why no offer is left, with the fix."""
    system = f"{host['system']['id'].capitalize()} {host['system']['version']}"
    names = ", ".join(sorted({gpu["model"] for gpu in host["gpus"]}))
    free = {**options, "source": "auto", "branch": "", "version": "", "flavour": "auto"}
    possible = candidates(host, free)
    if not possible:
        needs = host["requirements"]
        branch = (
            f"R{needs['last_driver_branch']}"
            if needs["last_driver_branch"]
            else f"R{branch_of(needs['min_driver'] or '')}"
        )
        hint = "install Debian 12 or Ubuntu on the host" if needs["last_driver_branch"] else "install a newer system"
        return f"{names} needs driver {branch}, which no source has for {system}: {hint}, or choose gpulab_gpu none"
    settings = [
        f"{name} {options[key]}"
        for name, key in (
            ("gpulab_driver_source", "source"),
            ("gpulab_driver_branch", "branch"),
            ("nvidia_driver_version", "version"),
            ("nvidia_driver_flavour", "flavour"),
        )
        if options.get(key) not in (None, "", "auto")
    ]
    listed = sorted({f"{offer.source} R{offer.branch} {offer.flavour}" for offer in possible})
    requested_branch = str(options.get("version") or options.get("branch") or "")
    reason = (
        mismatch(host, requested_branch, options.get("flavour", "").replace("auto", "")) if requested_branch else ""
    )
    because = f" ({reason})" if reason else ""
    return f"{' with '.join(settings)} has no driver for {names} on {system}{because}: possible are {', '.join(listed)}"


def signing(host: Mapping[str, Any], options: Mapping[str, Any], found: Sequence[Offer]) -> tuple[list[Offer], str]:
    """Keep the offers that Secure Boot lets load; say why none is left."""
    if host["secure_boot"] != "enabled":
        return list(found), ""
    signed = [offer for offer in found if not offer.dkms]
    if signed:
        return signed, ""
    if options.get("secure_boot") == "own_key":
        return list(found), ""
    return [], (
        "Secure Boot is on, and the module would be built on the host: choose nvidia_driver_secure_boot own_key (a key "
        "is made, which you enrol once at the host's console), or turn Secure Boot off in the firmware"
    )


def headers(host: Mapping[str, Any]) -> dict[str, list[str]]:
    """List packages with headers: those that must be had, and those of older kernels, which the archive may lack."""
    releases = [kernel["release"] for kernel in host["kernels"] if kernel["installed"]]
    # A chroot or a container may hold headers and no kernel: it is built for them.
    releases = releases or [kernel["release"] for kernel in host["kernels"]]
    boot = host["boot_kernel"] or (releases[-1] if releases else "")
    kinds = sorted({flavour for release in releases if (flavour := kernel_flavour(release))})
    if not kinds:
        kinds = {"debian": {"x86_64": ["amd64"], "aarch64": ["arm64"]}.get(host["system"]["machine"], [])}.get(
            host["system"]["id"], ["generic"]
        )
    return {
        "required": [*(f"linux-headers-{kind}" for kind in kinds), *([f"linux-headers-{boot}"] if boot else [])],
        "wanted": [f"linux-headers-{release}" for release in releases if release != boot],
    }


def cuda_range(host: Mapping[str, Any], branch: int) -> dict[str, str]:
    """Say which CUDA versions run: from the newest card's first one to what driver and oldest card carry."""
    architectures = {gpu["architecture"] for gpu in host["gpus"] if "architecture" in gpu}
    known = [limit for each, limit in data.CUDA_OF_BRANCH.items() if each <= branch]
    majors = [max(known, default=11), *(data.LAST_CUDA_OF_ARCHITECTURE.get(name, 99) for name in architectures)]
    lowest = [data.CUDA_OF_ARCHITECTURE[name] for name in architectures if name in data.CUDA_OF_ARCHITECTURE]
    return {"min": max(lowest, key=numbers, default=""), "max": f"{min(majors)}.x"}


def _empty(host: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "action": "none",
        "source": "",
        "branch": 0,
        "flavour": "",
        "main": "",
        "packages": [],
        "first": [],
        "components": [],
        "headers": {"required": [], "wanted": []},
        "dkms": False,
        "fabric_manager": "",
        "version": "",
        "cuda": {"min": "", "max": ""},
        "problems": [],
        "notes": [],
        "patterns": list(data.DRIVER_GLOBS),
        "gpus": [gpu["model"] for gpu in host["gpus"]],
    }


def preinstalled(host: Mapping[str, Any], options: Mapping[str, Any], plan: dict[str, Any]) -> dict[str, Any] | None:
    """Adopt a driver that is there and is not ours; nothing where there is none, or another one is requested."""
    there = host["driver_version"] or host["userland_version"]
    ours = bool(host.get("managed"))
    if options["source"] not in ("auto", "preinstalled"):
        if host["driver_kind"] in ("runfile", "injected", "cloud_image") and not ours:
            plan["problems"].append(
                f"driver {there} came to the host by other means ({host['driver_kind']}), and gpulab_driver_source "
                f"{options['source']} would put a second one next to it: remove it first, or choose preinstalled"
            )
        return None
    if host["driver_kind"] == "none" or (ours and options["source"] == "auto") or not there:
        if options["source"] == "preinstalled":
            plan["problems"].append(
                "gpulab_driver_source is preinstalled, and the host has no driver: install one, or choose auto"
            )
        return None
    broken = [name for name, entry in host["packages"].items() if entry["state"] != "installed"]
    if broken:
        plan["problems"].append(
            f"packages of a driver are half installed ({', '.join(sorted(broken))}): repair them with "
            "'apt-get --fix-broken install' or purge them, then run again"
        )
    reason = mismatch(host, there, host["driver_flavour"])
    if reason:
        plan["problems"].append(f"{reason}; replace it by hand, or name a source with gpulab_driver_source")
    plan.update(action="adopt", source="preinstalled", branch=branch_of(there), flavour=host["driver_flavour"])
    plan.update(version=there, cuda=cuda_range(host, branch_of(there)))
    plan["notes"].append(f"driver {there} is there already ({host['driver_kind']}) and is left alone")
    return plan


def driver_plan(host: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what a host is and what is requested into a plan; `problems` says why it cannot be applied."""
    plan = _empty(host)
    demanded = options.get("gpu") == "required"
    if options.get("state") == "absent":
        plan["action"] = "uninstall" if host.get("managed") else "none"
        if host["driver_kind"] != "none" and not host.get("managed"):
            plan["notes"].append("the driver was not installed by this role and is left alone")
        return plan
    if options.get("gpu") == "none":
        plan["notes"].append("gpulab_gpu is none: the GPUs are left alone")
        return plan
    if not host["gpus"]:
        if demanded:
            plan["problems"].append(
                'gpulab_gpu is "required" and the host has no NVIDIA GPU on its PCI bus: choose another host, or '
                "gpulab_gpu auto"
            )
        plan["notes"].append("the host has no NVIDIA GPU on its PCI bus")
        return plan
    unknown = host["requirements"]["unknown"]
    plan["notes"] += [
        f"GPU {number} is not in the table of this collection: nothing is known of its needs" for number in unknown
    ]
    if reason := impossible(host):
        plan["problems"].append(reason)
        return plan
    if preinstalled(host, options, plan) or plan["problems"]:
        return plan
    expected = host["gpus"][0]["address"] == "expected"
    if host["container"] and not expected:
        text = (
            f"the host is a container ({host['container']}) without a driver inside: install the driver on the machine "
            "that runs it, and hand the GPUs in (podman run --device nvidia.com/gpu=all)"
        )
        plan["problems" if demanded or options["source"] != "auto" else "notes"].append(text)
        return plan
    named = (options.get("branch") or options.get("version")) and options.get("flavour", "auto") != "auto"
    if len(unknown) == len({gpu["device_id"] for gpu in host["gpus"]}) and not named:
        text = (
            "no driver is chosen for an unknown GPU: name gpulab_driver_branch and nvidia_driver_flavour (open from "
            "Blackwell on, proprietary before Turing), or install one and choose gpulab_driver_source preinstalled"
        )
        plan["problems" if demanded else "notes"].append(text)
        return plan
    found = candidates(host, options)
    if not found:
        plan["problems"].append(why_none(host, options))
        return plan
    found, reason = signing(host, options, found)
    if not found:
        plan["problems"].append(reason)
        return plan
    return _chosen(host, options, plan, found[0])


def _chosen(host: Mapping[str, Any], options: Mapping[str, Any], plan: dict[str, Any], offer: Offer) -> dict[str, Any]:
    """Write an offer into the plan."""
    manager = offer.fabric_manager if host["fabric"] == "nvswitch" else ""
    if host["fabric"] == "nvswitch" and not manager:
        plan["problems"].append(
            f"the GPUs are joined by NVSwitch, and {offer.source} has no fabric manager for R{offer.branch}: choose "
            "gpulab_driver_source nvidia_repo"
        )
    if host["fabric"] == "rack":
        plan["notes"].append("the GPUs are joined by a switch outside the host: nvidia-imex is yours to set up")
    if offer.dkms and host["secure_boot"] == "enabled":
        plan["notes"].append(
            "Secure Boot: the module is signed with a key of this host, which you enrol at its console"
        )
    if data.CUDA_OF_BRANCH.get(offer.branch, 13) < 13:
        plan["notes"].append(f"R{offer.branch} runs CUDA {data.CUDA_OF_BRANCH[offer.branch]} and older only")
    managed = host.get("managed") or {}
    same = (managed.get("source"), managed.get("branch"), managed.get("flavour")) == (
        offer.source,
        offer.branch,
        offer.flavour,
    )
    kept = managed.get("version", "") if same else ""
    foreign = bool(host["userland_version"]) and not managed
    other = bool(managed) and (not same or not _is(kept, options.get("version")))
    plan.update(
        action="change" if foreign or other else "install",
        source=offer.source,
        branch=offer.branch,
        flavour=offer.flavour,
        main=offer.main,
        packages=[*offer.packages, *([manager] if manager else [])],
        first=list(offer.first),
        components=list(offer.components),
        headers=headers(host) if offer.dkms else {"required": [], "wanted": []},
        dkms=offer.dkms,
        fabric_manager=manager,
        version=options.get("version") or kept,
        cuda=cuda_range(host, offer.branch),
    )
    if same and plan["action"] == "install" and _complete(host, managed, plan):
        plan["action"] = "keep"
    return plan


def _is(version: str, requested: str | None) -> bool:
    """Return whether a package has the requested version: none, the driver's version, or the package's."""
    return not requested or version == requested or bool(re.match(rf"(\d+:)?{re.escape(requested)}(?![\d.])", version))


def _complete(host: Mapping[str, Any], managed: Mapping[str, Any], plan: Mapping[str, Any]) -> bool:
    """Tell whether what was installed is still whole, for every kernel that has headers."""
    built = all(host["modules"].get(kernel["release"]) for kernel in host["kernels"] if kernel["headers"])
    same = set(managed.get("packages", [])) == set(plan["packages"])
    return same and (built or not plan["dkms"]) and not driver_problems(host, plan)


def reboot_reasons(host: Mapping[str, Any]) -> list[str]:
    """Say why a host must restart before its driver can be used; nothing where it need not, or is a container."""
    if host["container"] or all(gpu["address"] == "expected" for gpu in host["gpus"]):
        return []
    on_disk = [module["version"] for module in host["modules"].get(host["boot_kernel"], []) if module["version"]]
    if not on_disk:
        return []
    if host["nouveau_loaded"]:
        return ["nouveau is loaded and must not be when NVIDIA's module is"]
    if host["driver_version"] and host["driver_version"] not in on_disk:
        return [f"driver {host['driver_version']} is loaded and {on_disk[0]} is installed"]
    if not host["driver_version"]:
        running = host["modules"].get(host["running_kernel"], [])
        if host["running_kernel"] != host["boot_kernel"] and not running:
            return [f"the module is for kernel {host['boot_kernel']}, and {host['running_kernel']} is running"]
        own_key = any("DKMS" in module["signer"] for module in host["modules"][host["boot_kernel"]])
        if host["secure_boot"] == "enabled" and own_key:
            return []  # the key must be enrolled at the console: a restart alone would change nothing
        return [f"driver {on_disk[0]} is installed and could not be loaded"]
    return []


def driver_problems(host: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """Compare what was installed with the plan: modules for the kernel that will boot, libraries, fabric manager."""
    found = []
    for name, entry in sorted(host["packages"].items()):
        if entry["state"] != "installed":
            found.append(f"package {name} is {entry['state']}")
    for source in host["dkms"]:
        found += [f"{source['name']} {source['version']}: {line}" for line in source["errors"] if not source["built"]]
    boot = host["boot_kernel"] or (host["kernels"][-1]["release"] if host["kernels"] else "")
    there = host["modules"].get(boot, [])
    if not there:
        lacks = (
            ""
            if any(kernel["release"] == boot and kernel["headers"] for kernel in host["kernels"])
            else " (no headers)"
        )
        found.append(f"no NVIDIA module was built for kernel {boot or 'of the host'}{lacks}")
    for module in there:
        if module["version"] and host["userland_version"] and module["version"] != host["userland_version"]:
            found.append(f"the module is {module['version']} and the libraries are {host['userland_version']}")
        if module["version"] and plan["branch"] and branch_of(module["version"]) != plan["branch"]:
            found.append(f"the module is {module['version']}, and R{plan['branch']} was planned")
        if module["flavour"] != plan["flavour"] and plan["flavour"]:
            found.append(f"the module is the {module['flavour']} one, and the {plan['flavour']} one was planned")
        if host["secure_boot"] == "enabled" and not module["signer"]:
            found.append(f"the module {module['path']} is not signed, and Secure Boot would reject it")
    if not host["userland_version"]:
        found.append("no driver libraries were installed")
    if plan["fabric_manager"] and host["fabric_manager_version"] != host["userland_version"]:
        manager = host["fabric_manager_version"] or "missing"
        found.append(f"the fabric manager is {manager} and the driver is {host['userland_version']}")
    return found


def plan_lines(plan: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    """Give a plan as the lines of a table."""
    counted = {name: plan["gpus"].count(name) for name in plan["gpus"]}
    cuda = " to ".join(value for value in (plan["cuda"]["min"], plan["cuda"]["max"]) if value)
    rows = [
        ("GPUs", ", ".join(f"{count} x {name}" for name, count in counted.items()) or "none"),
        ("system", f"{host['system']['id']} {host['system']['version']} {host['system']['machine']}"),
        ("Secure Boot", host["secure_boot"]),
        (
            "driver now",
            host["driver_version"]
            or (f"{host['userland_version']} (not loaded)" if host["userland_version"] else "none"),
        ),
        ("action", plan["action"]),
        ("source", plan["source"]),
        ("branch", f"R{plan['branch']}" if plan["branch"] else ""),
        ("version", plan["version"] or ("the newest of the branch, then kept" if plan["packages"] else "")),
        ("kernel module", plan["flavour"]),
        ("packages", ", ".join([*plan["first"], *plan["packages"]])),
        ("kernel headers", ", ".join([*plan["headers"]["required"], *plan["headers"]["wanted"]])),
        ("CUDA", cuda),
        ("restart", "; ".join(reboot_reasons(host))),
    ]
    width = max(len(name) for name, _value in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows if value]
    lines += [f"{'note':<{width}}  {note}" for note in plan["notes"]]
    return lines + [f"{'IMPOSSIBLE':<{width}}  {problem}" for problem in plan["problems"]]


def preferences(plan: Mapping[str, Any], version: str, repository: str, closure: Sequence[str]) -> str:
    """Write apt_preferences(5): the whole closure at one version, and no driver packages from anywhere else.

    The packages are named one by one: patterns would make every start of apt many seconds slower.
    """
    names = " ".join(sorted({*closure, *data.DRIVER_NAMES}))
    upstream = re.sub(r"^(?:\d+:)?([\d.]+).*$", r"\1", version)
    blocks = [
        "# Written by gpulab: the driver stays at the version that was proven to build, and comes from one source.",
        f"Package: {names}\nPin: version /^([0-9]+:)?{re.escape(upstream)}([-+~].*)?$/\nPin-Priority: 1001",
    ]
    if plan["source"] != "nvidia_repo":
        origin = re.sub(r"^[a-z]+://([^/:]+).*$", r"\1", repository)
        blocks.append(f"Package: {names}\nPin: origin {origin}\nPin-Priority: -1")
    else:
        # What has no version of this driver (nvidia-persistenced may have one of its own) comes from the vendor too.
        blocks += [f"Package: {names}\nPin: release o={origin}\nPin-Priority: -1" for origin in ("Debian", "Ubuntu")]
    return "\n\n".join(blocks)


def repository(system: Mapping[str, str], base: str) -> dict[str, str]:
    """Give the address of NVIDIA's repository for a system, of its keyring, and the keyring's checksum where known."""
    directory = data.repository_folder(system["id"], system["version"], system["machine"])
    url = f"{base.rstrip('/')}/{directory}"
    sha256 = data.KEYRINGS.get(directory.partition("/")[0], "")
    return {"url": url, "keyring": f"{url}/cuda-keyring_1.1-1_all.deb", "sha256": sha256}
