# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases of environments: the content decides, incomplete ones are never used, old ones are removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils.frameworks import usage, wheel_records
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.installers import InstallError, query_python
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.layout import MARKER
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.releases import (
    LOCK_SECONDS,
    Content,
    DamageError,
    Release,
    Tools,
)
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import pins

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
CONTENT = Content(LOCK)
OTHER = LOCK + "six==1\n"


def release(path: Path, uv: str = "/nonexistent/uv", python: str = sys.executable, **content: Any) -> Release:
    """Return a release of an environment below a directory."""
    tools = Tools(python, uv, path / "cache", Path("/nonexistent"))
    return Release(path, replace(CONTENT, **content), tools)


def fake_uv(directory: Path) -> str:
    """Write a uv that makes empty environments and records its subcommands."""
    uv = directory / "uv"
    script = f"""#!/bin/sh
echo $1 >>{directory}/calls
for last; do :; done
[ $1 != venv ] || {{ mkdir -p $last/bin $last/lib/python3.11/site-packages; ln -s {sys.executable} $last/bin/python; }}
"""
    uv.write_text(script)
    uv.chmod(0o755)
    return str(uv)


def test_module_parameters_describe_a_release(tmp_path: Path) -> None:
    """The module passes on what the action plugin has added."""
    params = {
        "path": str(tmp_path),
        "python": sys.executable,
        "uv": "/nonexistent/uv",
        "index": "",
        "cache": str(tmp_path / "cache"),
        "sources_file": "/nonexistent",
        "lock_text": LOCK,
        "extras_text": ["six==1\n"],
        "packages_data": [{"name": "x", "archive": ""}],
        "node_data": {"package.json": "{}"},
    }
    content: dict[str, Any] = {
        "extras": ("six==1\n",),
        "packages": ({"archive": "", "name": "x"},),
        "node_files": {"package.json": "{}"},
    }
    assert Release.from_params(params).digest == release(tmp_path, **content).digest


def test_installers_read_nothing_that_other_accounts_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files are below the environment and are removed, also those of a killed run.

    Bytecode caches, settings and modules of the current directory are not read.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "json.py").write_text("raise SystemExit('read from the current directory')")
    monkeypatch.chdir(tmp_path)
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!/bin/sh\nstat -c %a $TMPDIR >{tmp_path}/state; env >>{tmp_path}/state; pwd >>{tmp_path}/state; exit 1\n"
    )
    uv.chmod(0o755)
    (tmp_path / "env" / ".work-killed").mkdir(parents=True)
    with pytest.raises(InstallError):
        release(tmp_path / "env", uv=str(uv)).make()
    state = (tmp_path / "state").read_text().splitlines()
    assert (state[0], state[-1]) == ("700", "/")
    assert "NODE_DISABLE_COMPILE_CACHE=1" in state
    assert f"HOME={Path.home()}" not in state
    assert any(line.startswith(f"TMPDIR={tmp_path}/env/.work-") for line in state)
    assert list((tmp_path / "env").glob(".work-*")) == []
    assert query_python(sys.executable, "import json; print(json.dumps(1))") == "1"


def test_release_depends_on_its_entire_content(tmp_path: Path) -> None:
    """The same content gives the same release; another lock, package, npm lock or extra package another one."""
    same = release(tmp_path)
    assert same.digest == release(tmp_path).digest
    others = [
        release(tmp_path, lock=OTHER),
        release(tmp_path, packages=({"name": "x", "archive": ""},)),
        release(tmp_path, node_files={"package.json": "{}"}),
        release(tmp_path, extras=("six==1\n",)),
    ]
    assert len({same.digest, *(other.digest for other in others)}) == 5


def test_extras_are_installed_with_the_lock_and_checked(tmp_path: Path) -> None:
    """The installer gets all files at once, and then checks whether the packages fit each other."""
    uv = tmp_path / "uv"
    uv.write_text(f"""#!/bin/sh
printf '%s\\n' "$*" >>{tmp_path}/calls
[ "$1" != venv ] || mkdir -p "$5"
[ "$2" != check ] || {{ echo 'Found 1 incompatibility'; echo 'The package `x` requires `numpy>=2`'; exit 1; }}
""")
    uv.chmod(0o755)
    new = release(tmp_path / "env", uv=str(uv), extras=("six==1.17.0\n", "x==1\n"))
    assert new.content.versions() == {**pins(LOCK), "six": "1.17.0", "x": "1"}
    with pytest.raises(InstallError, match="do not fit the lock") as raised:
        new.make()
    assert "`x` requires `numpy>=2`" in str(raised.value)
    sync = next(line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("pip sync"))
    assert [Path(word).name for word in sync.split()[-3:]] == ["lock.txt", "extra-0.txt", "extra-1.txt"]
    assert not new.path.exists()


