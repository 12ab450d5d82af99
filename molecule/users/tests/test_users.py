# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily jobs of docs/how-to/users.md, done for real: a class comes, shares, is limited, leaves and comes back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pytest

from tests.support.hub import HubUser, LoginRejected
from tests.support.users import PASSWORD, UsersHost

SHARED = "/srv/shared/class-2031"


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait for something, not for long."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module", autouse=True)
def a_class(world: UsersHost) -> Iterator[None]:
    """Let two users come, and one adopt an account that was there with an open home."""
    world.root("useradd --create-home --shell /bin/sh old; chmod 755 /home/old; echo work > /home/old/work")
    world.users = [world.account(name, groups=["class-2031"]) for name in ("eve", "frank")]
    world.users += [world.account("old"), world.account("hank")]
    world.groups = {"class-2031": {"limits": {"tasks": 700, "memory": "3G"}, "shared_directory": True}}
    world.sync()
    yield
    world.root(f"userdel -rf old; userdel -rf hank; userdel -rf eve; userdel -rf frank; rm -rf {SHARED}")


def test_second_sync_changes_nothing(world: UsersHost) -> None:
    """It tells how long it took: the daily job is one of seconds."""
    assert "changed=0" in world.sync()
    print(f"\nplaybooks/users.yml with nothing to do: {world.seconds:.1f} s")  # noqa: T201


def test_adopted_home_is_closed_and_keeps_its_files(world: UsersHost) -> None:
    """An open home that was there before is its owner's alone now."""
    assert world.root("stat -c '%a %U' /home/old; cat /home/old/work").stdout.split()[-3:] == ["700", "old", "work"]
    assert world.shell("eve").run("cat /home/old/work").returncode != 0


def test_members_share_what_any_of_them_makes(world: UsersHost) -> None:
    """Files and directories, also Jupyter's checkpoints, whatever the umask; others stay out."""
    eve, frank, hank = (world.shell(name) for name in ("eve", "frank", "hank"))
    made = eve.run(
        f"umask 077; mkdir {SHARED}/.ipynb_checkpoints && echo 1 > {SHARED}/.ipynb_checkpoints/a && echo 1 > {SHARED}/b"
    )
    assert made.returncode == 0, made.stderr
    changed = frank.run(
        f"echo 2 >> {SHARED}/b && echo 2 > {SHARED}/.ipynb_checkpoints/a && rm {SHARED}/.ipynb_checkpoints/a"
    )
    assert changed.returncode == 0, changed.stderr
    assert hank.run(f"ls {SHARED}").returncode != 0
    assert world.root(f"stat -c '%a %U %G' {SHARED}").stdout.split()[-3:] == ["2770", "root", "class-2031"]


def test_changed_limit_holds_for_sessions_that_run(world: UsersHost) -> None:
    """The slice takes the new limit at once, and no session ends."""
    with world.shell("eve").start("cat") as session:
        assert until(lambda: world.root("pgrep -u eve cat").returncode == 0)
        slice_name = world.root("echo user-$(id -u eve).slice").stdout.split()[-1]
        for tasks in (700, 650):
            world.groups["class-2031"]["limits"]["tasks"] = tasks
            world.sync()
            shown = world.root(
                f"find -L /sys/fs/cgroup -maxdepth 4 -path '*/{slice_name}/pids.max' -exec cat {{}} +"
            ).stdout
            assert shown.split()[-1] == str(tasks)
        assert session.poll() is None
        session.kill()


def test_links_in_a_home_lead_roots_pen_nowhere(world: UsersHost) -> None:
    """A user's ~/.ssh is a link to root's: nothing is written there, and no other home is opened."""
    before = world.root("cat /root/.ssh/authorized_keys").stdout
    world.shell("eve").run("rm -rf ~/.ssh; ln -s /root/.ssh ~/.ssh")
    world.users[0] = {**world.users[0], "ssh_keys": [*world.users[0]["ssh_keys"], ANOTHER_KEY]}
    world.sync()
    assert world.root("cat /root/.ssh/authorized_keys").stdout == before
    assert ANOTHER_KEY in world.root("cat /etc/ssh/authorized_keys.d/eve").stdout
    world.shell("eve").run("rm ~/.ssh")


ANOTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKz82I3VnE8MeuUGAoOhFBakxbHz+0vgUHCdiTE1LjEP another@laptop"


def token(hub_user: HubUser) -> str:
    """Let the hub give a token for programs."""
    url = f"{hub_user.base}/hub/api/users/{hub_user.name}/tokens"
    answer = hub_user.web.post(url, headers=hub_user._xsrf(), json={"note": "test"}, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["token"])


def asks_with(hub_user: HubUser, secret: str) -> int:
    """Use a token and tell the status."""
    web = hub_user.web.__class__()
    web.verify, web.trust_env = False, False
    return int(
        web.get(f"{hub_user.base}/hub/api/user", headers={"Authorization": f"token {secret}"}, timeout=60).status_code
    )


@pytest.mark.parametrize("how", ["removed", "expired"])
def test_who_leaves_is_out_at_once(world: UsersHost, how: str) -> None:
    """Sessions end, the server ends, cookies and tokens are dead, no login works; the home stays."""
    name = {"removed": "eve", "expired": "frank"}[how]
    hub_user = world.hub_user(name)
    hub_user.start_server()
    secret = token(hub_user)
    assert asks_with(hub_user, secret) == 200
    world.shell(name).run("echo kept > ~/work")
    with world.shell(name).start("cat") as session:
        assert until(lambda: world.root(f"pgrep -u {name} cat").returncode == 0)
        before = next(user for user in world.users if user["name"] == name)
        rest = [user for user in world.users if user["name"] != name]
        yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).date().isoformat()
        world.users = rest if how == "removed" else [*rest, {**before, "expires": yesterday}]
        world.sync()
        assert session.wait(timeout=20) != 0
    assert world.root(f"pgrep -u {name}").returncode == 1
    assert asks_with(hub_user, secret) in (401, 403)
    assert hub_user.web.get(f"{hub_user.base}/hub/api/user", timeout=60, allow_redirects=False).status_code in (
        302,
        403,
    )
    page = hub_user.web.get(f"{hub_user.base}/user/{name}/api/contents", timeout=60, allow_redirects=False)
    assert page.status_code in (302, 403, 404, 424, 503)
    with pytest.raises(LoginRejected):
        world.hub_user(name)
    assert world.shell(name).run("true").returncode == 255
    assert world.root(f"cat /home/{name}/work").stdout.split()[-1] == "kept"
    world.users = [*rest, before]
    world.sync()
    assert world.shell(name).run("cat ~/work").stdout.strip() == "kept"
    assert isinstance(world.hub_user(name), HubUser)


def test_home_of_a_leaver_is_packed_away_where_that_is_requested(world: UsersHost) -> None:
    """The archive is root's and whole; the home is gone, the account and its number stay."""
    world.shell("hank").run("mkdir -p ~/a && echo deep > ~/a/b && ln -s /etc/shadow ~/link")
    uid = world.root("id -u hank").stdout.split()[-1]
    world.users = [user for user in world.users if user["name"] != "hank"]
    world.sync(users_leavers_home="archive")
    assert world.root("test -e /home/hank").returncode == 1
    listed = world.root("stat -c '%a %U' /var/lib/gpulab/homes/hank-*.tar.gz").stdout.split()
    assert listed[-2:] == ["600", "root"]
    assert world.root("tar -xzOf /var/lib/gpulab/homes/hank-*.tar.gz hank/a/b").stdout.split()[-1] == "deep"
    assert world.root("id -u hank").stdout.split()[-1] == uid
    world.root("rm -f /var/lib/gpulab/homes/hank-*")


