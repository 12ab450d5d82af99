"""What starts users' servers: addresses, certificates, the launcher that runs as root, and the hub's side of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gpulab.core.plugins.modules import hub_users

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/jupyterhub/files/gpulab_hub/src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles/jupyterhub/files/gpulab_server/src"))

from gpulab_hub import certificates, helper_socket, launcher, units
from gpulab_hub.addresses import address_of
from gpulab_server import home, start

OTHER = "127.0.3.234"
OWN = "127.0.3.233"


@given(st.sets(st.integers(1000, 2**32 - 2), min_size=2, max_size=20))
def test_no_two_users_share_an_address(tmp_path_factory: pytest.TempPathFactory, uids: set[int]) -> None:
    """Whatever their uids are; and an address once assigned stays."""
    assigned = tmp_path_factory.mktemp("addresses") / "addresses.json"
    first = {uid: address_of(uid, assigned) for uid in uids}
    assert len(set(first.values())) == len(uids)
    assert first == {uid: address_of(uid, assigned) for uid in sorted(uids)}
    for address in map(IPv4Address, first.values()):
        assert address in IPv4Network("127.0.0.0/8")
        assert address not in IPv4Network("127.0.0.0/24")


def test_system_accounts_have_no_address(tmp_path: Path) -> None:
    """Their servers would be on the addresses of the host's own services."""
    for uid in (0, 1, 999):
        with pytest.raises(ValueError, match="system"):
            address_of(uid, tmp_path / "addresses.json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the certificates of a hub."""
    directory = tmp_path_factory.mktemp("tls")
    assert certificates.ensure(directory)
    assert not certificates.ensure(directory)
    return directory


def pair(store: Path, name: str, made: certificates.Pair) -> tuple[str, str]:
    """Write a key and its certificate; return their paths."""
    certificates.save(store, name, made)
    return str(store / f"{name}.pem"), str(store / f"{name}.key")


def connect(store: Path, server: tuple[str, str], client: tuple[str, str] | None, expected: str) -> str:
    """Connect as the hub connects to a server; return what the client got, or the error."""
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(store / "authority.pem"))
    listening.verify_mode = ssl.CERT_REQUIRED
    listening.load_cert_chain(*server)
    context = ssl.create_default_context(cafile=str(store / "authority.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        context.load_cert_chain(*client)
    left, right = socket.socketpair()
    errors = []

    def serve() -> None:
        try:
            with listening.wrap_socket(left, server_side=True) as accepted:
                accepted.sendall(b"hello")
        except OSError as error:
            errors.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        right.settimeout(10)
        with context.wrap_socket(right, server_hostname=expected) as connected:
            return connected.recv(5).decode()
    except OSError as error:
        # The server's own error says more, and may come later.
        thread.join(10)
        return f"{error} {errors}"
    finally:
        thread.join(10)


def test_server_and_hub_accept_each_other(store: Path) -> None:
    """With a server's certificate for its address and a client's certificate."""
    server = pair(store, "server", certificates.server(OWN, certificates.load(store, "authority")))
    for name in certificates.CLIENTS:
        assert connect(store, server, (str(store / f"{name}.pem"), str(store / f"{name}.key")), OWN) == "hello"


def test_other_users_key_passes_as_nothing(store: Path) -> None:
    """A genuine certificate of another user is neither this server, nor the hub, nor the proxy."""
    authority = certificates.load(store, "authority")
    other = pair(store, "other", certificates.server(OTHER, authority))
    own = pair(store, "own", certificates.server(OWN, authority))
    hub = (str(store / "hub.pem"), str(store / "hub.key"))
    assert "IP address mismatch" in connect(store, other, hub, OWN)
    assert "unsuitable certificate purpose" in connect(store, own, other, OWN)
    assert "unsuitable certificate purpose" in connect(store, hub, hub, OWN)
    assert connect(store, own, None, OWN) != "hello"


def test_certificates_are_renewed_a_year_ahead(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new authority, with which the old certificates do not work."""
    monkeypatch.setattr(certificates, "LIFETIME", certificates.RENEWAL)
    certificates.ensure(tmp_path)
    before = certificates.fingerprint(tmp_path)
    monkeypatch.undo()
    assert certificates.ensure(tmp_path)
    assert certificates.fingerprint(tmp_path) != before


@pytest.mark.parametrize("name", ["authority.key", "hub.pem", "proxy.key"])
def test_damaged_certificates_are_made_again(tmp_path: Path, name: str) -> None:
    """Whatever is wrong with a file, the hub starts."""
    certificates.ensure(tmp_path)
    (tmp_path / name).write_text("damaged")
    assert certificates.ensure(tmp_path)
    assert certificates.usable(tmp_path)


def test_keys_are_private(store: Path) -> None:
    """The hub's and the authority's are the hub's alone; the proxy reads its own as the hub's group."""
    modes = {path.name: path.stat().st_mode & 0o777 for path in store.glob("*.key")}
    assert [modes[f"{name}.key"] for name in ("authority", "hub", "proxy")] == [0o600, 0o600, 0o640]


@pytest.mark.parametrize("value", [0, 1, 999, -1, "1001", 1001.0, True, None, 65534])
def test_launcher_accepts_listed_users_only(tmp_path: Path, value: Any) -> None:
    """Not root, not the system's accounts, and nobody whom the role users has not listed."""
    (tmp_path / "1001.gpulab-users").touch()
    (tmp_path / "0.gpulab-users").touch()
    assert launcher.listed_uid(1001, tmp_path) == 1001
    with pytest.raises(helper_socket.BadRequest):
        launcher.listed_uid(value, tmp_path)


VALUES = st.dictionaries(
    st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,9}\Z"),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    max_size=5,
)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A\nB", "A\n", "Ä"])
def test_names_that_are_no_variables_are_rejected(name: str) -> None:
    """A line break in a name would be a further line of the file."""
    with pytest.raises(helper_socket.BadRequest):
        launcher.environment_file({name: "x"})
    with pytest.raises(helper_socket.BadRequest, match="GOOD"):
        launcher.environment_file({"GOOD": "a\0b"})


@given(VALUES)
def test_no_value_leaves_its_quotes(environment: dict[str, str]) -> None:
    r"""Read back by the rules of systemd.exec(5): in double quotes a backslash stands before " \\ ` and $."""
    text = launcher.environment_file(environment)
    found = {}
    while text:
        name, _, text = text.partition('="')
        value, position = "", 0
        while text[position] != '"':
            if text[position] == "\\":
                position += 1
            value += text[position]
            position += 1
        assert text[position + 1] == "\n"
        found[name], text = value, text[position + 2 :]
    assert found == environment


def test_environment_is_roots_and_replaces_a_link(tmp_path: Path) -> None:
    """What a link points to is never written."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for name in ("1001", ".1001"):
        (tmp_path / name).symlink_to(victim)
    launcher.write_environment(tmp_path / "1001", 'A="b"\n')
    assert victim.read_text() == "kept"
    assert (tmp_path / "1001").read_text() == 'A="b"\n'
    assert (tmp_path / "1001").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not json\n", "not JSON"),
        (b"[1]\n", "not an object"),
        (b'{"action": "start"', "incomplete"),
        (b"x" * (launcher.LARGEST + 1) + b"\n", "too long"),
    ],
)
def test_broken_requests_are_rejected(data: bytes, reason: str) -> None:
    """With one reason, whatever comes."""
    left, right = socket.socketpair()
    with left, right:

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):
                left.sendall(data)
                left.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        with pytest.raises(helper_socket.BadRequest, match=reason):
            helper_socket.read_request(right, launcher.LARGEST, 10)
        right.close()
        writer.join(10)


@pytest.mark.parametrize(
    "request_", [{}, {"action": "restart", "uid": 1001}, {"action": "stop", "uid": 0}, {"action": "start", "uid": 1001}]
)
def test_other_requests_are_rejected(request_: dict[str, Any]) -> None:
    """Before anything is done."""
    with pytest.raises(helper_socket.BadRequest):
        launcher.answer(request_)


def test_strangers_are_rejected_at_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's mode is the first lock, this is the second."""
    left, right = socket.socketpair()
    with left, right:
        helper_socket.check_peer(right, [pwd.getpwuid(os.getuid()).pw_name])
        monkeypatch.setattr(helper_socket, "peer_uid", lambda _: 1001)
        with pytest.raises(helper_socket.BadRequest, match="uid 1001"):
            helper_socket.check_peer(right, ["root", "gpulab-hub"])


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Start launchers that answer with given bytes; return how to start one."""
    closing: list[socket.socket] = []

    def listen(data: bytes) -> str:
        path = str(tmp_path / f"{len(closing)}.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        closing.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield listen
    for listener in closing:
        listener.close()


def test_hub_reads_the_launchers_answers(answering: Callable[[bytes], str]) -> None:
    """Success is silent; every failure is one message."""
    asyncio.run(units.call({"action": "stop"}, answering(b'{"ok": true}\n')))
    for data, reason in ((b'{"error": "uid 0"}\n', "uid 0"), (b"", "without an answer"), (b"x\n", "without an answer")):
        with pytest.raises(units.LauncherFailed, match=reason):
            asyncio.run(units.call({"action": "stop"}, answering(data)))


def test_class_that_starts_at_once_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket would drop the connections of those who are too many."""
    running: list[int] = [0, 0]

    async def exchange(path: str, line: bytes, largest: int) -> bytes:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.01)
        running[0] -= 1
        return b'{"ok": true}\n'

    async def everybody() -> None:
        monkeypatch.setattr(units, "places", asyncio.Semaphore(units.AT_ONCE))
        await asyncio.gather(*(units.call({"action": "stop"}) for _ in range(100)))

    monkeypatch.setattr(units, "exchange", exchange)
    asyncio.run(everybody())
    assert running == [0, units.AT_ONCE]


def test_launcher_that_is_missing_or_hangs_is_reported(tmp_path: Path) -> None:
    """With what to look at, and after the time limit."""
    with pytest.raises(units.LauncherFailed, match="systemctl status"):
        asyncio.run(units.call({}, str(tmp_path / "missing.sock")))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "hangs.sock"))
        listener.listen()
        with pytest.raises(units.LauncherFailed, match=r"within 0 s.*journalctl"):
            asyncio.run(units.call({}, str(tmp_path / "hangs.sock"), patience=0.2))


