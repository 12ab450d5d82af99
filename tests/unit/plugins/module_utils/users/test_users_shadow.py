"""Password fields, days of expiry and members of groups, read from the text of the files."""

from __future__ import annotations

from ansible_collections.gpulab.core.plugins.module_utils.users.shadow import in_gshadow, shadow

SHADOW = "ada:$6$x:20000:0:99999:7:::\neve:!:20000:0:99999:7::1:\nnew:*:20000:0:99999:7::21000:\n"


def test_shadow_is_read() -> None:
    """Hash and day of expiry, where there is one."""
    assert shadow(SHADOW) == {"ada": ("$6$x", None), "eve": ("!", 1), "new": ("*", 21000)}


def test_member_of_gshadow_alone_is_a_member() -> None:
    """Such a user gets the group from newgrp without a password."""
    assert in_gshadow("class:!::ada,eve\nempty:!*::\nbroken\n") == {"class": ["ada", "eve"], "empty": []}
