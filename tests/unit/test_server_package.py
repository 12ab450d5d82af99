"""The servers' own package: whose ports are reached, what is kept from them, links, repositories, how kernels start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
SERVER = ROLES / "jupyterhub/files/gpulab_server/src"
sys.path.insert(0, str(SERVER))
sys.path.insert(0, str(ROLES / "tools/files/gpulab_cli/src"))

from gpulab_cli import kernel  # noqa: E402
from gpulab_server import credentials, listeners, repositories, specs  # noqa: E402
from gpulab_server.listeners import Listener, PortRejectedError  # noqa: E402

ME, OTHER, PORT = 1001, 1002, 8050


def listener(address: str, uid: int, inode: int = 1, port: int = PORT) -> Listener:
    """Make a listening socket."""
    return Listener(ip_address(address), port, uid, inode)


def test_tables_of_the_kernel_are_read() -> None:
    """Addresses, ports, uids and inodes of listening sockets alone, as proc(5) prints them."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    four = "   0: 0100007F:1F72 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0 100 0\n"
    busy = "   1: 0100007F:1F72 0100007F:8000 01 00000000:00000000 00:00000000 00000000  1002        0 4712 1 0 100 0\n"
    six = "   0: 00000000000000000000000001000000:1F72 0:0 0A 0:0 0:0 0  1002        0 4713 1 0 100 0\n"
    if sys.byteorder == "little":
        assert listeners.parse(head + four + busy) == [listener("127.0.0.1", 1001, 4711)]
        assert listeners.parse(head + six) == [listener("::1", 1002, 4713)]


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_own_socket_is_found(family: socket.AddressFamily, address: str) -> None:
    """On this machine, with its byte order."""
    with socket.socket(family) as server:
        try:
            server.bind((address, 0))
        except OSError:
            pytest.skip(f"{address} does not exist here")
        server.listen()
        port, inode = server.getsockname()[1], os.fstat(server.fileno()).st_ino
        mine = Listener(ip_address(address), port, os.getuid(), inode)
        assert listeners.choose(listeners.read(), "localhost", port, os.getuid()) == (address, frozenset({mine}))


@pytest.mark.parametrize(
    ("there", "target"),
    [
        ([("127.0.0.1", ME)], "127.0.0.1"),
        ([("0.0.0.0", ME)], "127.0.0.1"),  # nothing is bound
        ([("::", ME)], "127.0.0.1"),
        ([("::ffff:127.0.0.1", ME)], "127.0.0.1"),
        ([("::1", ME)], "::1"),
        ([("127.0.0.1", ME), ("::1", OTHER)], "127.0.0.1"),
        ([("127.0.0.1", OTHER), ("::1", ME)], "::1"),
        ([("127.0.0.1", ME), ("127.0.0.2", OTHER)], "127.0.0.1"),
    ],
)
def test_own_program_is_reached(there: list[tuple[str, int]], target: str) -> None:
    """Wherever it listens, whatever listens elsewhere."""
    assert listeners.choose([listener(*each) for each in there], "localhost", PORT, ME)[0] == target


@pytest.mark.parametrize(
    ("there", "status"),
    [
        ([("127.0.0.1", OTHER)], 403),
        ([("0.0.0.0", OTHER)], 403),  # nothing is bound
        ([("::", OTHER)], 403),
        ([("::ffff:127.0.0.1", OTHER)], 403),
        ([("::1", OTHER)], 403),
        # The kernel prefers the more specific one; which of them takes the connection is not for us to guess.
        ([("0.0.0.0", ME), ("127.0.0.1", OTHER)], 403),
        ([("127.0.0.1", ME), ("127.0.0.1", OTHER)], 403),
        ([("127.0.0.1", ME), ("::", OTHER)], 403),
        ([("127.0.0.1", 0)], 403),
        ([("127.0.0.2", ME)], 503),
        ([], 503),
    ],
)
def test_other_programs_are_rejected(there: list[tuple[str, int]], status: int) -> None:
    """Also where only one of those that could take the connection is another's."""
    with pytest.raises(PortRejectedError) as rejected:
        listeners.choose([listener(*each) for each in there], "localhost", PORT, ME)
    assert rejected.value.status == status


@pytest.mark.parametrize("host", ["::1", "127.0.0.2", "0.0.0.0", "127.1", "example.org", "LOCALHOST", ""])
def test_other_hosts_are_rejected(host: str) -> None:
    """Whatever listens there."""
    with pytest.raises(PortRejectedError, match="use localhost"):
        listeners.choose([listener("::", ME)], host, PORT, ME)


