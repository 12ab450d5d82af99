"""The plan: over every family of GPUs, mixed hosts, systems, sources and Secure Boot."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils import gpu_host, gpu_models
from ansible_collections.gpulab.core.plugins.plugin_utils import driver_offers, driver_plan

SYSTEMS = {"12": ("debian", "6.1.0-56-amd64"), "13": ("debian", "6.12.117-amd64")}
SYSTEMS |= {"22.04": ("ubuntu", "6.8.0-50-generic"), "24.04": ("ubuntu", "6.8.0-1024-gcp")}
WISHES = {"gpu": "auto", "state": "present", "source": "auto", "branch": "", "version": "", "flavour": "auto"}
FAMILY = {
    "K80": "102d",
    "M40": "17fd",
    "P4": "1bb3",
    "P100": "15f8",
    "V100": "1db1",
    "T4": "1eb8",
    "A100": "20b0",
    "L4": "27b8",
    "H100": "2330",
    "H200": "2335",
    "B200": "2901",
    "GB200": "2941",
    "RTX PRO 6000": "2bb5",
    "RTX 3090": "2204",
    "RTX 5090": "2b85",
}


def host(*ids: str, system: str = "12", **facts: Any) -> dict[str, Any]:
    """Make what gpu_info says of a host with these GPUs and no driver."""
    name, kernel = SYSTEMS[system]
    found = [gpu_host.gpu(f"0000:{number:02x}:00.0", device) for number, device in enumerate(ids, 1)]
    return {
        "gpus": found,
        "requirements": gpu_host.requirements(found),
        "fabric": "none",
        "driver_version": "",
        "driver_flavour": "",
        "driver_kind": "none",
        "userland_version": "",
        "fabric_manager_version": "",
        "packages": {},
        "kernels": [{"release": kernel, "installed": True, "headers": True}],
        "running_kernel": kernel,
        "boot_kernel": kernel,
        "modules": {kernel: []},
        "dkms": [],
        "nouveau_loaded": False,
        "secure_boot": "disabled",
        "container": "",
        "managed": {},
        "system": {"id": name, "version": system, "machine": "x86_64"},
        **facts,
    }


def plan(*ids: str, system: str = "12", settings: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """Plan for such a host."""
    return driver_plan.driver_plan(host(*ids, system=system, **facts), {**WISHES, **(settings or {})})


PROPRIETARY_580 = ("nvidia_repo", 580, "proprietary")
OPEN_580 = ("nvidia_repo", 580, "open")
SIGNED_OPEN = ("ubuntu_precompiled", 580, "open")
SIGNED_CLOSED = ("ubuntu_precompiled", 580, "proprietary")


@pytest.mark.parametrize(
    ("name", "debian", "ubuntu"),
    [
        ("K80", ("distro", 470, "proprietary"), ("ubuntu_precompiled", 470, "proprietary")),
        *((name, PROPRIETARY_580, SIGNED_CLOSED) for name in ("M40", "P4", "P100", "V100")),
        *((name, OPEN_580, SIGNED_OPEN) for name in FAMILY if name not in ("K80", "M40", "P4", "P100", "V100")),
    ],
)
def test_every_family_gets_its_branch_and_flavour(name: str, debian: tuple[Any, ...], ubuntu: tuple[Any, ...]) -> None:
    """R470 for Kepler, R580 for the rest; proprietary before Turing, open from there on."""
    for system, wanted in (("12", debian), ("24.04", ubuntu)):
        found = plan(FAMILY[name], system=system)
        assert found["problems"] == []
        assert (found["source"], found["branch"], found["flavour"]) == wanted, system
        assert found["action"] == "install"


def test_every_model_of_the_table_has_a_plan_or_a_sentence() -> None:
    """No id of the table leads nowhere, on no system."""
    for model in gpu_models.MODELS:
        for system in SYSTEMS:
            found = plan(model.pci_ids[0].removeprefix("10de:"), system=system)
            assert bool(found["packages"]) is not bool(found["problems"]), (model.name, system)
            if found["problems"]:
                assert (model.architecture, system) == ("Kepler", "13"), model.name
                assert "Debian 12" in found["problems"][0]


@pytest.mark.parametrize("old", ["102d", "17fd", "1bb3", "15f8", "1db1"])
@pytest.mark.parametrize("new", ["2901", "2bb5", "2b85"])
def test_old_card_with_a_blackwell_has_no_driver(old: str, new: str) -> None:
    """The sentence names both cards and the ways out."""
    found = plan(old, new)
    assert found["action"] == "none"
    assert len(found["problems"]) == 1
    assert "no driver carries" in found["problems"][0]
    assert "take one of them out" in found["problems"][0]
    assert gpu_models.by_pci_id(f"10de:{new}").name in found["problems"][0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ids", "branch", "flavour"),
    [
        (("1db1", "1eb8"), 580, "proprietary"),
        (("1eb8", "2bb5"), 580, "open"),
        (("15f8", "2204"), 580, "proprietary"),
        (("102d", "1db1"), 470, "proprietary"),
        (("2204", "2204"), 580, "open"),
    ],
)
def test_mixed_hosts_get_what_all_of_their_cards_take(ids: tuple[str, ...], branch: int, flavour: str) -> None:
    """Requirements are intersected."""
    found = plan(*ids)
    assert (found["problems"], found["branch"], found["flavour"]) == ([], branch, flavour)


def test_kepler_with_a_hopper_has_no_driver() -> None:
    """The branches do not meet."""
    assert "no driver carries K80 (Kepler) and H100 (Hopper)" in plan("102d", "2330")["problems"][0]


@pytest.mark.parametrize(
    ("ids", "system", "settings", "words"),
    [
        (("102d",), "12", {"source": "nvidia_repo"}, "possible are distro R470 proprietary"),
        (("102d",), "12", {"branch": "580"}, "R470 is the last"),
        (("2901",), "12", {"source": "distro"}, "possible are nvidia_repo R580 open"),
        (("2bb5",), "13", {"flavour": "proprietary"}, "nvidia_driver_flavour proprietary has no driver"),
        (("1db1",), "12", {"branch": "595"}, "driver 595 is too new for V100: R580 is the last"),
        (("1eb8",), "12", {"source": "ubuntu_precompiled"}, "gpulab_driver_source ubuntu_precompiled has no driver"),
        (("2901",), "12", {"branch": "550"}, "driver 550 is too old for B200: at least 570.133.20"),
    ],
)
def test_setting_that_no_driver_meets_names_what_would(
    ids: tuple[str, ...], system: str, settings: dict[str, str], words: str
) -> None:
    """The sentence names the setting, the reason, and what is possible."""
    found = plan(*ids, system=system, settings=settings)
    assert (found["action"], found["packages"]) == ("none", [])
    assert len(found["problems"]) == 1
    assert words in found["problems"][0]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"source": "distro"}, ("distro", 535, "proprietary")),
        ({"source": "distro", "flavour": "open"}, ("distro", 535, "open")),
        ({"branch": "595"}, ("nvidia_repo", 595, "open")),
        ({"branch": "595", "flavour": "proprietary"}, ("nvidia_repo", 595, "proprietary")),
        ({"branch": "615"}, ("nvidia_repo", 615, "open")),
        ({"version": "580.95.05"}, ("nvidia_repo", 580, "open")),
    ],
)
def test_settings_are_met(settings: dict[str, str], wanted: tuple[str, int, str]) -> None:
    """Source, branch, flavour and version can be named."""
    found = plan("1eb8", settings=settings)
    assert (found["source"], found["branch"], found["flavour"]) == wanted
    assert found["version"] == settings.get("version", "")


def test_proprietary_module_is_rejected_where_the_vendor_dropped_it() -> None:
    """From R615 on there is none."""
    assert "R580" in plan("1eb8", settings={"branch": "615", "flavour": "proprietary"})["problems"][0]


def test_unsuffixed_metapackage_is_never_used() -> None:
    """cuda-drivers may be empty, nvidia-open follows every new branch; the branch is pinned first."""
    for system in SYSTEMS:
        for branch in ("580", "595", "615"):
            found = plan("1eb8", system=system, settings={"source": "nvidia_repo", "branch": branch})
            assert not {"cuda-drivers", "nvidia-open", "cuda"} & set(found["packages"])
            assert found["first"] == [f"nvidia-driver-pinning-{branch}"]


def test_unknown_gpu_is_reported_and_left_to_people() -> None:
    """Nothing is guessed; who knows the card can name branch and flavour."""
    found = plan("3f00")
    assert (found["action"], found["problems"]) == ("none", [])
    assert any("3f00 is not in the table" in note for note in found["notes"])
    assert any("gpulab_driver_branch" in note for note in found["notes"])
    assert plan("3f00", settings={"gpu": "required"})["problems"]
    named = plan("3f00", settings={"branch": "615", "flavour": "open"})
    assert (named["action"], named["branch"], named["problems"]) == ("install", 615, [])
    assert plan("3f00", "1eb8")["branch"] == 580


@pytest.mark.parametrize("kind", ["package", "runfile", "cloud_image", "injected", "unknown"])
def test_driver_that_is_there_is_left_alone(kind: str) -> None:
    """Whoever installed it."""
    facts: dict[str, Any] = {"driver_kind": kind, "driver_version": "570.133.20", "driver_flavour": "open"}
    found = plan("2335", userland_version="570.133.20", **facts)
    assert (found["action"], found["source"], found["packages"], found["problems"]) == ("adopt", "preinstalled", [], [])


def test_driver_that_cannot_carry_the_card_is_rejected() -> None:
    """Adopted is only what works."""
    facts: dict[str, Any] = {"driver_kind": "package", "driver_version": "535.183.01", "driver_flavour": "open"}
    found = plan("2901", userland_version="535.183.01", **facts)
    assert "driver 535.183.01 is too old for B200: at least 570.133.20" in found["problems"][0]


def test_second_driver_is_never_put_beside_a_foreign_one() -> None:
    """A .run file and packages would overwrite each other's files."""
    facts: dict[str, Any] = {"driver_kind": "runfile", "driver_version": "580.95.05", "userland_version": "580.95.05"}
    assert "remove it first" in plan("1eb8", settings={"source": "distro"}, **facts)["problems"][0]
    assert plan("1eb8", settings={"source": "preinstalled"})["problems"]


