"""Files and directories as requested: what changes, what is kept, what is rejected."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.modules import host_files

ME = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}


def requested(path: Path, check: bool = False, **setting: Any) -> host_files.Wished:
    """Meet one setting."""
    rest: dict[str, Any] = {
        "state": "file",
        "content": None,
        "target": None,
        "mode": None,
        "mark": None,
        "force": True,
        "create": True,
    }
    found = host_files.Wished({"path": str(path), **rest, **ME, **setting}, check)
    found.meet()
    return found


def test_file_gets_content_and_mode_and_then_stays(tmp_path: Path) -> None:
    """The second run changes nothing."""
    path = tmp_path / "a"
    first = requested(path, content="one\n", mode="0640")
    assert (first.changed, path.read_text(), path.stat().st_mode & 0o7777) == (True, "one\n", 0o640)
    assert first.diffs[0] == {"before_header": str(path), "after_header": str(path), "before": "", "after": "one\n"}
    inode = path.stat().st_ino
    assert not requested(path, content="one\n", mode="0640").changed
    assert path.stat().st_ino == inode


def test_changed_content_is_swapped_in_one_step(tmp_path: Path) -> None:
    """Whoever has the old file open goes on reading it; nothing is left next to it."""
    path = tmp_path / "a"
    path.write_text("old\n")
    with path.open() as reader:
        assert requested(path, content="new\n", mode="0644").diffs[0]["before"] == "old\n"
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_alone_is_a_change(tmp_path: Path) -> None:
    """Somebody opened a private file: it is closed again."""
    path = tmp_path / "a"
    path.write_text("x")
    path.chmod(0o666)
    found = requested(path, content="x", mode="0600")
    assert found.changed
    assert "0666" in found.diffs[0]["before"]
    assert path.stat().st_mode & 0o7777 == 0o600


def test_kept_file_keeps_its_content_and_not_its_mode(tmp_path: Path) -> None:
    """A secret is made once; that it is private is seen to every time."""
    path = tmp_path / "secret"
    path.write_text("mine")
    path.chmod(0o644)
    assert requested(path, content="another", mode="0600", force=False).changed
    assert (path.read_text(), path.stat().st_mode & 0o7777) == ("mine", 0o600)


@pytest.mark.parametrize(
    "setting",
    [
        {"content": "x", "mode": "0600"},
        {"state": "directory", "mode": "0755"},
        {"state": "link", "target": "/etc/hosts"},
    ],
    ids=lambda setting: str(setting.get("state", "file")),
)
def test_check_mode_tells_and_does_nothing(tmp_path: Path, setting: dict[str, Any]) -> None:
    """Also below a directory and for an account that an earlier task would have created."""
    path = tmp_path / "not" / "yet"
    assert requested(path, check=True, **{**setting, "owner": "gpulab-nobody-yet"}).changed
    assert not path.parent.exists()


def test_folder_link_and_absence(tmp_path: Path) -> None:
    """Each is made once and then stays."""
    directory, link = tmp_path / "deep" / "directory", tmp_path / "link"
    for _ in range(2):
        results = [
            requested(directory, state="directory", mode="0750").changed,
            requested(link, state="link", target=str(directory)).changed,
        ]
    assert results == [False, False]
    assert link.resolve() == directory
    assert directory.stat().st_mode & 0o7777 == 0o750
    assert requested(link, state="link", target="/etc/hosts").changed
    assert requested(link, state="absent").changed
    assert not requested(link, state="absent").changed
    assert requested(directory, state="absent").changed
    assert not directory.exists()


def test_link_gives_way_to_a_file_and_its_target_stays(tmp_path: Path) -> None:
    """What a link points at may be anybody's: it is never written through."""
    other, path = tmp_path / "other", tmp_path / "link"
    other.write_text("somebody's")
    path.symlink_to(other)
    requested(path, content="ours", mode="0644")
    assert (other.read_text(), path.read_text(), path.is_symlink()) == ("somebody's", "ours", False)


