# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: run all checks within a time limit, and write the report after each.

Exit codes: 0 every check passed, was skipped with its reason or is not supported here; 1 a check failed; 2 wrong
arguments, or the report cannot be written; 143 stopped by a signal, with the report up to that moment.
"""

from __future__ import annotations

import argparse
import os
import platform
import pwd
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from . import access, compute, driver, hardware, nvml, page, parking, report, sharing, smi, speed
from .context import Context
from .gpus import Reading
from .report import Check, Report
from .running import PROGRAMS, SkippedError, StepError, UnsupportedError, User

LIMIT = 480
"""Seconds of a whole run on one GPU."""
ENVIRONMENTS = Path("/opt/gpulab/envs")
STOPPED = 143
NOT_TESTED = [
    "GPUs other than the first in speed, sharing and parking; work on several GPUs at once (NCCL)",
    "changes of MIG, clocks, power limits and ECC, and a reset: this program changes no setting of a GPU",
    "faults that appear only after hours of load: use a burn-in test such as NVIDIA's dcgmi diag",
    "real training to a known accuracy, and files that are read as fast as a GPU computes",
    "the hub, logins and user sessions: `make verify` tests them",
]


@dataclass(frozen=True)
class Step:
    """A part of the run: its name in the report where it fails as a whole, and the least seconds that it needs."""

    name: str
    run: Callable[[Context], list[Check]]
    least: float = 5.0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = argparse.ArgumentParser(
        prog="gpu_acceptance",
        description="Prove a GPU host: read hardware and driver, compute on the GPUs, write report.json and report.md.",
        epilog="Exit code: 0 nothing failed, 1 a check failed, 2 wrong arguments. Changes no setting of a GPU.",
    )
    options.add_argument("out", type=Path, help="directory for the report")
    options.add_argument(
        "--limit", type=float, default=LIMIT, metavar="SECONDS", help=f"time limit of the whole run (default: {LIMIT})"
    )
    options.add_argument(
        "--python", action="append", default=[], help="also check the frameworks of this interpreter; can be repeated"
    )
    options.add_argument(
        "--environments", type=Path, default=ENVIRONMENTS, help=f"directory of the lab's environments ({ENVIRONMENTS})"
    )
    options.add_argument("--user", default="", help="compute as this user (as root only)")
    options.add_argument(
        "--park", type=float, default=10.0, metavar="GIB", help="memory of the process to park (default: 10; 0: none)"
    )
    options.add_argument(
        "--plan",
        action="append",
        default=[],
        metavar="LINE",
        help="line of the driver plan (role nvidia_driver); can be repeated",
    )
    options.add_argument("--expect", type=int, default=0, metavar="GPUS", help="number of GPUs that must answer")
    options.add_argument("--root", type=Path, default=Path("/"), help="root directory of the host's files, for tests")
    options.add_argument("--only", action="append", default=[], metavar="NAME", help="only checks whose name begins so")
    options.add_argument("--quiet", action="store_true", help="print the summary and failed checks only")
    return options


def user_of(name: str) -> User | None:
    """Return the user that computes; raise StepError where there is none, or this user may not start programs as it."""
    if not name:
        return None
    if os.geteuid() != 0:
        raise StepError("--user needs root")
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise StepError(f"--user {name}: there is no such user") from None
    return User(account.pw_uid, account.pw_gid, os.getgrouplist(name, account.pw_gid))


def read_gpus() -> Reading:
    """Return the GPUs from NVML, or from nvidia-smi where NVML's library is missing."""
    reading = nvml.read()
    if reading.error and shutil.which("nvidia-smi"):
        other = smi.read()
        if not other.error:
            return other
    return reading


def steps(context: Context) -> list[Step]:
    """Return all parts of the run, what matters most first: at the time limit the last ones are left out."""
    parts = [Step("hardware", hardware_of), Step("driver", driver_of), Step("compute.driver", compute.through_driver)]
    parts += [Step(f"versions.{each.name}", partial(compute.lock, each)) for each in context.environments]
    frameworks = compute.frameworks(context)
    parts += [Step(name, partial(compute.framework, key, each, name), 15) for key, each, name in frameworks]
    if not frameworks:
        parts.append(Step("compute.frameworks", no_framework))
    parts += [Step(access.NAME, access.two_users, 20), Step("sharing.process_memory", sharing.processes, 10)]
    if context.park_gib > 0:
        parts.append(Step(parking.NAME, parking.park, 30))
    parts += [Step(f"{parking.NAME}.{key}", partial(parking.park_framework, key), 30) for key in parking.FRAMEWORKS]
    parts += [Step("speed.torch", speed.measured, 25), Step("sharing.time_slicing", sharing.time_slicing, 30)]
    parts += [Step(f"sharing.memory_limit.{key}", partial(sharing.cap, key), 15) for key in sharing.CAPS]
    return [*parts, Step("compute.r", compute.from_r, 20), Step("speed.epoch", speed.epoch, 30)]


def no_framework(context: Context) -> list[Check]:
    """Return the check for a host without a framework."""
    reason = "neither PyTorch nor JAX nor TensorFlow is installed in the environments that were checked"
    return [report.check("compute.frameworks", report.SKIPPED, reason, context.tier)]


def hardware_of(context: Context) -> list[Check]:
    """Return the checks of the hardware."""
    reason = "" if context.reading.gpus or context.driver.loaded else context.without_gpu()
    return hardware.checks(context.reading, context.tier, reason, context.expected)