def test_driver_of_somebody_else_is_replaced_only_where_a_source_is_named() -> None:
    """And then as a change: tried aside first, never under users who compute."""
    facts: dict[str, Any] = {"driver_kind": "package", "driver_version": "535.183.01", "userland_version": "535.183.01"}
    assert plan("1eb8", **facts)["action"] == "adopt"
    assert plan("1eb8", settings={"source": "nvidia_repo"}, **facts)["action"] == "change"


def test_half_installed_packages_are_named() -> None:
    """They would break every later run of apt."""
    packages: dict[str, Any] = {"nvidia-open-kernel-dkms": {"version": "550.163.01-2", "state": "half-configured"}}
    found = plan("1eb8", driver_kind="package", userland_version="550.163.01", packages=packages)
    assert "nvidia-open-kernel-dkms" in found["problems"][0]


@pytest.mark.parametrize(
    ("system", "settings", "source", "problems"),
    [
        ("24.04", {}, "ubuntu_precompiled", 0),
        ("12", {}, "", 1),
        ("12", {"secure_boot": "own_key"}, "nvidia_repo", 0),
        ("24.04", {"source": "distro"}, "", 1),
    ],
)
def test_secure_boot_takes_signed_modules_or_an_own_key(
    system: str, settings: dict[str, str], source: str, problems: int
) -> None:
    """Signed ones first; else a key of the host's own where requested; else rejected before anything is installed."""
    found = plan("1eb8", system=system, settings=settings, secure_boot="enabled")
    assert (found["source"], len(found["problems"])) == (source, problems)
    if problems:
        assert "own_key" in found["problems"][0]


