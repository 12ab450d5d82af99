# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed is compared with the card's published figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.gpu_acceptance import speed
from scripts.gpu_acceptance.context import Context, Environment
from scripts.gpu_acceptance.report import FAILED, PASSED
from tests.unit.scripts.gpu_acceptance.conftest import gpu

ANSWER = {"name": "NVIDIA L4", "bf16": 90.0, "fp16": 90.0, "fp32": 20.0, "bandwidth": 250.0, "to_device": 20.0}


def load(*reasons: str) -> speed.Load:
    """Return what was seen under load."""
    result = speed.Load()
    result.add(gpu(pcie_generation=3, temperature=60, throttle=["idle"]))
    result.add(gpu(pcie_generation=1, temperature=70, throttle=list(reasons)))
    return result


def test_ratios_to_the_published_figures() -> None:
    """With what limited the card under load."""
    verdict = speed.verdict(ANSWER, speed.published("NVIDIA L4"), load("power limit"), mig=False)
    assert verdict["status"] == PASSED
    assert [each.get("ratio") for each in verdict["figures"]] == [0.744, 0.744, 0.66, 0.833, None]
    assert "PCIe generation 3 of 4, lower than it could be, at most 70 degrees Celsius" in verdict["reason"]
    assert "clocks limited by: power limit" in verdict["reason"]


def test_unknown_card_has_no_published_figure() -> None:
    """Nor has a part of a card."""
    for card, mig in ((speed.published("NVIDIA Tomorrow"), False), (speed.published("NVIDIA L4"), True)):
        verdict = speed.verdict(ANSWER, card, load(), mig=mig)
        assert verdict["status"] == PASSED
        assert "no published figure here" in verdict["reason"]
        assert all("ratio" not in each for each in verdict["figures"])


def test_card_far_below_its_figures_fails() -> None:
    """As one that is held down by heat."""
    card = speed.published("NVIDIA L4")
    slow = speed.verdict({**ANSWER, "fp32": 2.0}, card, load(), mig=False)
    assert slow["status"] == FAILED
    assert "matrix product in fp32 reaches 0.07 of the published figure" in slow["reason"]
    hot = speed.verdict(ANSWER, card, load("temperature, by hardware"), mig=False)
    assert "held down by: temperature, by hardware" in hot["reason"]
    assert hot["status"] == FAILED


def test_table_of_cards_is_complete() -> None:
    """Each card once, with its source; bf16 came with Ampere."""
    cards = json.loads(speed.CARDS.read_text(encoding="utf-8"))["cards"]
    names = [name for card in cards for name in card["names"]]
    assert len(names) == len(set(names)) > 20
    assert all(card["source"] and {"fp16", "fp32", "bandwidth"} < set(card) for card in cards)
    assert {name for card in cards if "bf16" not in card for name in card["names"]} == {
        name for name in names if any(old in name for old in ("T4", "V100", "P100"))
    }


def test_program_is_sampled_while_it_runs(
    context: Callable[..., Context], mocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mock reports a hot card; the stand-in for the program takes a second."""
    monkeypatch.setenv("GPULAB_MOCK_THROTTLE", "0x40")
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\nsleep 1\necho '{json.dumps(ANSWER)}'\n")
    path.chmod(0o755)
    (verdict,) = speed.measured(context(environments=[Environment("own", str(path), {"torch": "2.13.0"})]))
    assert verdict["status"] == FAILED
    assert "held down by: temperature, by hardware" in verdict["reason"]
    assert "PCIe generation 1 of 4" in verdict["reason"]


def test_epoch_that_is_hardly_faster_fails() -> None:
    """With the command that finds the reason."""
    assert speed.epoch_verdict([1.0, 30.0])["status"] == PASSED
    slow = speed.epoch_verdict([1.0, 1.5])
    assert slow["status"] == FAILED
    assert "1.5 times faster on the GPU. Run `gpulab doctor`" in slow["reason"]