def test_name_that_useradd_rejects_is_adopted_with_its_key(world: UsersHost) -> None:
    """Accounts of older systems and directories; groups with such names too."""
    world.root("useradd --badname --create-home grace.hopper; groupadd --badname Class.2031 || groupadd -f class-2031")
    group = world.root("getent group Class.2031 >/dev/null && echo Class.2031 || echo class-2031").stdout.split()[-1]
    staff = world.users
    try:
        world.users = [*staff, world.account("grace.hopper", groups=group)]
        world.sync()
        assert "changed=0" in world.sync()
        assert group in world.shell("grace.hopper").run("id -nG").stdout
        assert isinstance(world.hub_user("grace.hopper"), HubUser)
    finally:
        world.users = staff
        world.sync()
        world.root("userdel -rf grace.hopper; groupdel Class.2031")


def test_keys_are_installed_as_users_send_them(world: UsersHost) -> None:
    """A text of two keys with Windows' line ends, one of them with an option that sshd obeys."""
    public = world.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    before = world.users[0]
    try:
        world.users[0] = {**before, "ssh_keys": f"# laptop\r\nrestrict,pty {public}\r\n{ANOTHER_KEY}\r\n"}
        world.sync()
        assert "changed=0" in world.sync()
        assert world.shell(before["name"]).run("echo in").stdout.strip() == "in"
        returns = f"tr -cd '\\r' </etc/ssh/authorized_keys.d/{before['name']} | wc -c"
        assert world.root(returns).stdout.split()[-1] == "0"
    finally:
        world.users[0] = before
        world.sync()


def test_class_logs_in_with_start_passwords(world: UsersHost) -> None:
    """Made once; at the hub they open nothing before they are changed, and a changed one stays."""
    path = world.directory / "pupils.csv"
    path.write_text("name;group\njane;class-2031\n", encoding="utf-8")
    staff, options = world.users, "others=staff, start_passwords=true"
    try:
        world.users = "{{ lookup('gpulab.core.class_list', '%s', %s) }}" % (path, options)  # type: ignore[assignment]  # noqa: UP031
        world.sync(staff=staff)
        assert "changed=0" in world.sync(staff=staff)
        password = path.with_name("pupils.passwords.csv").read_text().splitlines()[1].split(",")[1]
        assert world.root("chage --list jane").stdout.count("must be changed") >= 1
        with pytest.raises(LoginRejected):
            HubUser(world.base, "jane", password, verify=False)
        world.root(f"printf jane:{PASSWORD} | chpasswd")
        assert isinstance(world.hub_user("jane"), HubUser)
        assert "changed=0" in world.sync(staff=staff)
        assert isinstance(world.hub_user("jane"), HubUser)
    finally:
        world.users = staff
        world.sync()
        world.root("userdel -rf jane")


def test_class_comes_from_a_spreadsheet(world: UsersHost) -> None:
    """A CSV file next to the inventory gives the accounts; a broken line is named, and nothing is changed."""
    public = world.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    path = world.directory / "class.csv"
    path.write_text(f"name;group;key\nivy;class-2031;{public}\n", encoding="utf-8")
    staff, listed = world.users, "{{ lookup('gpulab.core.class_list', '%s', others=staff) }}" % path  # noqa: UP031
    world.users = listed  # type: ignore[assignment]
    try:
        world.sync(staff=staff)
        assert "class-2031" in world.shell("ivy").run("id -nG").stdout
        path.write_text(f"name;group;key\nivy;class-2031;{public}\nJane Doe;class-2031;\n", encoding="utf-8")
        with pytest.raises(AssertionError, match=r"class\.csv: line 3: user 'Jane Doe'"):
            world.sync(staff=staff)
    finally:
        world.users = staff
        world.sync()
        world.root("userdel -rf ivy")