def test_fabric_manager_comes_with_nvswitch() -> None:
    """The same branch as the driver; Debian's own packages have none."""
    ids = ["2330"] * 8
    assert "nvidia-fabricmanager-580" in plan(*ids, system="24.04", fabric="nvswitch")["packages"]
    assert "nvidia-fabricmanager" in plan(*ids, fabric="nvswitch")["packages"]
    assert not plan(*ids)["fabric_manager"]
    assert "has no fabric manager" in plan(*ids, fabric="nvswitch", settings={"source": "distro"})["problems"][0]
    assert any("nvidia-imex" in note for note in plan("2941", fabric="rack")["notes"])


def test_headers_are_wanted_for_every_kernel_and_for_tomorrows() -> None:
    """The kernel that will boot must have them; the metapackage brings those of the next one."""
    kernels = [
        {"release": release, "installed": True, "headers": False}
        for release in ("6.1.0-47-cloud-amd64", "6.1.0-50-amd64", "6.1.0-56-amd64")
    ]
    found = plan("1eb8", kernels=kernels, boot_kernel="6.1.0-56-amd64")["headers"]
    assert found["required"] == ["linux-headers-amd64", "linux-headers-cloud-amd64", "linux-headers-6.1.0-56-amd64"]
    assert found["wanted"] == ["linux-headers-6.1.0-47-cloud-amd64", "linux-headers-6.1.0-50-amd64"]
    assert plan("1eb8", system="24.04")["headers"] == {"required": [], "wanted": []}


