"""Which frameworks a host gets: a table of hosts, each with what it gets or why it gets nothing."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils import framework_profiles as profiles
from ansible_collections.gpulab.core.plugins.module_utils.gpu_models import MODELS

NEW, OLD = "580.95.05", "535.183.01"
SPLIT = ["tensorflow-cu12", "torch-cu13"]


def cards(*models: str) -> list[dict[str, str]]:
    """Give GPUs as gpu_info does."""
    return [{"address": "0000:01:00.0", "device_id": "ffff", "model": model} for model in models]


def chosen(found: dict[str, Any]) -> list[str]:
    """Give the profiles of a plan; fail where it was rejected."""
    assert found["rejection"] == ""
    return [each["profile"] for each in found["environments"]]


@pytest.mark.parametrize(
    ("models", "driver", "layout", "wanted"),
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
def test_host_gets_what_fits(models: list[str], driver: str, layout: str, wanted: list[str]) -> None:
    """The newest set in which every framework works on every GPU, else an older one, else the CPU builds."""
    assert chosen(profiles.plan(cards(*models), driver, layout)) == wanted


@pytest.mark.parametrize(
    ("models", "driver", "layout", "words"),
    [
        ([], "", "split", "the host has no NVIDIA GPU"),
        (["T4"], "", "unified", "no NVIDIA driver is loaded"),
        (["T4"], OLD, "split", f"CUDA 13 wants driver 580 or newer, and the host has {OLD}"),
        (["V100"], NEW, "split", "its cuDNN knows no GPU before Turing"),
        (["B200"], NEW, "split", "TensorFlow has been released for no GPU newer than Hopper"),
        (["B200"], NEW, "unified", "the host has B200 (compute capability 10.0)"),
        (["K80"], NEW, "unified", "TensorFlow knows no GPU before Pascal"),
        (["T4"], "520.61.05", "unified", "CUDA 12 wants driver 525.60.13"),
        (["unknown"], NEW, "auto", "frameworks_capability"),
    ],
)
def test_what_cannot_work_is_rejected_with_the_reason(models: list[str], driver: str, layout: str, words: str) -> None:
    """A layout that somebody asked for is never replaced by another one."""
    found = profiles.plan(cards(*models), driver, layout)
    assert words in found["rejection"]
    assert found["environments"] == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"python": "3.14"}, "Python 3.10, 3.11, 3.12, 3.13 and not for 3.14"),
        ({"machine": "aarch64"}, "x86_64 and not for aarch64"),
        ({"profiles": ["torch-cu14"]}, "there is no profile torch-cu14: there are torch-cu13"),
        ({"profiles": ["torch-cu13"], "driver": OLD}, "wants driver 580"),
        ({"layout": "split", "gpu": "none"}, 'gpulab_gpu is "none"'),
    ],
)
def test_other_rejections_name_the_reason(arguments: dict[str, Any], words: str) -> None:
    """Interpreter, processor, profile by name, and a GPU that is not to be used."""
    assert words in profiles.plan(**{"gpus": cards("T4"), "driver": NEW, **arguments})["rejection"]


def test_gpu_that_is_left_alone_leaves_the_cpu_builds() -> None:
    """gpulab_gpu none: nobody asks what the GPU could do."""
    assert chosen(profiles.plan(cards("unknown"), NEW, gpu="none")) == ["cpu"]


def test_unknown_gpu_is_used_once_its_capability_is_said() -> None:
    """A card that is in no table, as a desktop card, works like any other of its generation."""
    assert chosen(profiles.plan(cards("unknown"), NEW, capability="8.9")) == SPLIT


def test_what_depends_on_a_driver_that_comes_later_is_not_rejected_early() -> None:
    """The driver's role may run between the preflight and the installation."""
    assert chosen(profiles.plan(cards("T4"), "", "split", settled=False)) == SPLIT
    assert profiles.plan(cards("B200"), "", "split", settled=False)["rejection"]


def test_image_can_be_made_on_a_machine_without_a_gpu() -> None:
    """Profiles that are named are installed where there is no GPU to judge them by."""
    assert chosen(profiles.plan([], "", profiles=["tensorflow-cu12"])) == ["tensorflow-cu12"]


def test_second_choice_says_why() -> None:
    """Somebody who expects the newest PyTorch, or TensorFlow on the GPU, is told what stands in the way."""
    assert "wants driver 580" in profiles.plan(cards("T4"), OLD)["notes"][0]
    assert "newer than Hopper" in profiles.plan(cards("B200"), NEW)["notes"][0]
    assert "no NVIDIA driver is loaded" in profiles.plan(cards("T4"), "")["notes"][0]
    assert profiles.plan(cards("T4"), NEW)["notes"] == ()
    assert profiles.plan([], "")["notes"] == ()


def test_first_environment_holds_tensorflow_for_r() -> None:
    """R is bound to the environment with the plain name, whatever the layout."""
    for model, layout in product([None, *MODELS], ("auto", "cpu")):
        found = profiles.plan(cards(model.name) if model else [], NEW, layout)
        first = profiles.BY_NAME[found["environments"][0]["profile"]]
        assert "tensorflow" in first.on_gpu + first.on_cpu
        assert found["environments"][0]["suffix"] == ""


def test_every_model_of_the_table_gets_something() -> None:
    """No card that the driver's role carries is left without frameworks."""
    for model in MODELS:
        assert chosen(profiles.plan(cards(model.name), NEW))
