"""Environments from locks: what goes in decides, errors name the fix, nothing half-made is used."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.module_utils import releases as env
from ansible_collections.gpulab.core.plugins.module_utils import wheel_records
from ansible_collections.gpulab.core.plugins.module_utils.installer_messages import explain
from ansible_collections.gpulab.core.plugins.modules.locked_environment import difference
from ansible_collections.gpulab.core.plugins.plugin_utils.archive import pack

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


def release(path: Path, **changes: Any) -> env.Release:
    """Make a release of an environment below a directory."""
    params = {"path": str(path), "lock_text": LOCK, "packages_data": [], "node_data": {}, "python": sys.executable}
    rest: dict[str, Any] = {
        "extras_text": [],
        "uv": "/nonexistent/uv",
        "index": "",
        "cache": str(path / "cache"),
        "sources_file": "/nonexistent",
        "keep": 1,
    }
    return env.Release({**params, **rest, **changes})


def test_installers_read_nothing_that_other_accounts_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files lie below the environment and go, also a killed run's.

    Bytecode caches, settings and modules of the current directory are not read.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "json.py").write_text("raise SystemExit('read from the current directory')")
    monkeypatch.chdir(tmp_path)
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!/bin/sh\nstat -c %a $TMPDIR >{tmp_path}/asked; env >>{tmp_path}/asked; pwd >>{tmp_path}/asked; exit 1\n"
    )
    uv.chmod(0o755)
    (tmp_path / "env" / ".work-killed").mkdir(parents=True)
    found = release(tmp_path / "env", uv=str(uv))
    with pytest.raises(env.InstallError):
        found.make()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert (asked[0], asked[-1]) == ("700", "/")
    assert "NODE_DISABLE_COMPILE_CACHE=1" in asked
    assert f"HOME={Path.home()}" not in asked
    assert any(line.startswith(f"TMPDIR={tmp_path}/env/.work-") for line in asked)
    assert list((tmp_path / "env").glob(".work-*")) == []
    assert env.ask_python(sys.executable, "import json; print(json.dumps(1))") == "1"


def test_installer_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it and what to check."""
    monkeypatch.setattr(env, "INSTALL_SECONDS", 0.2)
    with pytest.raises(env.InstallError, match=r"sleep took longer.*Check the mirrors"):
        release(tmp_path).run(["sleep", "30"])


def test_pins_are_read_from_a_lock() -> None:
    """Local versions and markers are part of real locks."""
    assert env.pins(LOCK) == {"numpy": "1.26.4", "torch": "2.13.0+cpu", "uv": "0.13.9", "zipp": "1"}


def test_one_requirement_is_cut_out_with_all_its_hashes() -> None:
    """The first installer is checked by hash like everything else."""
    assert env.only(LOCK, "uv").split() == ["uv==0.13.9", "\\", "--hash=sha256:cc", "\\", "--hash=sha256:dd"]


def test_release_depends_on_everything_that_goes_in(tmp_path: Path) -> None:
    """The same input is the same release; another lock, package or node lock is another one."""
    same = release(tmp_path)
    assert same.digest == release(tmp_path).digest
    others = [
        release(tmp_path, lock_text=LOCK + "six==1\n"),
        release(tmp_path, packages_data=[{"name": "x", "archive": ""}]),
        release(tmp_path, node_data={"package.json": "{}"}),
        release(tmp_path, extras_text=["six==1\n"]),
    ]
    assert len({same.digest, *(other.digest for other in others)}) == 5


def test_extras_go_into_the_same_release_and_must_fit_it(tmp_path: Path) -> None:
    """The installer gets all files at once, and is asked at the end whether the packages fit each other."""
    uv = tmp_path / "uv"
    uv.write_text(f"""#!/bin/sh
printf '%s\\n' "$*" >>{tmp_path}/asked
[ "$1" != venv ] || mkdir -p "$5"
[ "$2" != check ] || {{ echo 'Found 1 incompatibility'; echo 'The package `x` requires `numpy>=2`'; exit 1; }}
""")
    uv.chmod(0o755)
    found = release(tmp_path / "env", uv=str(uv), extras_text=["six==1.17.0\n", "x==1\n"])
    assert found.versions() == {**env.pins(LOCK), "six": "1.17.0", "x": "1"}
    with pytest.raises(env.InstallError, match="do not fit the lock") as raised:
        found.make()
    assert "`x` requires `numpy>=2`" in str(raised.value)
    sync = next(line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("pip sync"))
    assert [Path(word).name for word in sync.split()[-3:]] == ["lock.txt", "extra-0.txt", "extra-1.txt"]
    assert not found.path.exists()