def test_what_is_in_the_way_is_rejected_by_name(tmp_path: Path) -> None:
    """A directory is never replaced by a file, a file never by a directory or a link."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(host_files.CannotBeMade, match="directory is there and is not a file: move it away"):
        requested(tmp_path / "directory", content="x", mode="0644")
    settings: list[dict[str, Any]] = [{"state": "directory", "mode": "0755"}, {"state": "link", "target": "/x"}]
    for setting in settings:
        with pytest.raises(host_files.CannotBeMade, match="file is there and is not a"):
            requested(tmp_path / "file", **setting)
    assert (tmp_path / "file").read_text() == "x"


def test_unknown_account_is_named(tmp_path: Path) -> None:
    """Nothing is left behind when the file cannot be given to its owner."""
    with pytest.raises(host_files.CannotBeMade, match="no such user"):
        requested(tmp_path / "a", content="x", mode="0600", owner="gpulab-nobody")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"path": "etc/x", "content": "x", "mode": "0644"}, "must be absolute"),
        ({"path": "/x", "content": None, "mode": None}, "state file needs content and mode"),
        ({"path": "/x", "state": "link", "target": None}, "state link needs target"),
        ({"path": "/x", "state": "directory", "mode": None}, "state directory needs mode"),
    ],
)
def test_setting_that_is_wrong_in_itself_is_told(setting: dict[str, Any], words: str) -> None:
    """Before anything is changed."""
    assert words in host_files.problem({"state": "file", **setting})


def test_block_leaves_what_others_wrote(tmp_path: Path) -> None:
    """Our lines come behind theirs, keep their place when they change, and replace those of Ansible's blockinfile."""
    path = tmp_path / "Renviron.site"
    path.write_text("TZ=UTC")
    assert requested(path, state="block", content="A=1\n", mark="gpulab", mode="0644").changed
    assert path.read_text() == "TZ=UTC\n# begin gpulab\nA=1\n# end gpulab\n"
    assert not requested(path, state="block", content="A=1\n", mark="gpulab", mode="0644").changed
    path.write_text("# BEGIN gpulab\nA=0\n# END gpulab\nB=2\n")
    assert requested(path, state="block", content="A=1\n", mark="gpulab", mode="0644").changed
    assert path.read_text() == "# begin gpulab\nA=1\n# end gpulab\nB=2\n"


def test_block_makes_the_file_and_rejects_what_is_no_text(tmp_path: Path) -> None:
    """Nothing is lost of a file that cannot be read as text."""
    path = tmp_path / "a"
    assert requested(path, state="block", content="A=1\n", mark="x", mode="0644").changed
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(host_files.CannotBeMade, match="is no text"):
        requested(path, state="block", content="A=1\n", mark="x", mode="0644")
    assert path.read_bytes() == b"\xff\xfe"


def test_block_of_a_file_that_does_not_exist_is_skipped(tmp_path: Path) -> None:
    """A service that the host lacks gets no configuration that holds nothing else."""
    path = tmp_path / "service"
    assert not requested(path, state="block", content="line\n", mark="lab", mode="0644", create=False).changed
    assert not path.exists()
    path.write_text("first\n")
    assert requested(path, state="block", content="line\n", mark="lab", mode="0644", create=False).changed
    assert path.read_text() == "first\n# begin lab\nline\n# end lab\n"


def test_directory_of_a_package_keeps_its_mode(tmp_path: Path) -> None:
    """It is made where it is missing, and left as it is where the package made it."""
    path = tmp_path / "rules.d"
    assert requested(path, state="directory", mode="0755", force=False).changed
    path.chmod(0o700)
    assert not requested(path, state="directory", mode="0755", force=False).changed
    assert path.stat().st_mode & 0o7777 == 0o700


def test_file_is_checked_before_it_is_replaced(tmp_path: Path) -> None:
    """What the command rejects is not written, and its output is in the message; check mode does not run it."""
    path = tmp_path / "a"
    requested(path, content="good\n", mode="0644", validate="grep -q good %s")
    with pytest.raises(host_files.CannotBeMade, match="was not changed: sh rejects it: line 1 is bad"):
        requested(path, content="bad\n", mode="0644", validate="sh -c 'echo line 1 is bad >&2; exit 1' %s")
    assert path.read_text() == "good\n"
    assert requested(path, check=True, content="bad\n", mode="0644", validate="false %s").changed
    assert path.read_text() == "good\n"
    assert list(tmp_path.iterdir()) == [path]


def test_file_of_a_package_that_is_not_installed_is_skipped(tmp_path: Path) -> None:
    """Without its directory nothing would read it."""
    path = tmp_path / "service.d" / "ours.conf"
    assert not requested(path, content="x\n", mode="0644", create=False).changed
    path.parent.mkdir()
    assert requested(path, content="x\n", mode="0644", create=False).changed