def test_container_gets_its_driver_from_outside() -> None:
    """A kernel module cannot be a container's; an image may be made for another machine."""
    found = plan("1eb8", container="docker")
    assert (found["action"], found["problems"]) == ("none", [])
    assert "--device" in found["notes"][-1]
    assert plan("1eb8", container="docker", settings={"gpu": "required"})["problems"]
    image = host("1eb8", container="podman")
    image["gpus"][0]["address"] = "expected"
    assert driver_plan.driver_plan(image, WISHES)["action"] == "install"


def test_host_without_a_gpu_is_left_alone() -> None:
    """And rejected where one is demanded."""
    assert plan()["action"] == "none"
    assert "no NVIDIA GPU" in plan(settings={"gpu": "required"})["problems"][0]
    assert plan("1eb8", settings={"gpu": "none"})["action"] == "none"


def test_what_was_installed_is_kept_or_changed_knowingly() -> None:
    """A later run keeps the version; another setting is a change; absent removes what is ours, and only that."""
    managed: dict[str, Any] = {"source": "nvidia_repo", "branch": 580, "flavour": "open", "version": "580.95.05-1"}
    facts: dict[str, Any] = {"managed": managed, "driver_kind": "package", "userland_version": "580.95.05"}
    same = plan("1eb8", **facts)
    assert (same["action"], same["version"]) == ("install", "580.95.05-1")
    assert plan("1eb8", settings={"version": "580.95.05"}, **facts)["action"] == "install"
    assert plan("1eb8", settings={"branch": "595"}, **facts)["action"] == "change"
    assert plan("1eb8", settings={"version": "580.82.07"}, **facts)["action"] == "change"
    assert plan("1eb8", settings={"state": "absent"}, **facts)["action"] == "uninstall"
    assert plan("1eb8", settings={"state": "absent"}, **{**facts, "managed": {}})["action"] == "none"


KERNEL = "6.1.0-56-amd64"
GOOD: dict[str, Any] = {
    "path": "/lib/x.ko",
    "version": "535.309.01",
    "signer": "DKMS module signing key",
    "flavour": "proprietary",
}
INSTALLED: dict[str, Any] = {"userland_version": "535.309.01", "driver_kind": "package", "modules": {KERNEL: [GOOD]}}
PLANNED: dict[str, Any] = {"branch": 535, "flavour": "proprietary", "fabric_manager": ""}