def test_hidden_table_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit with ProcSubset=pid does not have it: then no port is proxied at all."""
    monkeypatch.setattr(listeners, "TABLES", ("/nonexistent/tcp", "/nonexistent/tcp6"))
    with pytest.raises(PortRejectedError, match="/nonexistent/tcp cannot be read"):
        listeners.read()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["jupyterhub-user-ada=x; mine=1; jupyterhub-session-id=y; _xsrf=z"], "mine=1; _xsrf=z"),
        (["jupyterhub-user-ada=x"], ""),
        (["a=1", "JupyterHub-Hub-Login=x"], "a=1"),
        (["a=1,jupyterhub-user-ada=x"], "a=1"),
        (['a=1;jupyterhub-user-ada-oauth-state-ab="x"'], "a=1"),
    ],
)
def test_cookies_of_the_hub_are_removed(sent: list[str], kept: str) -> None:
    """Those of programs stay."""
    assert credentials.cookies(sent) == kept


@pytest.mark.parametrize(
    ("query", "kept"),
    [("a=1&token=x&b=2", "a=1&b=2"), ("token=x", ""), ("%74oken=x&a", "a"), ("tokens=1&atoken=2", "tokens=1&atoken=2")],
)
def test_token_is_removed_from_addresses(query: str, kept: str) -> None:
    """However it is spelled; similar names stay."""
    assert credentials.query(query) == kept
    assert credentials.address(f"http://x/a?b?{query}", query) == "http://x/a?b" + (f"?{kept}" if kept else "")


def test_plain_links_are_accepted() -> None:
    """With defaults for what they do not name."""
    repository = "https://example.org/class/notes"
    assert repositories.checked(repository) == (repository, "", "notes", "lab/tree/notes")
    link = repositories.checked(f"{repository}.git", "v1.2/x", "Übung 1", "notebooks/Übung 1/a?b.ipynb")
    assert repositories.opened(link) == "notebooks/%C3%9Cbung%201/a%3Fb.ipynb"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("repository", each)
            for each in ("http://x/y", "ext::sh", "-u", "https://x", "https://a:b@x/y", 'https://x/"')
        ),
        *(("target", each) for each in (".ssh", "..", "/tmp", "a/b", "-x", "a\n", "a\x00", "~")),
        *(("branch", each) for each in ("-x", "--upload-pack=x", "a..b", "a b", "a\n", "x.lock")),
        *(
            ("page", each)
            for each in ("/x", "//x", "https://x", "lab/../..", "javascript:x", "proxy/1", "lab/a\n", "labx")
        ),
    ],
)
def test_links_that_ask_for_more_are_rejected(name: str, value: str) -> None:
    """One part at a time."""
    with pytest.raises(repositories.LinkRejectedError):
        repositories.checked(**{"repository": "https://x/y", name: value})


def test_repository_that_others_change_is_found(tmp_path: Path) -> None:
    """From any directory in it, by the mode and group of what decides what git runs."""
    below = tmp_path / "clone" / "a"
    below.mkdir(parents=True)
    config = tmp_path / "clone" / ".git" / "config"
    config.parent.mkdir(mode=0o755)
    config.touch(0o664)
    config.chmod(0o664)
    group = config.stat().st_gid
    assert repositories.changeable(below, group) is None
    assert repositories.changeable(below, group + 1) == tmp_path / "clone"
    config.chmod(0o646)
    assert repositories.changeable(below, group) == tmp_path / "clone"
    config.chmod(0o644)
    assert repositories.changeable(below, group + 1) is None


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (
            ["/e/python", "-m", "ipykernel_launcher", "-f", "x"],
            ["/e/python", specs.START, "ipykernel_launcher", "-f", "x"],
        ),
        (["python3.12", "-Xy", "-m", "bash_kernel", "-f"], ["python3.12", "-Xy", specs.START, "bash_kernel", "-f"]),
        (["/e/python", "/s/ipykernel_launcher.py", "-f"], ["/e/python", specs.START, "ipykernel_launcher", "-f"]),
        (["R", "--slave", "-e", "x"], ["R", "--no-restore", "--slave", "-e", "x"]),
        (["R", "--slave", "--no-restore"], ["R", "--slave", "--no-restore"]),
        (["julia", "-m", "x"], ["julia", "-m", "x"]),
        ([], []),
    ],
)
def test_kernels_are_started_safely(argv: list[str], expected: list[str]) -> None:
    """Python by a file, R without the workspace of the directory; others as they are."""
    assert specs.command(argv) == expected
    assert ("R_PROFILE_USER" in specs.environment(argv, {"A": "1"})) == (argv[:1] == ["R"])


def test_module_of_the_working_directory_is_not_run(tmp_path: Path) -> None:
    """Unlike with -m; the arguments are the module's."""
    (tmp_path / "json").mkdir()
    for name in ("json/__init__.py", "json/tool.py", "runpy.py", "pathlib.py"):
        (tmp_path / name).write_text("print('foreign')\n")
    argv = [sys.executable, specs.START, "json.tool", "--compact"]
    done = subprocess.run(argv, cwd=tmp_path, input='{"a": 1}', capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == '{"a":1}'


def test_directory_that_others_write_is_not_exclusive(tmp_path: Path) -> None:
    """By mode; what belongs to another user is not either."""
    from gpulab_server.kernel_start import exclusive

    tmp_path.chmod(0o700)
    assert exclusive(str(tmp_path))
    tmp_path.chmod(0o770)
    assert not exclusive(str(tmp_path))
    tmp_path.chmod(0o702)
    assert not exclusive(str(tmp_path))


def test_kernel_is_looked_for_in_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gpulab kernel add` may be called in any directory."""
    (tmp_path / "ipykernel_launcher.py").write_text("print('foreign')\n")
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in (kernel.launcher(Path(sys.executable)) or "")