def test_release_without_the_marker_is_incomplete(tmp_path: Path) -> None:
    """The marker is written last."""
    new = release(tmp_path)
    new.path.mkdir(parents=True)
    assert not new.is_complete()
    (new.path / MARKER).write_text(json.dumps({"versions": {"numpy": "1"}}))
    assert new.is_complete()
    assert not new.is_current()
    new.switch()
    assert new.is_current()
    assert new.current_versions() == {"numpy": "1"}


def test_prepared_release_waits_for_its_switch(tmp_path: Path) -> None:
    """A release that was built in the background is used later as it is; the one in use stays until then."""
    uv = fake_uv(tmp_path)
    old = release(tmp_path / "env", uv=uv)
    old.install(keep=1)
    new = release(tmp_path / "env", uv=uv, lock=OTHER)
    new.prepare()
    assert (new.is_complete(), new.is_current(), old.is_current()) == (True, False, True)
    calls = (tmp_path / "calls").read_text()
    new.install(keep=0)
    assert new.is_current()
    assert not old.path.exists()
    assert (tmp_path / "calls").read_text() == calls


def test_installation_waits_for_the_preparation(tmp_path: Path) -> None:
    """The release of a background job is used when it is complete, and is not built twice."""
    first = release(tmp_path / "env", uv=fake_uv(tmp_path))
    second = release(tmp_path / "env", uv=fake_uv(tmp_path))
    with first.locked(0):
        waiting = threading.Thread(target=second.install, args=(1,))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        first.make()
    calls = (tmp_path / "calls").read_text()
    waiting.join(30)
    assert second.is_current()
    assert (tmp_path / "calls").read_text() == calls


def test_release_has_its_bytecode_when_it_is_complete(tmp_path: Path) -> None:
    """Users' sessions cannot write it."""
    new = release(tmp_path / "env", uv=fake_uv(tmp_path))
    install_packages = new.install_packages

    def install_with_module(uv: str, work: Path) -> None:
        """Install a module, too."""
        install_packages(uv, work)
        (new.path / "lib/python3.11/site-packages/a.py").write_text("1\n")

    new.install_packages = install_with_module  # type: ignore[method-assign]
    new.prepare()
    assert [path.name.partition(".")[0] for path in new.path.rglob("*.pyc")] == ["a"]


def test_damaged_cache_is_cleared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments share files with the cache: a file that was edited in one of them is downloaded again."""
    new = release(tmp_path / "env", uv=fake_uv(tmp_path))
    answers = [["numpy: numpy/version.py has other content"], []]
    monkeypatch.setattr(wheel_records, "problems", lambda *_: answers.pop(0))
    new.make()
    assert new.is_complete()
    assert (tmp_path / "calls").read_text().split() == ["venv", "pip", "cache", "venv", "pip"]
    broken = release(tmp_path / "other", uv=fake_uv(tmp_path))
    monkeypatch.setattr(wheel_records, "problems", lambda *_: ["numpy: numpy/version.py has other content"])
    with pytest.raises(DamageError, match="overwrite each other"):
        broken.make()
    assert not broken.path.exists()


@pytest.mark.parametrize("has_wheel", [True, False])
def test_first_uv_is_installed_by_the_distributions_pip(tmp_path: Path, has_wheel: bool) -> None:
    """With pip's wheel if the distribution has one, else through an environment of its own."""
    python = tmp_path / "python"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    if has_wheel:
        (wheels / "pip-23.0-py3-none-any.whl").touch()
    python.write_text(f"""#!/bin/sh
echo "$PYTHONPATH $*" >>{tmp_path}/calls
case "$*" in
*sysconfig*) echo {wheels} ;;
*version*) echo 3.11.2 ;;
*' venv '*) mkdir -p $3/bin; ln -s {tmp_path}/python $3/bin/python ;;
*' pip '*) for last; do :; done; mkdir -p $last/bin; ln -s {tmp_path}/uv $last/bin/uv ;;
esac
""")
    python.chmod(0o755)
    fake_uv(tmp_path)
    new = release(tmp_path / "env", python=str(python))
    work = tmp_path / "work"
    work.mkdir()
    assert Path(new.make_venv(work)).name == "uv"
    calls = (tmp_path / "calls").read_text()
    assert (f"{wheels}/pip-23.0-py3-none-any.whl -m pip install" in calls) == has_wheel
    assert ("-m venv" in calls) != has_wheel
    assert (new.path / "bin" / "python").exists()


