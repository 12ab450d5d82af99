# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the GPUs from `nvidia-smi -q -x`, where NVML's library cannot be loaded, as from a container's other root."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .gpus import Gpu, Reading
from .running import StepError, last_line, run

SECONDS = 30.0
"""Time limit: nvidia-smi hangs on a GPU that has failed."""
TYPES = {
    "sw_power_cap": "power limit",
    "hw_slowdown": "hardware slowdown",
    "sync_boost": "synchronised boost",
    "sw_thermal_slowdown": "temperature, by software",
    "hw_thermal_slowdown": "temperature, by hardware",
    "hw_power_brake_slowdown": "power brake of the host",
    "gpu_idle": "idle",
    "applications_clocks_setting": "clocks set by an administrator",
}
"""Elements below clocks_event_reasons (once clocks_throttle_reasons), without their prefix, in the words of `gpus`."""


def _number(element: ElementTree.Element, path: str) -> int | None:
    """Return the first number of an element's text, None where it has none ("N/A")."""
    match = re.search(r"\d+", element.findtext(path) or "")
    return int(match[0]) if match else None


def _switch(element: ElementTree.Element, path: str) -> bool | None:
    """Return whether a text is Enabled or Yes, None where it is neither that nor its opposite."""
    return {"enabled": True, "yes": True, "disabled": False, "no": False}.get((element.findtext(path) or "").lower())


def _throttle(element: ElementTree.Element) -> list[str] | None:
    """Return the active reasons that hold clocks down."""
    for name in ("clocks_event_reasons", "clocks_throttle_reasons"):
        parent = element.find(name)
        if parent is not None:
            active = [re.sub(f"^{name[:-1]}_", "", each.tag) for each in parent if each.text == "Active"]
            return [TYPES.get(tag, tag.replace("_", " ")) for tag in active]
    return None


def parse(text: str) -> Reading:
    """Return the GPUs of an answer of nvidia-smi; raise ValueError when it is not one."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # the driver's own program wrote it
    except ElementTree.ParseError as error:
        raise ValueError(f"nvidia-smi -q -x printed no XML: {error}") from error
    reading = Reading(
        "nvidia-smi", driver=root.findtext("driver_version") or "", cuda=root.findtext("cuda_version") or ""
    )
    for index, element in enumerate(root.iter("gpu")):
        memory = _number(element, "fb_memory_usage/total")
        link = "pci/pci_gpu_link_info"
        reading.gpus.append(
            Gpu(
                index,
                name=element.findtext("product_name") or "",
                uuid=element.findtext("uuid") or "",
                bus_id=(element.get("id") or "").lower(),
                minor=_number(element, "minor_number"),
                memory_bytes=None if memory is None else memory * 2**20,
                mig=_switch(element, "mig_mode/current_mig"),
                ecc=_switch(element, "ecc_mode/current_ecc"),
                ecc_uncorrected=_number(element, "ecc_errors/volatile/dram_uncorrectable"),
                remap_pending=_switch(element, "remapped_rows/remapped_row_pending"),
                remap_failed=_switch(element, "remapped_rows/remapped_row_failure"),
                throttle=_throttle(element),
                pcie_width=_number(element, f"{link}/link_widths/current_link_width"),
                pcie_width_max=_number(element, f"{link}/link_widths/max_link_width"),
                pcie_generation=_number(element, f"{link}/pcie_gen/current_link_gen"),
                pcie_generation_max=_number(element, f"{link}/pcie_gen/max_link_gen"),
                temperature=_number(element, "temperature/gpu_temp"),
            )
        )
    return reading


def read(command: str = "nvidia-smi") -> Reading:
    """Return what nvidia-smi reads; `error` says why it reads nothing."""
    try:
        done = run([command, "-q", "-x"], SECONDS)
        if done.returncode:
            reason = last_line(done.stdout) or last_line(done.stderr)
            return Reading("nvidia-smi", error=f"nvidia-smi failed with exit code {done.returncode}: {reason}")
        return parse(done.stdout)
    except (StepError, ValueError) as error:
        return Reading("nvidia-smi", error=str(error))
