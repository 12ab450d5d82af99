# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs from NVML (its mock) and from device nodes, and the configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gpulab_gpud import cards, config

from tests.support.nvml import build

VALUES: dict[str, Any] = {
    "policy": "timeslice", "slots": 2, "hold_seconds": 60, "confirmation_seconds": 60, "user_slots": 0, "groups": {},
    "users_group": "users", "admin_group": "admins", "delegates": [], "devices": [],
}  # fmt: skip
READ = """
import json, sys
from pathlib import Path
from gpulab_gpud.cards import NvmlCards, Unreadable
try:
    found = NvmlCards(pci=Path(sys.argv[1])).read()
    print(json.dumps([[card.uuid, card.name, [str(node) for node in card.nodes], card.problem] for card in found]))
except Unreadable as error:
    print(json.dumps(str(error)))
"""


def read(directory: Path, **variables: str) -> Any:
    """Return what a process reads from the NVML in a directory."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(directory),
        "PYTHONPATH": os.pathsep.join(sys.path),
        **variables,
    }
    argv = [sys.executable, "-c", READ, str(directory / "pci")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the mock of NVML."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc, with which the mock is built")
    directory = tmp_path_factory.mktemp("nvml")
    build.build(Path(sys.executable), directory)
    return directory


def test_gpus_of_nvml_have_uuid_name_and_nodes(mock: Path) -> None:
    """The render node is that of the same card, by its address on the bus."""
    found = read(mock)
    address = "0000:00:04.0"
    assert [item[2] for item in found] == [["/dev/nvidia0"], ["/dev/nvidia1"]]
    assert all("(MOCK)" in item[1] and item[0].startswith("GPU-") and item[3] == "" for item in found)
    assert len({item[0] for item in found}) == 2
    node = mock / "pci" / address / "drm" / "renderD128"
    node.mkdir(parents=True)
    assert cards.NvmlCards(pci=mock / "pci").render_nodes("00000000:00:04.0") == [Path("/dev/dri/renderD128")]


def test_lost_gpu_has_a_problem_and_the_others_have_none(mock: Path) -> None:
    """NVML's own words are in it."""
    found = read(mock, GPULAB_MOCK_SILENT="0")
    assert "does not answer" in found[0][3]
    assert "restart the host" in found[0][3]
    assert found[1][3] == ""


def test_gpu_that_the_driver_has_lost_is_missing(mock: Path) -> None:
    """As one that has fallen off the bus; the broker takes it out of service."""
    assert [item[2] for item in read(mock, GPULAB_MOCK_LOST="0")] == [["/dev/nvidia1"]]


def test_host_without_a_driver_is_unreadable(tmp_path: Path) -> None:
    """Not a host without GPUs: what was known stays."""
    assert "driver does not answer" in read(tmp_path)


def test_missing_test_node_is_a_lost_gpu(tmp_path: Path) -> None:
    """It keeps its place."""
    (tmp_path / "nvidia1").touch()
    (tmp_path / "nvidiactl").touch()
    source = cards.source([str(tmp_path / "nvidia0"), str(tmp_path / "nvidia1")])
    assert [card.problem for card in source.read()] == ["its node is missing", ""]
    assert source.common() == [tmp_path / "nvidiactl"]


@pytest.mark.parametrize(
    "change",
    [
        {"policy": "mig"}, {"policy": "exclusive"}, {"slots": 0}, {"slots": "2"}, {"hold_seconds": -1}, {"further": 1},
        {"groups": {"a": {"slot": 1}}}, {"groups": {"a": {"slots": -1}}}, {"groups": []},
        {"confirmation_seconds": True},
    ],
)  # fmt: skip
def test_wrong_configuration_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    """With the file, before the broker starts."""
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps({**VALUES, **change}))
    with pytest.raises(config.Invalid, match=r"gpu\.json cannot be used"):
        config.read(path)
    path.write_text(json.dumps(VALUES))
    assert config.read(path).policy.slots == 2


@pytest.mark.parametrize(
    ("text", "opens"), [("DeviceFileMode: 432\n", False), ("DeviceFileMode: 438\n", True), (None, False)]
)
def test_driver_that_opens_its_nodes_is_recognised(tmp_path: Path, text: str | None, opens: bool) -> None:
    """By the mode that it was loaded with; a host without a driver has none."""
    path = tmp_path / "params"
    if text is not None:
        path.write_text(text)
    assert cards.opens_nodes(path) is opens
