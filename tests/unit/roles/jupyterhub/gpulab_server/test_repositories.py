# SPDX-License-Identifier: GPL-3.0-or-later
"""Links to git repositories, and repositories that other users can change."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpulab_server import repositories


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
            ("repository", value)
            for value in ("http://x/y", "ext::sh", "-u", "https://x", "https://a:b@x/y", 'https://x/"')
        ),
        *(("target", value) for value in (".ssh", "..", "/tmp", "a/b", "-x", "a\n", "a\x00", "~")),
        *(("branch", value) for value in ("-x", "--upload-pack=x", "a..b", "a b", "a\n", "x.lock")),
        *(
            ("page", value)
            for value in ("/x", "//x", "https://x", "lab/../..", "javascript:x", "proxy/1", "lab/a\n", "labx")
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
