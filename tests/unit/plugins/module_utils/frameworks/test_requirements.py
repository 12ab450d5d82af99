# SPDX-License-Identifier: GPL-3.0-or-later
"""Lock files are read as the installers read them."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import one_requirement, pins

LOCK = """numpy==1.26.4 \\
    --hash=sha256:aa
torch==2.13.0+cpu ; python_version < '3.12' \\
    --hash=sha256:bb
uv==0.13.9 \\
    --hash=sha256:cc \\
    --hash=sha256:dd
zipp==1 \\
    --hash=sha256:ee
"""


def test_pins_are_read_from_a_lock() -> None:
    """Local versions and markers are part of real locks."""
    assert pins(LOCK) == {"numpy": "1.26.4", "torch": "2.13.0+cpu", "uv": "0.13.9", "zipp": "1"}


def test_one_requirement_has_all_its_hashes() -> None:
    """The first installer is checked by hash like all other packages."""
    assert one_requirement(LOCK, "uv").split() == ["uv==0.13.9", "\\", "--hash=sha256:cc", "\\", "--hash=sha256:dd"]
