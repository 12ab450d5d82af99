# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of an environment: a full disk, a rollback, and a process that still uses the old release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab

ROOT = "/opt/gpulab/envs/small"
LOCKS = Path(__file__).parent / "locks"


def install(lab: Lab, name: str, keep: int = 1) -> tuple[int, str]:
    """Install a lock of the tests and return the exit code and the output."""
    options = f"path={ROOT} lock={LOCKS / name}.txt keep={keep}"
    done = lab.ansible("ansible", lab.host, "-m", "gpulab.core.locked_environment", "-a", options)
    return done.returncode, done.stdout


@pytest.fixture(scope="module", autouse=True)
def small(lab: Lab) -> Iterator[None]:
    """Give the environment a file system of its own, with space for one release and not for a large one."""
    lab.shell(f"mkdir -p {ROOT} && mount -t tmpfs -o size=30m tmpfs {ROOT}")
    yield
    lab.shell("systemctl stop small-user 2>/dev/null || :")
    lab.shell(f"umount {ROOT} && rmdir {ROOT}")


def version(lab: Lab, package: str) -> str:
    """Return the version of a package in the current release."""
    code = f'from importlib.metadata import version; print(version(\\"{package}\\"))'
    return lab.shell(f'{ROOT}/current/bin/python -c "{code}"').strip().splitlines()[-1].rpartition("(stdout) ")[2]


def test_full_disk_leaves_the_old_release_working_and_a_rerun_repairs(lab: Lab) -> None:
    """The message says so; no incomplete release uses the space; with more space the same run succeeds."""
    assert install(lab, "first")[0] == 0
    code, output = install(lab, "large")
    assert code != 0
    assert "The disk is full" in output
    assert "Traceback" not in output
    assert version(lab, "six") == "1.16.0"
    assert lab.shell(f"ls {ROOT}/releases | wc -l").strip().endswith("1")
    lab.shell(f"mount -o remount,size=400m {ROOT}")
    assert install(lab, "large")[0] == 0
    assert version(lab, "numpy") == "2.2.6"


def test_all_environments_share_the_download_cache(lab: Lab) -> None:
    """Without a network another environment is installed from the first one's downloads, not with an empty cache."""
    path = "/opt/gpulab/envs/other"
    lab.shell("echo UV_OFFLINE=1 > /run/offline.env")
    options = f"path={path} lock={LOCKS / 'first.txt'} sources_file=/run/offline.env"
    alone = lab.ansible(
        "ansible", lab.host, "-m", "gpulab.core.locked_environment", "-a", f"{options} cache=/run/cache"
    )
    assert alone.returncode != 0
    shared = lab.ansible("ansible", lab.host, "-m", "gpulab.core.locked_environment", "-a", options)
    assert shared.returncode == 0, shared.stdout
    lab.shell(f"test -e {path}/current && rm -rf {path} /run/cache /run/offline.env")


def test_rollback_is_one_command(lab: Lab) -> None:
    """The previous release is current at once."""
    assert "Permission denied" in lab.shell("runuser -u nobody -- gpulab rollback small 2>&1 || :")
    lab.shell("gpulab rollback small")
    assert version(lab, "six") == "1.16.0"
    lab.shell("gpulab rollback small")
    assert version(lab, "numpy") == "2.2.6"


def test_release_in_use_is_not_removed(lab: Lab) -> None:
    """With keep=0 an old release is removed, but not while a process that started in it runs."""
    lab.shell(
        f"systemd-run --quiet --collect --unit=small-user {ROOT}/current/bin/python -c 'import time; time.sleep(600)'"
    )
    assert install(lab, "first", keep=0)[0] == 0
    assert lab.shell(f"ls {ROOT}/releases | wc -l").strip().endswith("2")
    lab.shell("systemctl stop small-user")
    assert install(lab, "second", keep=0)[0] == 0
    assert lab.shell(f"ls {ROOT}/releases | wc -l").strip().endswith("1")
