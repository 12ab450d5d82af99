# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of groups, read from the text of the files."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.users.groups import in_gshadow


def test_member_of_gshadow_alone_is_a_member() -> None:
    """Such a user gets the group from newgrp without a password."""
    assert in_gshadow("class:!::ada,eve\nempty:!*::\nbroken\n") == {"class": ["ada", "eve"], "empty": []}
