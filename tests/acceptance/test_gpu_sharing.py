# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU sharing: nothing on a host without a GPU, and access only for users who hold one elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.expected import Expected

FILES = ("/opt/gpulab/gpud", "/etc/gpulab/gpu.json", "/etc/systemd/system/gpulab-gpud.service")


def shared(host: Any, expected: Expected) -> bool:
    """Return whether the host has GPUs that are shared."""
    return expected.gpu_sharing != "none" and host.run("ls /dev/nvidia[0-9]*").rc == 0


def test_host_without_shared_gpus_has_no_broker(host: Any, expected: Expected) -> None:
    """No file, no unit, and a message from the commands."""
    if shared(host, expected):
        pytest.skip("the GPUs of this host are shared: it has a broker")
    assert [path for path in FILES if host.file(path).exists] == []
    assert not host.service("gpulab-gpud").is_running
    answer = host.run("runuser -u %s -- gpulab top", expected.present[0])
    assert answer.rc == 1
    assert "this host shares no GPUs" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_user_without_a_grant_cannot_open_a_gpu(host: Any, expected: Expected) -> None:
    """The broker runs, and the kernel checks the user."""
    if not shared(host, expected):
        pytest.skip("no GPU of this host is shared: access was not tested")
    service = host.service("gpulab-gpud")
    assert service.is_running
    assert service.is_enabled
    user = expected.present[0]
    if "You hold no GPU" not in host.check_output("runuser -u %s -- gpulab gpu list", user):
        pytest.skip(f"{user} holds GPUs, which are not taken away for a test")
    node = host.check_output("ls /dev/nvidia[0-9]*").split()[0]
    assert "Permission denied" in host.run("runuser -u %s -- dd if=%s count=0", user, node).stderr