def driver_of(context: Context) -> list[Check]:
    """Return the checks of the driver's side."""
    reason = context.without_gpu() if not context.present or context.reading.mock else ""
    plan = driver.planned(context.plan, context.tier, reason)
    return [plan, *driver.checks(context.driver, context.reading, context.tier, reason)]


def attempt(step: Step, context: Context) -> list[Check]:
    """Return the checks of a part; a failure of the part is one failed check, and does not stop the run."""
    begun = time.monotonic()
    try:
        result = step.run(context)
    except SkippedError as error:
        result = [report.check(step.name, report.SKIPPED, str(error), context.tier)]
    except UnsupportedError as error:
        result = [report.check(step.name, report.NOT_SUPPORTED, f"not supported here: {error}", context.tier)]
    except StepError as error:
        result = [report.check(step.name, report.FAILED, str(error), context.tier)]
    except Exception as error:  # noqa: BLE001  # a fault of one check must not cost the others
        reason = f"this check itself failed: {type(error).__name__}: {error}"[:300]
        result = [report.check(step.name, report.FAILED, reason, context.tier)]
    for each in result:
        each["seconds"] = round((time.monotonic() - begun) / len(result), 1)
    return result


def now() -> str:
    """Return the time, to the second, in UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def head(context: Context) -> Report:
    """Return the report before the first check."""
    reading = context.reading
    gpus = [gpu for gpu in reading.gpus if not gpu.error]
    release = dict(
        line.split("=", 1) for line in driver.text_of(context.root / "etc/os-release").splitlines() if "=" in line
    )
    return {
        "schema": report.SCHEMA,
        "program": "gpu_acceptance",
        "started": now(),
        "finished": "",
        "seconds": 0.0,
        "tier": context.tier,
        "system": {
            "os": release.get("PRETTY_NAME", "unknown").strip('"'),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "runs as": "root" if os.geteuid() == 0 else "an ordinary user",
            "computes as": "root" if os.geteuid() == 0 and not context.user else "an ordinary user",
        },
        "driver": {"version": context.driver.loaded or reading.driver, "cuda": reading.cuda, "read_by": reading.reader},
        "devices": [{"name": gpu.name, "memory_gib": round((gpu.memory_bytes or 0) / 2**30, 1)} for gpu in gpus],
        "checks": [],
        "left_out": [],
        "not_tested": list(NOT_TESTED),
    }


def go(context: Context, out: Path, only: Sequence[str], quiet: bool) -> Report:
    """Run all checks, and write the report after each part."""
    result, begun = head(context), time.monotonic()
    try:
        for step in steps(context):
            if only and not any(step.name.startswith(name) or name.startswith(step.name) for name in only):
                continue
            if context.deadline - time.monotonic() < step.least:
                result["left_out"].append(step.name)
                continue
            found = attempt(step, context)
            result["checks"] += found
            result["seconds"] = round(time.monotonic() - begun, 1)
            report.write(result, out)
            if not quiet:
                for each in found:
                    print(f"{each['status']:13} {each['name']}: {each['reason']}", flush=True)  # noqa: T201
        result["finished"] = now()
    finally:
        report.write(result, out)
        page.write(result, out)
    return result


def stop(number: int, _frame: object) -> None:
    """End the program by an exception, so that everything that was changed is put back."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    if options.limit <= 0:
        print(f"gpu_acceptance: --limit must be positive, and is {options.limit:g}", file=sys.stderr)  # noqa: T201
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    deadline = time.monotonic() + options.limit
    with tempfile.TemporaryDirectory(prefix="gpu-acceptance-") as name:
        scratch = Path(name)
        scratch.chmod(0o711)
        shutil.copytree(PROGRAMS, scratch / "programs", ignore=shutil.ignore_patterns("__pycache__"))
        for path in (scratch / "programs", *(scratch / "programs").iterdir()):
            path.chmod(0o755)
        try:
            user = user_of(options.user)
            report.write(head(Context(deadline, scratch)), options.out)
        except (StepError, OSError) as error:
            print(f"gpu_acceptance: {error}", file=sys.stderr)  # noqa: T201
            return 2
        context = Context(deadline, scratch, options.root, read_gpus(), driver.read(options.root), user=user)
        context.environments = compute.environments(options.python, options.environments)
        context.park_gib, context.expected, context.plan = options.park, options.expect, options.plan
        result = go(context, options.out, options.only, options.quiet)
    return finish(result, options.out, options.quiet)


def finish(result: Report, out: Path, quiet: bool) -> int:
    """Print the summary, and return the exit code."""
    numbers = ", ".join(f"{count} {status}" for status, count in report.counts(result).items() if count)
    devices = ", ".join(each["name"] for each in result["devices"]) or "no GPU"
    late = f"; left out at the time limit: {', '.join(result['left_out'])}" if result["left_out"] else ""
    lines = [f"{numbers or 'no checks'} in {result['seconds']:.0f} s on tier {result['tier']} ({devices}){late}"]
    if quiet:
        failed = (each for each in result["checks"] if each["status"] == report.FAILED)
        lines += [f"failed: {each['name']}: {each['reason']}" for each in failed]
    else:
        lines += ["not tested: " + "; ".join(result["not_tested"]), f"page: {out / 'report.md'}"]
    print("\n".join(lines))  # noqa: T201
    return report.exit_code(result)
