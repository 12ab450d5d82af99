# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on which the hub was root: an upgrade ends its servers once, and keeps users and their tokens."""

from __future__ import annotations

import json

from tests.support.lab import Lab

STATE, OLD_SECRET = "/var/lib/gpulab/jupyterhub", "/etc/gpulab/jupyterhub/proxy.env"
READ = f"""/usr/bin/python3 - <<'E'
import json, sqlite3
database = sqlite3.connect("{STATE}/jupyterhub.sqlite")
rows = database.execute("select name from users union select hashed from api_tokens where user_id is not null")
print(json.dumps(sorted(value for value, in rows)))
E"""  # noqa: S608  # a constant
MAKE_TOKEN = f"""runuser -u gpulab-hub -- /opt/gpulab/hub/current/bin/python - <<'E'
from jupyterhub import orm
database = orm.new_session_factory("sqlite:///{STATE}/jupyterhub.sqlite")()
user = orm.User.find(database, "ada")
if user is None:
    user = orm.User(name="ada")
    database.add(user)
    database.commit()
orm.APIToken.new(user=user, note="made before the upgrade")
E"""
"""As the hub makes a token for a program of a user's."""
OLD_LAYOUT = f"""
systemctl stop gpulab-hub
chown -R root:root {STATE} && chmod 0700 {STATE}
echo CONFIGPROXY_AUTH_TOKEN=old > {OLD_SECRET}
systemd-run --quiet --unit gpulab-server-ada sleep 600
"""


def printed(lab: Lab, command: str) -> str:
    """Return what a command prints on the host, in one line."""
    return lab.shell(command).partition("(stdout) ")[2].replace("\\n", " ").strip()


def test_old_layout_is_upgraded_once(lab: Lab) -> None:
    """Servers of the old layout end and are named; secrets between hub and proxy are new; the database stays."""
    lab.shell(MAKE_TOKEN)
    before = json.loads(printed(lab, READ))
    secrets = printed(lab, f"cat {STATE}/cookie_secret {STATE}/users.token | sha256sum")
    assert "ada" in before
    assert len(before) > 2, "the database holds no token: nothing would be proven"
    lab.shell(OLD_LAYOUT)
    done = lab.play("site.yml", "--tags", "jupyterhub", jupyterhub_drain_minutes=0)
    assert done.code == 0, done.output[-3000:]
    assert "Servers stopped once by this upgrade: ada." in done.text
    assert printed(lab, "systemctl list-units --plain --no-legend 'gpulab-server-*'").strip() == ""
    assert (
        printed(lab, f"stat -c %U {STATE} {STATE}/jupyterhub.sqlite {STATE}/users.token").split() == ["gpulab-hub"] * 3
    )
    assert printed(lab, f"cat {STATE}/cookie_secret {STATE}/users.token | sha256sum") != secrets
    assert printed(lab, f"test -e {OLD_SECRET} || echo gone").strip() == "gone"
    assert set(before) <= set(json.loads(printed(lab, READ)))
    again = lab.play("site.yml", "--tags", "jupyterhub")
    assert (again.code, again.changed) == (0, 0), again.output[-3000:]