def test_whole_driver_has_no_problems() -> None:
    """Module, libraries and plan agree."""
    assert driver_plan.driver_problems(host("1eb8", **INSTALLED), PLANNED) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"modules": {KERNEL: []}}, "no NVIDIA module was built for kernel 6.1.0-56-amd64"),
        ({"userland_version": ""}, "no driver libraries"),
        ({"userland_version": "535.261.03"}, "the module is 535.309.01 and the libraries are 535.261.03"),
        ({"modules": {KERNEL: [{**GOOD, "version": "580.95.05"}]}}, "R535 was planned"),
        ({"modules": {KERNEL: [{**GOOD, "flavour": "open"}]}}, "the module is the open one"),
        ({"secure_boot": "enabled", "modules": {KERNEL: [{**GOOD, "signer": ""}]}}, "is not signed"),
        ({"packages": {"nvidia-kernel-dkms": {"version": "1", "state": "half-configured"}}}, "half-configured"),
        ({"boot_kernel": "6.1.0-60-amd64"}, "no NVIDIA module was built for kernel 6.1.0-60-amd64"),
    ],
)
def test_each_way_to_be_broken_is_found(facts: dict[str, Any], words: str) -> None:
    """Whatever apt's exit code said."""
    found = driver_plan.driver_problems(host("1eb8", **{**INSTALLED, **facts}), PLANNED)
    assert any(words in problem for problem in found), found


def test_whole_driver_of_ours_is_kept() -> None:
    """A second run has nothing to do; a new kernel, or a module that is gone, is work."""
    managed: dict[str, Any] = {
        "source": "distro",
        "branch": 535,
        "flavour": "proprietary",
        "version": "535.309.01-0+deb12u1",
    }
    managed["packages"] = plan("1eb8", settings={"source": "distro"})["packages"]
    facts: dict[str, Any] = {**INSTALLED, "managed": managed}
    settings = {"source": "distro"}
    assert plan("1eb8", settings=settings, **facts)["action"] == "keep"
    assert plan("1eb8", settings=settings, **{**facts, "modules": {KERNEL: []}})["action"] == "install"
    newer = {"release": "6.1.0-60-amd64", "installed": True, "headers": True}
    facts["kernels"] = [{"release": KERNEL, "installed": True, "headers": True}, newer]
    assert plan("1eb8", settings=settings, **facts)["action"] == "install"


def test_fabric_manager_must_be_exactly_the_drivers() -> None:
    """Else CUDA does not start on such a host."""
    planned = {**PLANNED, "fabric_manager": "nvidia-fabricmanager-535"}
    found = driver_plan.driver_problems(host("2330", **INSTALLED, fabric_manager_version="535.300.00"), planned)
    assert found == ["the fabric manager is 535.300.00 and the driver is 535.309.01"]


def test_failed_build_is_told_in_the_compilers_words() -> None:
    """The lines of the log that say error, not the last lines."""
    source = {
        "name": "nvidia-current-open",
        "version": "550.163.01",
        "built": [],
        "errors": ["nv-pci.c:237:9: error: too few"],
    }
    found = driver_plan.driver_problems(host("26b9", dkms=[source], userland_version="550.163.01"), PLANNED)
    assert any("nv-pci.c:237:9: error: too few" in problem for problem in found)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "installed and could not be loaded"),
        ({"driver_version": "535.309.01"}, ""),
        ({"driver_version": "535.261.03"}, "535.261.03 is loaded and 535.309.01 is installed"),
        ({"nouveau_loaded": True}, "nouveau is loaded"),
        ({"running_kernel": "6.1.0-47-amd64"}, "the module is for kernel 6.1.0-56-amd64"),
        ({"container": "podman"}, ""),
        ({"gpus": [{"address": "expected", "device_id": "1eb8", "model": "T4"}]}, ""),
        ({"secure_boot": "enabled"}, ""),
        ({"secure_boot": "enabled", "driver_version": "535.261.03"}, "535.261.03 is loaded"),
        ({"modules": {KERNEL: []}}, ""),
    ],
)
def test_restart_has_its_reason(facts: dict[str, Any], words: str) -> None:
    """Never without one, never in a container, never after a build that failed."""
    found = driver_plan.reboot_reasons(host("1eb8", **{**INSTALLED, **facts}))
    assert bool(found) is bool(words)
    assert not words or words in found[0]