def test_home_with_room_passes_and_keeps_nothing(tmp_path: Path) -> None:
    """A missing home is an error with its number."""
    assert home.error_of(str(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
    assert os.strerror(home.error_of(str(tmp_path / "gone"))) == "No such file or directory"


SETTINGS = {"arguments": ["--x=1"], "key": "KEY", "certificate": "CERTIFICATE", "authority": "AUTHORITY"}


@pytest.mark.parametrize(("error", "elsewhere"), [(0, False), (28, True), (122, True)])
def test_start_replaces_itself_by_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, elsewhere: bool
) -> None:
    """The key is private, the settings are not handed on, and a full home is not needed."""
    called: list[Any] = []
    monkeypatch.setattr(start, "error_of", lambda _: error)
    monkeypatch.setattr(os, "execve", lambda *arguments: called.extend(arguments))
    monkeypatch.setattr(
        os, "environ", {"GPULAB_SERVER": json.dumps(SETTINGS), "JUPYTER_RUNTIME_DIR": str(tmp_path), "A": "b"}
    )
    start.main()
    program, argv, environment = called
    assert argv[:2] == [program, "--x=1"]
    assert "GPULAB_SERVER" not in environment
    assert Path(environment["JUPYTERHUB_SSL_KEYFILE"]).read_text() == "KEY"
    assert Path(environment["JUPYTERHUB_SSL_KEYFILE"]).stat().st_mode & 0o777 == 0o600
    assert ("JUPYTER_DATA_DIR" in environment) is elsewhere
    assert ("--FileContentsManager.delete_to_trash=False" in argv) is elsewhere


def test_home_check_runs_as_a_program(tmp_path: Path) -> None:
    """As the unit starts it; its status is the number of the error."""
    done = subprocess.run([sys.executable, "-m", "gpulab_server.home"], cwd=Path(home.__file__).parents[1], check=False)
    assert done.returncode == 0


def test_token_of_the_hub_is_read_and_nothing_else(tmp_path: Path) -> None:
    """Root sends the hub no file that a link in the hub's directory points to."""
    token, secret = tmp_path / "token", tmp_path / "secret"
    token.write_text("ab" * 32)
    secret.write_text("root:$y$secret")
    assert hub_users.read_token(token) == "ab" * 32
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(token)
    os.mkfifo(pipe)
    for path in (link, secret, pipe, tmp_path / "missing"):
        with pytest.raises(OSError, match=r"token|link|No such file"):
            hub_users.read_token(path)
