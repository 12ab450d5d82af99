"""What people expect to find in a notebook server: each answers in the person's own, running server."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest
from hub import Person
from shell import Shell

LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp (Linux: include/net/tcp_states.h)."""


def get(person: Person, path: str, **options: Any) -> Any:
    """Ask the person's server."""
    answer = person.web.get(f"{person.base}/user/{person.name}/{path}", timeout=150, **options)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
    return answer


def test_resource_bar_shows_the_budget(host: Any, person: Person) -> None:
    """Memory in use, and the limit of the slice as the limit."""
    found = get(person, "api/metrics/v1").json()
    limit = host.check_output(
        "systemctl show --property MemoryMax --value user-%s.slice", str(host.user(person.name).uid)
    )
    assert found["rss"] > 0
    assert found["limits"]["memory"]["rss"] == int(limit)


def test_language_server_is_there(person: Person) -> None:
    """Completion and diagnostics for Python."""
    assert "pylsp" in str(get(person, "lsp/status").json())


@pytest.mark.parametrize("path", ["git/settings", "git-pull?repo=https%3A%2F%2Fexample.org%2Fx"])
def test_git_and_links_to_repositories_are_there(person: Person, path: str) -> None:
    """The side bar for git, and the page that an nbgitpuller link opens."""
    get(person, path)


@pytest.fixture
def folder(host: Any, person: Person) -> Any:
    """Make a folder with a file in the person's home."""
    home = host.user(person.name).home
    host.check_output("runuser -u %s -- sh -c 'mkdir -p ~/verify-pack && echo packed > ~/verify-pack/x'", person.name)
    yield "verify-pack"
    host.check_output("rm -rf %s/verify-pack %s/verify-unpack*", home, home)


def test_folder_is_downloaded_as_an_archive(person: Person, folder: str) -> None:
    """A right click on a folder gives a zip file with what is in it."""
    answer = get(
        person, f"directories/{folder}?archiveToken=1&archiveFormat=zip&followSymlinks=false&downloadHidden=false"
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.read(f"{folder}/x") == b"packed\n"


@pytest.mark.parametrize("kind", ["zip", "7z", "tar.gz"])
def test_upload_is_unpacked_by_one_command(ssh: Shell, folder: str, kind: str) -> None:
    """Whatever packed it; rar can be read and not be made, so a file of it is not tried here."""
    made = ssh.run(f"bsdtar -c -a -f verify-unpack.{kind} {folder} && gpulab unpack verify-unpack.{kind}")
    assert made.returncode == 0, made.stderr
    assert ssh.run(f"cat verify-unpack/{folder}/x; rm -r verify-unpack").stdout == "packed\n"


def test_tensorboard_answers_on_no_port(host: Any, person: Person) -> None:
    """It comes through the person's own server, on a socket; nobody else on the host reaches it."""
    uid = str(host.user(person.name).uid)
    lines = host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    before = {line.split()[1] for line in lines if line.split()[3] == LISTENING and line.split()[7] == uid}
    page = get(person, "tensorboard/")
    assert "TensorBoard" in page.text
    lines = host.check_output("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    after = {line.split()[1] for line in lines if line.split()[3] == LISTENING and line.split()[7] == uid}
    assert after == before