def test_work_goes_on_when_the_browser_is_closed(world: UsersHost) -> None:
    """A long cell runs on without anybody watching, and its result is there in the morning (of a short night)."""
    hub_user = world.hub_user("frank")
    hub_user.start_server()
    kernel = hub_user.kernel("ml")
    kernel.socket.send(
        kernel.message("import time, os; time.sleep(8); open(os.path.expanduser('~/morning'), 'w').write('done')")
    )
    time.sleep(1)
    kernel.socket.close()
    assert until(lambda: world.root("cat /home/frank/morning").stdout.strip().endswith("done"), 40)
    later = world.hub_user("frank")
    later.start_server()  # it runs already: this lets the new browser in
    ids = [each["id"] for each in later.web.get(f"{later.base}/user/frank/api/kernels", timeout=60).json()]
    assert kernel.id in ids
    later.stop_server()


def idle(hub_user: HubUser, number: str) -> bool:
    """Tell whether a kernel is gone, which only who is idle is."""
    answer = hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/api/kernels/{number}", timeout=60)
    return answer.status_code == 404


def test_silent_work_is_not_taken_for_idleness(world: UsersHost) -> None:
    """With the shortest clocks: a cell that says nothing for two minutes keeps its kernel and its server.

    An unused kernel ends meanwhile; when the work is done, the server ends too.
    """
    converge = ("site.yml", "--tags", "jupyterhub")
    done = world.lab.play(*converge, gpulab_idle={"kernel_minutes": 1, "server_minutes": 1})
    assert done.code == 0, done.output[-3000:]
    try:
        hub_user = world.hub_user("frank")
        hub_user.start_server()
        at_work, unused = hub_user.kernel("ml"), hub_user.kernel("ml")
        at_work.socket.send(at_work.message("import time; time.sleep(150); open('silent-work', 'w').write('done')"))
        time.sleep(1)
        at_work.socket.close()
        unused.socket.close()
        begun = time.monotonic()
        assert until(lambda: idle(hub_user, unused.id), 130)
        assert not idle(hub_user, at_work.id)
        assert until(lambda: world.root("cat /home/frank/silent-work").stdout.strip().endswith("done"), 180)
        assert time.monotonic() - begun > 120, "the cell did not outlast the clocks"
        assert world.root("systemctl is-active gpulab-server@$(id -u frank)").stdout.split()[-1] == "active"
        assert until(lambda: world.root("systemctl is-active gpulab-server@$(id -u frank)").returncode != 0, 240)
    finally:
        world.root("rm -f /home/frank/silent-work")
        assert world.lab.play(*converge).code == 0


def answers(hub_user: HubUser) -> bool:
    """Tell whether the hub is there again after a restart."""
    return bool(hub_user.web.get(f"{hub_user.base}/hub/api/", timeout=60).status_code == 200)


def test_host_without_room_says_so(world: UsersHost) -> None:
    """A server that would do harm is not started, and the user reads why; afterwards it starts."""
    hub_user = world.hub_user("frank")
    hub_user.stop_server()
    assert until(lambda: world.root("systemctl is-active gpulab-server@$(id -u frank)").returncode != 0)
    own = "/etc/gpulab/jupyterhub/jupyterhub_config.d/users-test.py"
    # The hub sees what is mounted when it starts.
    world.root("mount -t tmpfs -o size=1M small /var/lib/gpulab/servers && systemctl restart gpulab-hub")
    try:
        assert until(lambda: answers(hub_user), 60)
        with pytest.raises(RuntimeError, match=r"503.*disk is full \(/var/lib/gpulab/servers\): your server"):
            hub_user.start_server()
    finally:
        world.root("umount --lazy /var/lib/gpulab/servers")
    world.root(f"echo 'c.LabSpawner.least_memory = 2**60' > {own} && systemctl restart gpulab-hub")
    try:
        assert until(lambda: answers(hub_user), 60)
        with pytest.raises(RuntimeError, match=r"503.*This host is out of memory .* left\): try again"):
            hub_user.start_server()
    finally:
        world.root(f"rm {own} && systemctl restart gpulab-hub")
    assert until(lambda: answers(hub_user), 60)
    hub_user.start_server()
    hub_user.stop_server()


