"""The modules that ask apt and DKMS, on recorded answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.modules import (
    archive_components,
    driver_candidates,
    driver_simulation,
    removable_packages,
)

OURS = "/etc/apt/sources.list.d/gpulab-nvidia-archive.list"


@dataclass
class Entry:
    """An entry of apt's sources, as python-apt gives it."""

    uri: str
    dist: str
    comps: list[str]
    file: str = "/etc/apt/sources.list"
    type: str = "deb"
    invalid: bool = False
    disabled: bool = False
    trusted_by: str = ""


@dataclass
class Line:
    """An entry in the old form."""

    line: str
    section: None = field(default=None)


def lacking(*entries: Entry) -> str:
    """Ask what lacks of three components."""
    return archive_components.lacking(entries, ["contrib", "non-free", "non-free-firmware"], OURS)


def test_missing_components_are_added_at_the_hosts_own_addresses() -> None:
    """Mirrors and suites stay; other vendors' entries and source packages are nobody's business."""
    found = lacking(
        Entry("http://mirror.example/debian", "bookworm", ["main"]),
        Entry("http://mirror.example/debian", "bookworm", ["contrib"]),
        Entry("http://security.example/debian-security", "bookworm-security", ["main"], trusted_by="/k.gpg"),
        Entry("https://vendor.example/apt", "stable", ["nightly"]),
        Entry("http://mirror.example/debian", "sid", ["main"], disabled=True),
        Entry("http://mirror.example/debian", "bookworm", ["main"], type="deb-src"),
    )
    assert found == (
        "deb http://mirror.example/debian bookworm non-free non-free-firmware\n"
        "deb [signed-by=/k.gpg] http://security.example/debian-security bookworm-security contrib non-free "
        "non-free-firmware\n"
    )


def test_own_entries_do_not_hide_what_lacks() -> None:
    """Else the second run would take them away again."""
    own = Entry("http://m.example/debian", "trixie", ["contrib", "non-free", "non-free-firmware"], file=OURS)
    assert "trixie contrib non-free" in lacking(Entry("http://m.example/debian/", "trixie", ["main"]), own)
    whole = Entry("http://m.example/debian", "trixie", ["main", "contrib", "non-free", "non-free-firmware"])
    assert lacking(whole) == ""


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (Line("deb [arch=amd64 signed-by=/usr/share/k.gpg] http://m.example x main"), "/usr/share/k.gpg"),
        (Line("deb [signed-by=/k.gpg arch=amd64] http://m.example x main"), "/k.gpg"),
        (Line("deb http://m.example x main"), ""),
    ],
)
def test_keyring_of_an_entry_is_kept(entry: Line, key: str) -> None:
    """Without it, apt would not trust the added lines."""
    assert archive_components.signed_by(entry) == key


VENDOR = "https://vendor.example/repos"
VERSIONS = [
    ("580.105.08-1", [f"{VENDOR}/debian12/x86_64/x.deb"]),
    ("580.95.05-1", [f"{VENDOR}/debian12/x86_64/y.deb"]),
    ("535.309.01-0+deb12u1", ["http://security.example/z.deb"]),
    ("535.261.03-1", ["http://mirror.example/z.deb"]),
    ("535.183.01-1", []),
]


@pytest.mark.parametrize(
    ("settings", "version"),
    [
        ({"branch": 580, "vendor": True}, "580.105.08-1"),
        ({"branch": 580, "vendor": True, "version": "580.95.05"}, "580.95.05-1"),
        ({"branch": 580, "vendor": True, "version": "580.9"}, ""),
        ({"branch": 580, "vendor": False}, ""),
        ({"branch": 535, "vendor": False}, "535.309.01-0+deb12u1"),
        ({"branch": 535, "vendor": False, "version": "535.261.03-1"}, "535.261.03-1"),
        ({"branch": 535, "vendor": True}, ""),
        ({"branch": 535, "vendor": False, "version": "535.183.01"}, "535.183.01-1"),
    ],
)
def test_newest_version_of_the_branch_is_picked_from_the_source(settings: dict[str, Any], version: str) -> None:
    """Never from another source, never another branch."""
    found, others = driver_candidates.pick(VERSIONS, {"version": "", "repository": VENDOR, **settings})
    assert found == version
    assert len(others) == len(VERSIONS) - bool(version)