@pytest.mark.parametrize(
    ("driver", "cuda", "carried"),
    [
        ("580.95.05", "13.0", True),
        ("575.51.03", "13.0", False),
        ("535.183.01", "12.8", True),
        ("470.256.02", "12.0", False),
    ],
)
def test_driver_carries_cuda(driver: str, cuda: str, carried: bool) -> None:
    """By the floor of the CUDA major version."""
    assert driver_plan.carries_cuda(driver, cuda) is carried


@pytest.mark.parametrize(
    ("ids", "settings", "wanted"),
    [
        (("102d",), {}, {"min": "", "max": "11.x"}),
        (("1db1",), {}, {"min": "", "max": "12.x"}),
        (("1eb8",), {}, {"min": "", "max": "13.x"}),
        (("1eb8",), {"source": "distro"}, {"min": "", "max": "12.x"}),
        (("2bb5",), {}, {"min": "12.8", "max": "13.x"}),
    ],
)
def test_cuda_range_is_what_driver_and_cards_carry(
    ids: tuple[str, ...], settings: dict[str, str], wanted: dict[str, str]
) -> None:
    """The oldest card and the driver bound it above, the newest card below."""
    assert plan(*ids, settings=settings)["cuda"] == wanted


@pytest.mark.parametrize(
    ("release", "flavour"),
    [
        ("6.1.0-56-cloud-amd64", "cloud-amd64"),
        ("6.12.117+deb13-amd64", "amd64"),
        ("6.8.0-1024-gcp", "gcp"),
        ("6.18.44-fc-v657", "fc-v657"),
        ("x", ""),
    ],
)
def test_kernel_flavour_is_read_from_its_release(release: str, flavour: str) -> None:
    """Debian and Ubuntu write it last."""
    assert driver_plan.kernel_flavour(release) == flavour


def test_plan_is_printed_as_a_table() -> None:
    """With what will happen and why not."""
    facts = host("1eb8", "1eb8")
    text = "\n".join(driver_plan.plan_lines(driver_plan.driver_plan(facts, WISHES), facts))
    for words in ("2 x T4", "nvidia_repo", "R580", "open", "nvidia-driver-pinning-580", "linux-headers-amd64"):
        assert words in text
    facts = host("1db1", "2901")
    assert "IMPOSSIBLE" in "\n".join(driver_plan.plan_lines(driver_plan.driver_plan(facts, WISHES), facts))


def test_preferences_pin_the_closure_and_block_mixing() -> None:
    """One version, one source; the container toolkit and CUDA stay free."""
    text = driver_plan.preferences(
        plan("1eb8", settings={"source": "distro"}), "535.309.01-0+deb12u1", "https://vendor.example/cuda", ["libcuda1"]
    )
    assert "535\\.309\\.01" in text
    assert "origin vendor.example\nPin-Priority: -1" in text
    vendor = driver_plan.preferences(
        plan("1eb8"), "580.95.05-1", "https://vendor.example/cuda", ["libcuda1", "nvidia-smi"]
    )
    assert "release o=Debian\nPin-Priority: -1" in vendor
    assert "nvidia-smi" in vendor.split("Pin:")[0].split()
    assert "*" not in vendor.split("Pin:")[0]
    for free in (
        "nvidia-container-toolkit",
        "nvidia-cuda-toolkit",
        "cuda-toolkit-13-0",
        "nvidia-openjdk-8-jre",
        "firmware-nvidia-graphics",
    ):
        assert free not in driver_offers.DRIVER_NAMES
        assert not any(fnmatch.fnmatch(free, glob) for glob in driver_offers.DRIVER_GLOBS)


def test_repository_is_found_for_every_system() -> None:
    """Directories as NVIDIA names them."""
    found = driver_plan.repository(
        {"id": "ubuntu", "version": "24.04", "machine": "aarch64"}, "https://vendor.example/repos/"
    )
    assert found["url"] == "https://vendor.example/repos/ubuntu2404/sbsa"
    assert len(found["sha256"]) == 64