def test_unfinished_release_is_not_complete(tmp_path: Path) -> None:
    """Only the marker, written last, makes a release whole."""
    found = release(tmp_path)
    found.path.mkdir(parents=True)
    assert not found.is_complete()
    (found.path / env.MARKER).write_text(json.dumps({"versions": {"numpy": "1"}}))
    assert found.is_complete()
    assert not found.is_current()
    found.switch()
    assert found.is_current()
    assert found.versions_in_use() == {"numpy": "1"}


def fake_uv(directory: Path) -> str:
    """Make a uv that makes empty environments and notes what it is asked."""
    uv = directory / "uv"
    script = f"""#!/bin/sh
echo $1 >>{directory}/asked
for last; do :; done
[ $1 != venv ] || {{ mkdir -p $last/bin $last/lib/python3.11/site-packages; ln -s {sys.executable} $last/bin/python; }}
"""
    uv.write_text(script)
    uv.chmod(0o755)
    return str(uv)


def test_prepared_release_waits_for_its_switch(tmp_path: Path) -> None:
    """What was made in the background is used later as it is, and whatever is in use stays until then."""
    uv = fake_uv(tmp_path)
    old = release(tmp_path / "env", uv=uv)
    old.bring("current", keep=1)
    new = release(tmp_path / "env", uv=uv, lock_text=LOCK + "six==1\n")
    new.bring("prepared", keep=0)
    assert (new.is_complete(), new.is_current(), old.is_current()) == (True, False, True)
    asked = (tmp_path / "asked").read_text()
    new.bring("current", keep=0)
    assert new.is_current()
    assert not old.path.exists()
    assert (tmp_path / "asked").read_text() == asked


def test_release_is_used_while_its_bytecode_is_being_written(tmp_path: Path) -> None:
    """Who asks for the current one does not wait for another process's bytecode; who asks for the finished one does."""
    found = release(tmp_path / "env", uv=fake_uv(tmp_path))
    found.make()
    assert found.lacks_bytecode()
    with found.alone(0, env.BYTECODE_LOCK):
        assert not found.lacks_bytecode()
        later = release(tmp_path / "env")
        later.bring("current", keep=1)
        assert (later.is_current(), later.has_bytecode()) == (True, False)
        waiting = threading.Thread(target=later.bring, args=("finished", 1))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join(30)
    assert found.has_bytecode()


def test_bytecode_that_never_comes_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for the finished release is told that another process is still at it."""
    found = release(tmp_path / "env", uv=fake_uv(tmp_path))
    found.make()
    monkeypatch.setattr(env, "PATIENCE", 0.3)
    with found.alone(0, env.BYTECODE_LOCK), pytest.raises(env.InstallError, match="another process"):
        release(tmp_path / "env").bring("finished", keep=1)


def test_bytecode_that_a_killed_run_left_out_is_written_by_the_next(tmp_path: Path) -> None:
    """A release without it is a change that is due, also where it is current already."""
    found = release(tmp_path / "env", uv=fake_uv(tmp_path))
    found.make()
    found.switch()
    assert found.lacks_bytecode()
    found.bring("current", keep=1)
    assert (found.has_bytecode(), found.lacks_bytecode()) == (True, False)


def test_damaged_cache_is_thrown_away_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments share files with the cache: what somebody edited in one of them is downloaded again for the next."""
    found = release(tmp_path / "env", uv=fake_uv(tmp_path))
    answers = [["numpy: numpy/version.py has other content"], []]
    monkeypatch.setattr(wheel_records, "problems", lambda *_: answers.pop(0))
    found.make()
    assert found.is_complete()
    assert (tmp_path / "asked").read_text().split() == ["venv", "pip", "cache", "venv", "pip"]
    broken = release(tmp_path / "other", uv=fake_uv(tmp_path))
    monkeypatch.setattr(wheel_records, "problems", lambda *_: ["numpy: numpy/version.py has other content"])
    with pytest.raises(env.DamageError, match="overwrite each other"):
        broken.make()
    assert not broken.path.exists()