def test_whole_driver_changes_its_version_and_nothing_else_does() -> None:
    """Libraries that are installed already would be left at the old version, were they not named with the new one."""
    known = {
        "nvidia-kernel-dkms": ["580.126.09-1", "580.95.05-1"],
        "nvidia-kernel-open-dkms": ["580.126.09-1", "580.95.05-1"],
        "libcuda1": ["580.126.09-1", "580.95.05-1"],
        "nvidia-modprobe": ["570.133.07-1"],
        "nvidia-smi": ["580.126.09-2", "580.95.05-1"],
    }
    installed = dict.fromkeys(("libcuda1", "nvidia-kernel-dkms", "nvidia-smi"), "580.95.05-1")
    wanted = ["nvidia-kernel-open-dkms", "libcuda1", "nvidia-modprobe"]
    found = driver_candidates.transaction(wanted, "580.126.09-1", known, installed, ["nvidia-kernel-dkms"])
    assert found == [
        "nvidia-kernel-open-dkms=580.126.09-1",
        "libcuda1=580.126.09-1",
        "nvidia-modprobe",
        "nvidia-smi=580.126.09-2",
    ]
    assert driver_candidates.transaction(["libcuda1"], "580.95.05-1", known, installed, ["nvidia-smi"]) == [
        "libcuda1",
    ]


class Host:
    """Answers like apt-get, dpkg-deb and dkms."""

    def __init__(self, log: str = "", fetch: int = 0) -> None:
        self.log, self.fetch, self.commands = log, fetch, list[list[str]]()

    def __call__(self, argv: list[str], cwd: str = "") -> tuple[int, str, str]:
        """Run a command."""
        self.commands.append(argv)
        if "--download-only" in argv:
            return self.fetch, "", "E: Unable to locate package" if self.fetch else ""
        if "download" in argv:
            (Path(cwd) / "x.deb").touch()
        if argv[0] == "dpkg-deb":
            directory = Path(argv[-1]) / "usr" / "src" / "nvidia-current-550.163.01"
            directory.mkdir(parents=True)
            (directory / "dkms.conf").write_text('PACKAGE_NAME="nvidia-current"\nPACKAGE_VERSION="550.163.01"\n')
        if argv[0] == "dkms" and self.log:
            tree = Path(argv[argv.index("--dkmstree") + 1]) / "nvidia-current" / "550.163.01" / "build"
            tree.mkdir(parents=True, exist_ok=True)
            (tree / "make.log").write_text(self.log)
            return 10, "", "Bad return status"
        return 0, "", ""


WISH = {"main": "nvidia-kernel-dkms", "packages": ["nvidia-kernel-dkms=550.163.01-2"], "kernels": ["6.12.117-amd64"]}
WISH["preferences"] = "Package: x"


def test_rehearsal_builds_aside() -> None:
    """Nothing is installed, and DKMS works in a directory that is gone afterwards."""
    host = Host()
    assert driver_simulation.rehearse(WISH, host) == ("", [])
    build = next(argv for argv in host.commands if argv[0] == "dkms")
    assert build[:6] == ["dkms", "build", "-m", "nvidia-current", "-v", "550.163.01"]
    assert not Path(build[build.index("--dkmstree") + 1]).exists()
    assert not any(
        argv[0] == "apt-get" and argv[-2] == "install" and "--download-only" not in argv for argv in host.commands
    )


def test_rehearsal_gives_the_compilers_errors() -> None:
    """And nothing else of a log of thousands of lines."""
    line = "nv-pci.c:237:9: error: too few arguments"
    log = f"  CC x.o\n{line}\nmake[1]: *** [x] Error 2\n{line}\n"
    assert driver_simulation.rehearse(WISH, Host(log)) == (
        "",
        ["6.12.117-amd64: nv-pci.c:237:9: error: too few arguments"],
    )


def test_rehearsal_says_when_nothing_can_be_fetched() -> None:
    """That is no fault of the module's."""
    assert "cannot be fetched" in driver_simulation.rehearse(WISH, Host(fetch=100))[0]


OURS_TO_REMOVE = ["nvidia-kernel-dkms", "dkms", "gcc", "gcc-12", "make", "libcuda1"]
INSTALLED: dict[str, list[list[str]]] = {
    "nvidia-kernel-dkms": [["dkms"], ["libcuda1"]],
    "dkms": [["gcc", "clang"], ["make"]],
    "gcc": [["gcc-12"]],
    "gcc-12": [],
    "make": [],
    "libcuda1": [],
    "clang": [],
    "bash": [[]],
}


@pytest.mark.parametrize(
    ("more", "stay"),
    [
        ({}, {}),
        ({"zfs-dkms": [["dkms"]]}, {"dkms": "zfs-dkms", "make": "dkms"}),
        ({"lab": [["gcc"], ["make", "ninja"]], "ninja": []}, {"gcc": "lab", "gcc-12": "gcc"}),
        ({"nvidia-cuda-toolkit": [["libcuda1"]]}, {"libcuda1": "nvidia-cuda-toolkit"}),
    ],
)
def test_what_others_need_by_now_stays(more: dict[str, list[list[str]]], stay: dict[str, str]) -> None:
    """With all that it needs itself; a need that something else fulfils holds nothing."""
    assert removable_packages.needed(OURS_TO_REMOVE, {**INSTALLED, **more}) == stay