def test_files_in_memory_count(world: UsersHost) -> None:
    """A user who fills /dev/shm reaches the own limit and loses processes; other users lose none."""
    hub_user, neighbour = world.hub_user("frank"), world.hub_user("eve")
    hub_user.start_server()
    neighbour.start_server()
    slice_name = world.root("echo user-$(id -u frank).slice").stdout.split()[-1]
    world.root(f"systemctl set-property --runtime {slice_name} MemoryMax=500M")
    try:
        assert world.shell("frank").run("exec head -c 1500M /dev/zero > /dev/shm/filler").returncode in (137, 247, 255)
        filler = "/run/gpulab-users/$(id -u frank)/shm/filler"
        assert 50e6 < int(world.root(f"stat -c %s {filler}").stdout.split()[-1]) < 700e6
        with neighbour.kernel("ml") as kernel:
            assert kernel.run("print(6 * 7)").strip() == "42"
    finally:
        world.root(f"rm -f /run/gpulab-users/*/shm/filler; rm -rf /run/systemd/system.control/{slice_name}.d")
        world.root("systemctl daemon-reload")
    assert until(lambda: world.shell("frank").run("echo in").stdout == "in\n", 30)
    again = world.hub_user("frank")
    assert until(lambda: starts(again), 60)
    again.stop_server()
    neighbour.stop_server()


def starts(hub_user: HubUser) -> bool:
    """Try to start a server; the hub may not have seen yet that the one before is gone."""
    try:
        hub_user.start_server(timeout=30)
    except (RuntimeError, TimeoutError):
        return False
    with hub_user.kernel("ml") as kernel:
        return kernel.run("print(1)").strip() == "1"


def test_full_home_keeps_no_user_out(world: UsersHost) -> None:
    """A user whose home is full logs in, gets a server, deletes, and can write again."""
    hub_user = world.hub_user("frank")
    hub_user.stop_server()
    assert until(lambda: world.root("systemctl is-active gpulab-server@$(id -u frank)").returncode != 0)
    small = "mount -t tmpfs -o size=2M,mode=700,uid=$(id -u frank) small /home/frank"
    world.root(f"mv /home/frank /home/frank.kept && mkdir /home/frank && {small}")
    try:
        world.root("runuser -u frank -- sh -c 'head -c 3M /dev/zero > ~/big'")
        assert world.root("runuser -u frank -- sh -c 'echo x > ~/more'").returncode != 0
        assert world.shell("frank").run("echo in").stdout == "in\n"
        hub_user.start_server()
        url = f"{hub_user.base}/user/frank/api/contents/big"
        tokens = {cookie.path: cookie.value for cookie in hub_user.web.cookies if cookie.name == "_xsrf"}
        answer = hub_user.web.delete(url, headers={"X-XSRFToken": str(tokens.get("/user/frank/"))}, timeout=60)
        assert answer.status_code == 204, answer.text
        hub_user.stop_server()
    finally:
        until(lambda: world.root("umount /home/frank").returncode == 0)
        world.root("rmdir /home/frank && mv /home/frank.kept /home/frank")


def test_key_that_is_not_a_key_changes_nothing(world: UsersHost) -> None:
    """One message, before any host is touched."""
    staff = world.users
    world.users = [*staff, {"name": "kim", "ssh_keys": ["ssh-ed25519 AAAA"]}]
    try:
        with pytest.raises(AssertionError, match="SSH key 1 is not a public key"):
            world.sync()
        assert world.root("id kim").returncode != 0
    finally:
        world.users = staff


def test_openssl_made_the_word(world: UsersHost) -> None:
    """The hash that logs users in here is one that docs/how-to/users.md tells how to make."""
    argv = ["openssl", "passwd", "-6", "-salt", world.digest.split("$")[2], "-stdin"]
    found = subprocess.run(argv, input="a-word-for-the-test", capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == world.digest
