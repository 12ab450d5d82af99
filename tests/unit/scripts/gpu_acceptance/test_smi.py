# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia-smi's XML is read where NVML's library is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.gpu_acceptance import hardware, main, nvml, smi
from scripts.gpu_acceptance.report import FAILED, NOT_SUPPORTED

ANSWER = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
 <driver_version>580.95.05</driver_version>
 <cuda_version>13.0</cuda_version>
 <gpu id="00000000:01:00.0">
  <product_name>NVIDIA A100-SXM4-40GB</product_name>
  <uuid>GPU-1</uuid>
  <minor_number>0</minor_number>
  <mig_mode><current_mig>Disabled</current_mig></mig_mode>
  <pci><pci_gpu_link_info>
   <pcie_gen><max_link_gen>4</max_link_gen><current_link_gen>1</current_link_gen></pcie_gen>
   <link_widths><max_link_width>16x</max_link_width><current_link_width>8x</current_link_width></link_widths>
  </pci_gpu_link_info></pci>
  <fb_memory_usage><total>40960 MiB</total></fb_memory_usage>
  <ecc_mode><current_ecc>Enabled</current_ecc></ecc_mode>
  <ecc_errors><volatile><dram_uncorrectable>0</dram_uncorrectable></volatile></ecc_errors>
  <remapped_rows><remapped_row_pending>Yes</remapped_row_pending></remapped_rows>
  <temperature><gpu_temp>33 C</gpu_temp></temperature>
  <clocks_event_reasons>
   <clocks_event_reason_gpu_idle>Active</clocks_event_reason_gpu_idle>
   <clocks_event_reason_hw_slowdown>Not Active</clocks_event_reason_hw_slowdown>
  </clocks_event_reasons>
 </gpu>
 <gpu id="00000000:02:00.0">
  <product_name>NVIDIA GeForce RTX 3090</product_name>
  <mig_mode><current_mig>N/A</current_mig></mig_mode>
  <ecc_mode><current_ecc>N/A</current_ecc></ecc_mode>
 </gpu>
</nvidia_smi_log>
"""


def program(directory: Path, text: str, code: int = 0) -> Path:
    """Write a stand-in for nvidia-smi that prints a text and ends with a code."""
    (directory / "answer").write_text(text, encoding="utf-8")
    path = directory / "nvidia-smi"
    path.write_text(f"#!/bin/sh\ncat {directory}/answer\nexit {code}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_answer_has_the_same_facts_as_nvml(tmp_path: Path) -> None:
    """A value that a card does not have ("N/A") is None, and the checks say so."""
    reading = smi.read(str(program(tmp_path, ANSWER)))
    assert (reading.error, reading.driver, reading.cuda) == ("", "580.95.05", "13.0")
    first, second = reading.gpus
    assert (first.memory_bytes, first.mig, first.ecc, first.ecc_uncorrected) == (40 * 2**30, False, True, 0)
    assert (first.pcie_width, first.pcie_width_max, first.throttle, first.temperature) == (8, 16, ["idle"], 33)
    assert (first.remap_pending, first.remap_failed) == (True, None)
    assert (second.mig, second.ecc, second.memory_bytes, second.throttle) == (None, None, None, None)
    checks = {each["name"]: each for each in hardware.checks(reading, 2)}
    assert checks["hardware.pcie"]["status"] == FAILED
    assert "restart the host" in checks["hardware.ecc"]["reason"]
    assert checks["hardware.topology"]["status"] == NOT_SUPPORTED


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.",
            9,
            "exit code 9: NVIDIA-SMI",
        ),
        ("Failed to initialize NVML: Driver/library version mismatch", 18, "Driver/library version mismatch"),
        ("Unable to determine the device handle for GPU: GPU is lost.", 15, "GPU is lost"),
        ("no xml", 0, "printed no XML"),
    ],
)
def test_failure_is_repeated_with_its_reason(tmp_path: Path, text: str, code: int, words: str) -> None:
    """No driver, other versions, a lost GPU."""
    assert words in smi.read(str(program(tmp_path, text, code))).error


def test_missing_program_is_named(tmp_path: Path) -> None:
    """A host without a driver."""
    assert "could not be started" in smi.read(str(tmp_path / "nvidia-smi")).error


def test_nvidia_smi_is_the_second_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where NVML's library cannot be loaded, and only if it works; else NVML's reason stays."""
    monkeypatch.setattr(nvml, "LIBRARY", "/nowhere/libnvidia-ml.so.1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, ANSWER)
    assert main.read_gpus().reader == "nvidia-smi"
    program(tmp_path, "failed", 9)
    assert "libnvidia-ml.so.1 is missing" in main.read_gpus().error