@pytest.mark.parametrize("has_wheel", [True, False])
def test_first_uv_comes_by_the_distributions_pip(tmp_path: Path, has_wheel: bool) -> None:
    """With pip's wheel where the distribution has one, else through an environment of its own."""
    python = tmp_path / "python"
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    if has_wheel:
        (wheels / "pip-23.0-py3-none-any.whl").touch()
    python.write_text(f"""#!/bin/sh
echo "$PYTHONPATH $*" >>{tmp_path}/asked
case "$*" in
*sysconfig*) echo {wheels} ;;
*version*) echo 3.11.2 ;;
*' venv '*) mkdir -p $3/bin; ln -s {tmp_path}/python $3/bin/python ;;
*' pip '*) for last; do :; done; mkdir -p $last/bin; ln -s {tmp_path}/uv $last/bin/uv ;;
esac
""")
    python.chmod(0o755)
    fake_uv(tmp_path)
    found = release(tmp_path / "env", python=str(python))
    assert Path(found._make_venv(tmp_path)).name == "uv"
    asked = (tmp_path / "asked").read_text()
    assert (f"{wheels}/pip-23.0-py3-none-any.whl -m pip install" in asked) == has_wheel
    assert ("-m venv" in asked) != has_wheel
    assert (found.path / "bin" / "python").exists()


def test_old_releases_go_and_unfinished_ones_go_first(tmp_path: Path) -> None:
    """The newest finished one stays for a rollback; leftovers of interrupted runs never do."""
    found = release(tmp_path)
    for age, name in enumerate(["newer", "older", "unfinished"]):
        directory = found.path.parent / name
        directory.mkdir(parents=True)
        if name != "unfinished":
            (directory / env.MARKER).write_text("{}")
        stamp = 1_700_000_000 - age
        subprocess.run(["touch", "-d", f"@{stamp}", str(directory)], check=True)
    found.path.mkdir()
    assert [path.name for path in found.superseded(keep=1)] == ["unfinished", "older"]


def test_release_in_use_stays(tmp_path: Path) -> None:
    """A process that was started from a release keeps it on the disk."""
    program = tmp_path / "sleep"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as process:
        try:
            # The new process's command line shows a moment after it was started.
            until = time.monotonic() + 5
            while not env.in_use(tmp_path) and time.monotonic() < until:
                time.sleep(0.1)
            assert env.in_use(tmp_path)
            assert not env.in_use(tmp_path / "other")
        finally:
            process.kill()


def test_release_stays_while_a_process_that_started_through_the_link_lives(tmp_path: Path) -> None:
    """A Python that has loaded nothing yet names the link alone; it will load from the release that it started in."""
    found = release(tmp_path)
    found.path.mkdir(parents=True)
    (found.path / "sleep").symlink_to("/bin/sleep")
    found.switch()
    with subprocess.Popen([f"{found.current}/sleep", "60"]) as process:
        try:
            later = release(tmp_path, lock_text=LOCK + "six==1\n")
            later.path.mkdir(parents=True)
            assert not env.in_use(found.path)
            later.switch()
            assert env.in_use(found.path, found.current)
        finally:
            process.kill()
    assert not env.in_use(found.path, found.current)


def test_installation_that_fails_gives_the_room_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not left full: half a release would stand in the way of the next try."""
    found = release(tmp_path)

    def fill(self: env.Release) -> None:
        """Write something, then fail as a full disk does."""
        self.path.mkdir(parents=True)
        raise env.InstallError("No space left on device")

    monkeypatch.setattr(env.Release, "build", fill)
    with pytest.raises(env.InstallError):
        found.make()
    assert not found.path.exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("error: Failed to fetch: `https://mirror.example/simple/numpy/`", "gpulab_sources.pip"),
        (
            "error: Failed to download `numpy==1`\n  cause: end of file before message length reached",
            "gpulab_sources.pip",
        ),
        (
            "npm error code E500\nnpm error 500 Internal Server Error - GET http://mirror/",
            "gpulab_sources.pip, .npm",
        ),
        ("npm error Invalid response body while trying to fetch: Premature close", "gpulab_sources.pip, .npm"),
        ("invalid peer certificate: UnknownIssuer", "gpulab_sources.ca_certificates"),
        (
            "WARNING: The repository located at mirror is not a trusted or secure host",
            "gpulab_sources.pip.trusted_hosts",
        ),
        ("error: Hash mismatch for `numpy==1.26.4`", "not what the lock names"),
        (
            "error: No solution found\n  cause: torch has no wheels with a matching ABI tag",
            "gpulab_sources.torch",
        ),
        ("something else", "not touched"),
    ],
)
def test_installers_errors_name_the_way_out(output: str, words: str) -> None:
    """The installer's own last words stay in the message."""
    message = explain("uv", output)
    assert words in message
    assert output in message


