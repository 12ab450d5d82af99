# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools of a notebook server answer in a user's running server."""

from __future__ import annotations

import base64
import io
import struct
import zipfile
import zlib
from typing import Any

import pytest

from tests.support.hub import HubUser
from tests.support.shell import Shell

LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp (Linux: include/net/tcp_states.h)."""


def get(hub_user: HubUser, path: str, **options: Any) -> Any:
    """Send a request to the user's server."""
    answer = hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/{path}", timeout=150, **options)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
    return answer


def test_resource_bar_shows_the_limits(host: Any, hub_user: HubUser) -> None:
    """Memory in use, and the limit of the slice as the limit."""
    found = get(hub_user, "api/metrics/v1").json()
    limit = host.check_output(
        "systemctl show --property MemoryMax --value user-%s.slice", str(host.user(hub_user.name).uid)
    )
    assert found["rss"] > 0
    assert found["limits"]["memory"]["rss"] == int(limit)


def test_language_server_answers(hub_user: HubUser) -> None:
    """Completion and diagnostics for Python."""
    assert "pylsp" in str(get(hub_user, "lsp/status").json())


def test_git_extension_answers(hub_user: HubUser) -> None:
    """The side bar for git."""
    get(hub_user, "git/settings")


@pytest.fixture
def directory(host: Any, hub_user: HubUser) -> Any:
    """Make a directory with a file in the user's home."""
    home = host.user(hub_user.name).home
    host.check_output("runuser -u %s -- sh -c 'mkdir -p ~/verify-pack && echo packed > ~/verify-pack/x'", hub_user.name)
    yield "verify-pack"
    host.check_output("rm -rf %s/verify-pack %s/verify-unpack*", home, home)


def test_directory_is_downloaded_as_an_archive(hub_user: HubUser, directory: str) -> None:
    """A right click on a directory gives a zip file with what is in it."""
    answer = get(
        hub_user, f"directories/{directory}?archiveToken=1&archiveFormat=zip&followSymlinks=false&downloadHidden=false"
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.read(f"{directory}/x") == b"packed\n"


def rar(name: str, content: bytes) -> bytes:
    """Pack a file as RAR 4 does without compressing it: no free program writes this format."""

    def block(kind: int, flags: int, fields: bytes = b"", data: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + data

    size, check, unix, version, stored = len(content), zlib.crc32(content), 3, 20, 0x30
    fields = struct.pack("<LLBLLBBHL", size, size, unix, check, 0, version, stored, len(name), 0o100644) + name.encode()
    mark, archive, end = b"Rar!\x1a\x07\x00", block(0x73, 0, bytes(6)), block(0x7B, 0x4000)
    return mark + archive + block(0x74, 0x8000, fields, content) + end


@pytest.mark.parametrize("kind", ["zip", "7z", "tar", "tar.gz", "rar"])
def test_upload_is_unpacked_by_one_command(ssh: Shell, directory: str, kind: str) -> None:
    """All common formats are supported."""
    pack = f"bsdtar -c -a -f verify-unpack.{kind} {directory}"
    if kind == "rar":
        packed = base64.b64encode(rar(f"{directory}/x", b"packed\n")).decode()
        pack = f"echo {packed} | base64 -d > verify-unpack.rar"
    made = ssh.run(f"{pack} && gpulab unpack verify-unpack.{kind}")
    assert made.returncode == 0, made.stderr
    assert ssh.run(f"cat verify-unpack/{directory}/x; rm -r verify-unpack").stdout == "packed\n"


def test_one_packed_file_is_unpacked_too(ssh: Shell, directory: str) -> None:
    """A file.gz is no archive; it comes out under its own name."""
    made = ssh.run(f"gzip < {directory}/x > verify-unpack.csv.gz && gpulab unpack verify-unpack.csv.gz")
    assert made.returncode == 0, made.stderr
    assert ssh.run("cat verify-unpack.csv/verify-unpack.csv; rm -r verify-unpack.csv").stdout == "packed\n"


def test_tensorboard_answers_on_no_port(host: Any, hub_user: HubUser) -> None:
    """It is served through the user's own server, on a socket that no other user can reach."""
    uid = str(host.user(hub_user.name).uid)
    lines = host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    before = {line.split()[1] for line in lines if line.split()[3] == LISTENING and line.split()[7] == uid}
    page = get(hub_user, "tensorboard/")
    assert "TensorBoard" in page.text
    lines = host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    after = {line.split()[1] for line in lines if line.split()[3] == LISTENING and line.split()[7] == uid}
    assert after == before
