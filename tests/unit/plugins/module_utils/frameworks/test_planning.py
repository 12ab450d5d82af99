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
from ansible_collections.gpulab.core.plugins.module_utils.gpu.models import MODELS

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
        (["B200", "V100"], NEW, "auto", ["cpu"]),
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