def test_absent_uv_names_the_role_that_brings_it(tmp_path: Path) -> None:
    """A role used alone in somebody's playbook says what it stands on."""
    lock = "numpy==1.26.4 \\\n    --hash=sha256:aa\n"
    with pytest.raises(env.InstallError, match=r"gpulab\.core\.tools"):
        release(tmp_path, lock_text=lock).build()


def test_two_installers_do_not_work_at_once(tmp_path: Path) -> None:
    """The installer of a run that was killed goes on for a while; the next run waits for it, and not for ever."""
    first, second = release(tmp_path), release(tmp_path)
    with first.alone(0), pytest.raises(env.InstallError, match="another process"), second.alone(0):
        pass
    with second.alone(0):
        pass


def test_environment_files_are_read_as_units_read_them(tmp_path: Path) -> None:
    """Comments are skipped, quotes belong to the file."""
    path = tmp_path / "sources.env"
    path.write_text('# c\nPIP_INDEX_URL=https://x.example/?a=b\nUV_FIND_LINKS="/a /b"\n\n')
    assert env.read_environment(path) == {"PIP_INDEX_URL": "https://x.example/?a=b", "UV_FIND_LINKS": "/a /b"}
    assert env.read_environment(tmp_path / "none") == {}


def test_packed_folder_is_unpacked_as_it_was(tmp_path: Path) -> None:
    """Caches stay behind, and the same directory gives the same text."""
    source = tmp_path / "source"
    (source / "src" / "__pycache__").mkdir(parents=True)
    (source / "pyproject.toml").write_text("[project]\n")
    (source / "src" / "a.py").write_text("x = 1\n")
    (source / "src" / "__pycache__" / "a.pyc").write_text("junk")
    assert pack(source) == pack(source)
    env.unpack(pack(source), tmp_path / "target")
    found = sorted(str(path.relative_to(tmp_path / "target")) for path in (tmp_path / "target").rglob("*.*"))
    assert found == ["pyproject.toml", "src/a.py"]


def test_difference_lists_versions() -> None:
    """Check mode shows which packages come, go and change."""
    shown = difference({"a": "1"}, {"a": "2", "b": "1"})
    assert (shown["before"], shown["after"]) == ("a==1\n", "a==2\nb==1\n")


def test_bytecode_is_written_for_what_people_import(tmp_path: Path) -> None:
    """Packages' own tests have none, a file that is not Python stops nothing, a parent named `test` does not matter."""
    found = release(tmp_path / "test" / "env")
    packages = found.path / "lib" / "python3.11" / "site-packages"
    (found.path / "bin").mkdir(parents=True)
    (found.path / "bin" / "python").symlink_to(sys.executable)
    texts = {
        "x/a.py": "1",
        "x/testing.py": "1",
        "x/a_test.py": "1",
        "x/tests/t.py": "1",
        "x/template.py": "{{ no }} Python",
    }
    for name, text in texts.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    found.write_bytecode()
    assert sorted(path.name.partition(".")[0] for path in packages.rglob("*.pyc")) == ["a", "testing"]


def test_disk_that_fills_up_with_bytecode_is_said(tmp_path: Path) -> None:
    """An environment without its bytecode would only be slow, and nobody would know why."""
    found = release(tmp_path / "env")
    python = found.path / "bin" / "python"
    for path in (python, found.path / "lib" / "x.py"):
        path.parent.mkdir(parents=True)
        path.touch()
    python.write_text("#!/bin/sh\necho \"OSError: [Errno 28] No space left on device: 'x.pyc'\"; exit 1\n")
    python.chmod(0o755)
    with pytest.raises(env.InstallError, match="The disk is full"):
        found.write_bytecode()
    assert not (found.path / env.BYTECODE).exists()
