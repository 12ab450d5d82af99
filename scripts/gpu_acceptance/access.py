# SPDX-License-Identifier: GPL-3.0-or-later
"""Two users, one with and one without access to the GPUs' device nodes, by POSIX ACLs as udev's `uaccess` sets them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import shutil
import stat
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import running
from .context import Context
from .report import FAILED, NOT_SUPPORTED, PASSED, REAL, SKIPPED, Check, check
from .running import Child, SkippedError, StepError, UnsupportedError, User

NAME, KEPT = "access.two_users", "access.nvidia_modprobe"
ACL = "system.posix_acl_access"
READ_WRITE = 6
MODE = 0o660
GUARD_SECONDS = 20.0
BROKER = "run/gpulab/gpu.sock"
"""Where it exists, it sets the ACLs itself, and ends users' programs without a grant."""


def acl(users: Sequence[int]) -> bytes:
    """Return an access ACL: read and write for owner, group and these users, nothing for others.

    Layout: version 2, then tag, permissions and id of each entry (linux/posix_acl_xattr.h).
    """
    no_id = 0xFFFFFFFF
    rows = [(0x01, READ_WRITE, no_id), *((0x02, READ_WRITE, uid) for uid in sorted(users)), (0x04, READ_WRITE, no_id)]
    rows += [(0x10, READ_WRITE, no_id), (0x20, 0, no_id)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def current_acl(path: Path) -> bytes | None:
    """Return the access ACL of a file, None without one."""
    try:
        return os.getxattr(path, ACL)
    except OSError:
        return None


def grant(path: Path, users: Sequence[int]) -> None:
    """Let these users open a file, and no others but its owner and group."""
    try:
        os.setxattr(path, ACL, acl(users))
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
            raise UnsupportedError(f"the file system of {path} has no ACLs") from error
        raise StepError(f"{path}: {error.strerror}") from error


@contextmanager
def kept(paths: Sequence[Path]) -> Iterator[None]:
    """Put back modes and ACLs of files at the end of the block, also when this process is killed.

    A process of its own does it as soon as its standard input ends. Raises StepError when a file could not be put back.
    """
    entries = [
        (str(path), stat.S_IMODE(path.stat().st_mode), (current_acl(path) or b"").hex() or None) for path in paths
    ]
    guard = Child(running.program(sys.executable, "restore_nodes.py"))
    try:
        guard.send(json.dumps(entries) + "\n")
        guard.json(GUARD_SECONDS)
        yield
    finally:
        guard.end_input()
        try:
            problems = guard.json(GUARD_SECONDS)["problems"]
        finally:
            guard.kill()
    problems += [
        f"{path} must have mode {mode:04o}"
        for path, mode, _ in entries
        if not problems and stat.S_IMODE(Path(path).stat().st_mode) != mode
    ]
    if problems:
        raise StepError(f"device nodes were not put back: {'; '.join(problems)}")


def unused_uids(count: int) -> list[int]:
    """Return user ids that no account has."""
    result: list[int] = []
    for uid in range(64990, 60000, -1):
        try:
            pwd.getpwuid(uid)
        except KeyError:
            result.append(uid)
        if len(result) == count:
            return result
    raise StepError("no free user ids below 64990")


def nodes(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the nodes of the GPUs, and those that every program with a GPU opens."""
    gpus = sorted(path for path in (root / "dev").glob("nvidia[0-9]*") if path.name[6:].isdigit())
    shared = [root / "dev" / name for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")]
    return gpus, [path for path in shared if path.exists()]


def two_users(context: Context) -> list[Check]:
    """Return whether access to the GPUs follows ACL entries at once, and whether nvidia-modprobe leaves them alone."""
    reason = context.without_gpu() or ("" if os.geteuid() == 0 else "it changes device nodes and needs root")
    gpus, shared = nodes(context.root)
    if not reason and not gpus:
        reason = "the GPUs have no device nodes of their own here"
    if not reason and (context.root / BROKER).exists():
        reason = (
            "the broker of the role gpu_sharing grants the device nodes to users; molecule's scenario sharing tests it"
        )
    if not reason and context.mig:
        reason = "MIG is on: the nodes of its instances (/dev/nvidia-caps) are not part of this check"
    if reason:
        return [check(name, SKIPPED, reason, context.tier) for name in (NAME, KEPT)]
    one, other = unused_uids(2)
    try:
        with kept([*gpus, *shared]):
            for path in shared:
                path.chmod(MODE)
                grant(path, [one, other])
            return grants(context, gpus, one, other)
    except UnsupportedError as error:
        return [check(name, NOT_SUPPORTED, f"not supported here: {error}", context.tier) for name in (NAME, KEPT)]


def grants(context: Context, gpus: Sequence[Path], one: int, other: int) -> list[Check]:
    """Grant the GPUs to one user, then to the other, and return the verdicts."""
    python = python_for(one)
    seen: dict[str, int] = {}
    words: dict[str, str] = {}
    for turn, (user, rest) in enumerate(((one, other), (other, one)), start=1):
        for path in gpus:
            path.chmod(MODE)
            grant(path, [user])
        for title, uid in ((f"with access, turn {turn}", user), (f"without access, turn {turn}", rest)):
            answer = devices(context, python, uid)
            seen[title], words[title] = int(answer["count"]), str(answer.get("error", ""))
    return [verdict(seen, words, len(gpus)), modprobe(gpus, other)]


def python_for(uid: int) -> str:
    """Return a Python that a user may start: this one may be in a private directory."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        with contextlib.suppress(StepError):
            if running.run([python, "-c", "pass"], 30, user=User(uid, uid)).returncode == 0:
                return python
    raise SkippedError(f"other users may not start {sys.executable}, and there is no other Python")


def devices(context: Context, python: str, uid: int) -> dict[str, Any]:
    """Return the GPUs that a user can compute on."""
    answer = context.run(python, "cuda_devices.py", limit=60, user=User(uid, uid))
    answer["count"] = sum(bool(each["intact"]) for each in answer["devices"])
    return answer


def verdict(seen: Mapping[str, int], words: Mapping[str, str], expected: int) -> Check:
    """Return whether users saw GPUs exactly while they had access."""
    wrong = []
    for title, count in seen.items():
        has = title.startswith("with access")
        if has and count != expected:
            wrong.append(f"the user {title} computes on {count} of {expected} GPUs {words[title]}".strip())
        if not has and count:
            wrong.append(f"the user {title} computes on {count} GPUs")
    if wrong:
        return check(NAME, FAILED, "; ".join(wrong), REAL)
    reason = (
        "an ACL entry on the device nodes (mode 0660) decides: the user with it computes on every GPU, the one without"
    )
    return check(NAME, PASSED, f"{reason} sees none, and it was granted and revoked without a restart", REAL)


def modprobe(gpus: Sequence[Path], user: int) -> Check:
    """Return whether nvidia-modprobe, which any user may start, leaves modes and ACLs as they are."""
    program = shutil.which("nvidia-modprobe")
    if not program:
        return check(KEPT, SKIPPED, "nvidia-modprobe is not installed", REAL)
    before = [(stat.S_IMODE(path.stat().st_mode), current_acl(path)) for path in gpus]
    done = running.run([program, "-c", "0", "-u"], 30, user=User(user, user))
    after = [(stat.S_IMODE(path.stat().st_mode), current_acl(path)) for path in gpus]
    if before == after:
        return check(KEPT, PASSED, f"it leaves the entries alone (exit code {done.returncode})", REAL)
    changed = ", ".join(
        f"{path} has mode {state[0]:04o} now" for path, state in [(gpus[i], after[i]) for i in range(len(gpus))]
    )
    fix = "Load the module with NVreg_DeviceFileMode=0660 or NVreg_ModifyDeviceFiles=0 (role nvidia_driver)."
    return check(KEPT, FAILED, f"it resets the device nodes: {changed}. {fix}", REAL)
