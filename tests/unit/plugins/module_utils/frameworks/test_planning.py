# SPDX-License-Identifier: GPL-3.0-or-later
"""The frameworks that a host gets, or the reason why it gets none."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.planning import plan
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.profiles import BY_NAME, PROFILES
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import DISPLAY_CARDS, MODELS

ROOT = Path(__file__).resolve().parents[5]
NEW, OLD = "580.95.05", "535.183.01"
SPLIT = ["tensorflow-cu12", "torch-cu13"]


def gpus(*models: str) -> list[dict[str, str]]:
    """Return GPUs as gpu_info does."""
    return [{"address": "0000:01:00.0", "device_id": "ffff", "model": model} for model in models]


def profiles(result: dict[str, Any]) -> list[str]:
    """Return the profiles of a plan; fail if it is rejected."""
    assert result["rejection"] == ""
    return [environment["profile"] for environment in result["environments"]]


@pytest.mark.parametrize(
    ("models", "driver", "layout", "expected"),
    [
        ([], "", "auto", ["cpu"]),
        ([], "", "cpu", ["cpu"]),
        (["T4"], NEW, "auto", SPLIT),
        (["L4", "L4"], NEW, "auto", SPLIT),
        (["H200"], NEW, "auto", SPLIT),
        (["A100-40GB"], NEW, "unified", ["one-cu12"]),
        (["A100-40GB"], NEW, "cpu", ["cpu"]),
        (["T4"], OLD, "auto", ["one-cu12"]),
        (["V100"], NEW, "auto", ["one-cu12"]),
        (["V100"], OLD, "auto", ["one-cu12"]),
        (["V100", "A100-80GB"], NEW, "auto", ["one-cu12"]),
        (["P100"], NEW, "auto", ["pascal-cu12"]),
        (["P4"], OLD, "unified", ["pascal-cu12"]),
        (["P100", "T4"], NEW, "auto", ["pascal-cu12"]),
        (["K80"], "470.256.02", "auto", ["cpu"]),
        (["B200"], NEW, "auto", ["cpu", "torch-cu13"]),
        (["RTX-PRO-6000"], NEW, "auto", ["cpu", "torch-cu13"]),
        (["H100", "B200"], NEW, "auto", ["cpu", "torch-cu13"]),
        (["B200", "V100"], NEW, "auto", ["cpu", "torch-cu13"]),
        (["B200", "V100", "V100"], NEW, "auto", ["one-cu12"]),
        (["K80", "A100-80GB"], NEW, "auto", SPLIT),
        (["K80", "P100", "RTX-4090"], NEW, "auto", ["pascal-cu12"]),
        (["K80", "B200"], NEW, "auto", ["cpu", "torch-cu13"]),
        (["K80", "B200"], NEW, "cpu", ["cpu"]),
        (["V100", "A100-80GB"], NEW, "split", SPLIT),
        (["T4"], "", "auto", ["cpu"]),
        (["T4"], "450.248.02", "auto", ["cpu"]),
    ],
)
def test_host_gets_what_fits(models: list[str], driver: str, layout: str, expected: list[str]) -> None:
    """The newest set in which every framework works on every GPU, else an older one, else the CPU builds."""
    assert profiles(plan(gpus(*models), driver, layout)) == expected


@pytest.mark.parametrize(
    ("models", "driver", "layout", "words"),
    [
        ([], "", "split", "the host has no NVIDIA GPU"),
        (["T4"], "", "unified", "no NVIDIA driver is loaded"),
        (["T4"], OLD, "split", f"CUDA 13 needs driver 580 or newer, and the host has {OLD}"),
        (["V100"], NEW, "split", "its cuDNN does not support GPUs before Turing"),
        (["B200"], NEW, "split", "no release of TensorFlow supports GPUs newer than Hopper"),
        (["B200"], NEW, "unified", "the host has B200 (compute capability 10.0)"),
        (["K80"], NEW, "unified", "TensorFlow does not support GPUs before Pascal"),
        (["T4"], "520.61.05", "unified", "CUDA 12 needs driver 525.60.13"),
        (["unknown"], NEW, "auto", "frameworks_capability"),
    ],
)
def test_layout_that_does_not_fit_is_rejected(models: list[str], driver: str, layout: str, words: str) -> None:
    """A requested layout is never replaced by another one."""
    result = plan(gpus(*models), driver, layout)
    assert words in result["rejection"]
    assert result["environments"] == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"python": "3.14"}, "Python 3.10, 3.11, 3.12, 3.13 and not for 3.14"),
        ({"machine": "aarch64"}, "x86_64 and not for aarch64"),
        ({"profiles": ["torch-cu14"]}, "torch-cu14 is unknown; choose from torch-cu13"),
        ({"profiles": ["torch-cu13"], "driver": OLD}, "needs driver 580"),
        ({"layout": "split", "gpu": "none"}, 'frameworks_gpu (gpulab_gpu) is "none"'),
        ({"capability": "eight"}, "frameworks_capability: 'eight' is not a compute capability such as 8.9"),
    ],
)
def test_other_rejections_name_the_reason(arguments: dict[str, Any], words: str) -> None:
    """Interpreter, processor, profile by name, compute capability, and a GPU that is not to be used."""
    assert words in plan(**{"gpus": gpus("T4"), "driver": NEW, **arguments})["rejection"]


def test_host_whose_gpus_are_ignored_gets_the_cpu_builds() -> None:
    """With gpulab_gpu none, the model of the GPU does not matter."""
    assert profiles(plan(gpus("unknown"), NEW, gpu="none")) == ["cpu"]


def test_unknown_gpu_is_used_with_its_capability() -> None:
    """A GPU that is not in the table, such as a desktop card, works like any other of its generation."""
    assert profiles(plan(gpus("unknown"), NEW, capability="8.9")) == SPLIT


def test_rules_of_the_driver_are_checked_once_it_is_settled() -> None:
    """The role nvidia_driver may run between preflight and installation."""
    assert profiles(plan(gpus("T4"), "", "split", settled=False)) == SPLIT
    assert plan(gpus("B200"), "", "split", settled=False)["rejection"]


def test_image_can_be_made_on_a_machine_without_a_gpu() -> None:
    """Profiles that are set by name are installed on a host without a GPU."""
    assert profiles(plan([], "", profiles=["tensorflow-cu12"])) == ["tensorflow-cu12"]


def test_second_choice_has_a_note_with_the_reason() -> None:
    """Users who expect the newest PyTorch, or TensorFlow on the GPU, can read why they do not get it."""
    assert "needs driver 580" in plan(gpus("T4"), OLD)["notes"][0]
    assert "newer than Hopper" in plan(gpus("B200"), NEW)["notes"][0]
    assert "no NVIDIA driver is loaded" in plan(gpus("T4"), "")["notes"][0]
    assert plan(gpus("T4"), NEW)["notes"] == ()
    assert plan([], "")["notes"] == ()


def test_first_environment_has_tensorflow_for_r() -> None:
    """R uses the environment without a suffix, whatever the layout."""
    for model, layout in product([None, *MODELS], ("auto", "cpu")):
        result = plan(gpus(model.name) if model else [], NEW, layout)
        first = BY_NAME[result["environments"][0]["profile"]]
        assert "tensorflow" in first.on_gpu + first.on_cpu
        assert result["environments"][0]["suffix"] == ""


def test_every_model_of_the_table_gets_frameworks() -> None:
    """Every GPU that the role nvidia_driver supports has a plan."""
    for model in MODELS:
        assert profiles(plan(gpus(model.name), NEW))


def test_role_offers_the_profiles_of_the_table() -> None:
    """The choices of the role option are the profiles that have locks."""
    spec = yaml.safe_load((ROOT / "roles/frameworks/meta/argument_specs.yml").read_text(encoding="utf-8"))
    choices = spec["argument_specs"]["main"]["options"]["frameworks_profiles"]["choices"]
    assert choices == [profile.name for profile in PROFILES]


DISPLAYS = ["1281", "128b", "1287", "1d01", "13bb", "1cb3", "1cb6", "1ff2", "1fb1", "1fb0", "0ff3"]


def with_displays(*device_ids: str, models: tuple[str, ...] = ("RTX-4090",)) -> list[dict[str, str]]:
    """Return GPUs with display cards, which gpu_info does not know, in front of them."""
    return [{"address": "x", "device_id": number, "model": "unknown"} for number in device_ids] + gpus(*models)


@pytest.mark.parametrize("device_id", DISPLAYS)
@pytest.mark.parametrize("capability", ["", "8.9", "6.1", "3.5"])
def test_display_card_is_left_out_by_name(device_id: str, capability: str) -> None:
    """The set is chosen for the cards that compute, whatever is set for cards that are not in the table."""
    result = plan(with_displays(device_id), NEW, capability=capability)
    assert profiles(result) == SPLIT
    assert len(result["notes"]) == 1
    assert "display card" in result["notes"][0]
    assert "10de" not in result["notes"][0]


def test_display_cards_are_named_once() -> None:
    """Two cards of one kind and one of another, next to an old and a new card."""
    result = plan(with_displays("128b", "128B", "1d01", models=("V100", "A100-80GB")), NEW)
    assert profiles(result) == ["one-cu12"]
    assert "display card GT-1030, GT-710," in result["notes"][0]


@pytest.mark.parametrize(
    ("device_id", "expected"), [("1ff2", SPLIT), ("1d01", ["pascal-cu12"]), ("13bb", ["cpu"]), ("128b", ["cpu"])]
)
def test_display_card_that_is_alone_computes_if_it_can(device_id: str, expected: list[str]) -> None:
    """A T400 does, a GT 710 does not."""
    assert profiles(plan(with_displays(device_id, models=()), NEW)) == expected


def test_display_card_computes_next_to_a_card_that_cannot() -> None:
    """A T1000 next to a K80, which no set supports."""
    result = plan(with_displays("1ff0", models=("K80",)), NEW)
    assert profiles(result) == SPLIT
    assert "do not support K80 (compute capability 3.7): they run on T1000-or-DGX-Display only" in result["notes"][0]


def test_unknown_card_next_to_known_ones_is_named() -> None:
    """The remedy for a card that computes is in the note; alone it is rejected."""
    result = plan(with_displays("3f00"), NEW)
    assert profiles(result) == SPLIT
    assert "10de:3f00 is not in the table" in result["notes"][0]
    assert "frameworks_capability" in result["notes"][0]


def test_cards_without_support_are_named_in_a_note() -> None:
    """Never the CPU builds for all."""
    note = plan(gpus("K80", "A100-80GB"), NEW)["notes"][0]
    assert "do not support K80 (compute capability 3.7): they run on A100-80GB only" in note


def test_ids_of_display_cards_are_in_one_table_only() -> None:
    """A card of the table of GPUs is never left out."""
    ids = [number for model in MODELS for number in model.pci_ids]
    ids += [number for card in DISPLAY_CARDS for number in card.pci_ids]
    assert len(ids) == len(set(ids))