def test_incomplete_and_old_releases_are_removed(tmp_path: Path) -> None:
    """The newest complete one stays for a rollback; remainders of interrupted runs never do."""
    new = release(tmp_path)
    for age, name in enumerate(["newer", "older", "incomplete"]):
        directory = new.path.parent / name
        directory.mkdir(parents=True)
        if name != "incomplete":
            (directory / MARKER).write_text("{}")
        for path in (directory, *directory.iterdir()):
            os.utime(path, (1_700_000_000 - age,) * 2)
    new.path.mkdir()
    assert [path.name for path in new.superseded(keep=1)] == ["incomplete", "older"]


def test_release_stays_while_a_process_that_started_through_the_link_runs(tmp_path: Path) -> None:
    """A Python that has loaded nothing yet names only the link; it will load from the release in which it started."""
    old = release(tmp_path)
    old.path.mkdir(parents=True)
    (old.path / "sleep").symlink_to("/bin/sleep")
    old.switch()
    with subprocess.Popen([f"{old.current}/sleep", "60"]) as process:
        try:
            new = release(tmp_path, lock=OTHER)
            new.path.mkdir(parents=True)
            assert not usage.is_in_use(old.path)
            new.switch()
            assert usage.is_in_use(old.path, old.current)
        finally:
            process.kill()
    assert not usage.is_in_use(old.path, old.current)


def test_failed_installation_frees_its_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not left full: half a release would prevent the next try."""
    new = release(tmp_path)

    def fill(self: Release) -> None:
        """Write a directory, then fail as on a full disk."""
        self.path.mkdir(parents=True)
        raise InstallError("No space left on device")

    monkeypatch.setattr(Release, "build", fill)
    with pytest.raises(InstallError):
        new.make()
    assert not new.path.exists()


def test_absent_uv_names_the_role_that_installs_it(tmp_path: Path) -> None:
    """A role that is used alone names the role that it needs."""
    lock = "numpy==1.26.4 \\\n    --hash=sha256:aa\n"
    with pytest.raises(InstallError, match=r"gpulab\.core\.tools"):
        release(tmp_path, lock=lock).build()


def test_two_installers_do_not_work_at_once(tmp_path: Path) -> None:
    """The installer of a killed run continues for a while; the next run waits for it, with a time limit."""
    first, second = release(tmp_path), release(tmp_path)
    with first.locked(0), pytest.raises(InstallError, match="another process"), second.locked(0):
        pass
    with second.locked(0):
        pass
    assert 0 < LOCK_SECONDS < 7200


@pytest.mark.parametrize(
    ("own", "expected"), [("", "{index}"), ("https://other/simple", "{index} https://other/simple")]
)
def test_index_is_in_no_argument_of_a_process(tmp_path: Path, own: str, expected: str) -> None:
    """Every user can read those; uv takes it from the environment, before the indexes of the host."""
    uv = tmp_path / "uv"
    uv.write_text(
        f'#!/bin/sh\nprintf "%s|%s\\n" "$*" "$UV_INDEX" >>{tmp_path}/calls\n[ "$1" != venv ] || mkdir -p "$5"\n'
    )
    uv.chmod(0o755)
    new = release(tmp_path / "env", uv=str(uv))
    index = "https://svc:s3cret@mirror/whl/cpu"
    new.tools = replace(new.tools, index=index)
    new.variables["UV_INDEX"] = own
    new.path.mkdir(parents=True)
    new.install_packages(str(uv), tmp_path)
    arguments, _, indexes = (tmp_path / "calls").read_text().splitlines()[0].rpartition("|")
    assert "s3cret" not in arguments
    assert indexes == expected.format(index=index)
