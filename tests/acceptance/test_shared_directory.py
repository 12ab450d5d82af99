# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a notebook or an R session in a shared directory runs no code that another user has put there."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.expected import Expected
from tests.support.hub import HubUser
from tests.support.shell import Shell

MODULES = [
    *("ipykernel_launcher", "ipykernel", "IPython", "runpy", "json", "asyncio", "socket", "typing", "logging", "site"),
    *("sitecustomize", "usercustomize", "zmq", "traitlets", "jupyter_client", "debugpy", "psutil", "comm", "tornado"),
    *("ipython_config", "ipython_kernel_config", "pip", "importlib"),
]
"""Names that a starting kernel may import."""
LOCAL = "verify_local"
"""A module of the directory that a cell imports on purpose."""
SAVE = ".First <- function() cat('.RData', file = '{mark}', append = TRUE); save(.First, file = '{path}/.RData')"


@dataclass(frozen=True)
class Place:
    """A shared directory, its name below the user's home, and the file that foreign code would write."""

    host: Any
    path: str
    link: str
    mark: str

    def ran(self) -> str:
        """Return what ran since the last call."""
        text = str(self.host.check_output("cat %s", self.mark))
        self.host.check_output(": > %s", self.mark)
        return text


@pytest.fixture(scope="module")
def place(host: Any, expected: Expected, hub_user: HubUser, neighbour: HubUser) -> Iterator[Place]:
    """Let the neighbour fill a directory of the user's group with files that leave a mark when they run."""
    if not expected.disposable:
        pytest.skip("this is a live host: nothing is put into its shared directories")
    groups = next(user.get("groups", []) for user in expected.users if user["name"] == hub_user.name)
    shared = [group for group in expected.shared["groups"] if group in groups]
    if not shared:
        pytest.skip(f"{hub_user.name} has no shared directory: they were not tested")
    home, link = host.user(hub_user.name).home, "verify-shared"
    path = f"{expected.shared['path']}/{shared[0]}/verify-open"
    mark = f"{path}/MARK"
    files = {f"{name}.py": f"open({mark!r}, 'a').write('{name} ')\n" for name in MODULES}
    files |= {f"{LOCAL}.py": "VALUE = 6 * 7\n", ".Renviron": "VERIFY_FOREIGN=.Renviron\n"}
    files |= {".Rprofile": f"cat('.Rprofile ', file = '{mark}', append = TRUE)\n"}
    host.check_output("rm -rf %s && mkdir -p %s && : > %s", path, path, mark)
    for name, text in files.items():
        host.check_output("printf %%s %s > %s", text, f"{path}/{name}")
    if host.exists("R"):
        host.check_output("R --vanilla --slave -e %s", SAVE.format(mark=mark, path=path))
    host.check_output("chown -R %s %s && chmod -R a+rX %s && chmod a+w %s", neighbour.name, path, path, mark)
    host.check_output("ln -sfn %s %s", path, f"{home}/{link}")
    yield Place(host, path, link, mark)
    host.check_output("rm -rf %s %s", path, f"{home}/{link}")


def test_marks_are_left_by_what_runs(host: Any, place: Place) -> None:
    """The tests below would also pass with broken files."""
    host.check_output("cd %s && /usr/bin/python3 -c 'import zmq'", place.path)
    assert place.ran() == "zmq "


@pytest.fixture(scope="module")
def registered(host: Any, hub_user: HubUser, expected: Expected) -> Iterator[str]:
    """Register a kernel as `ipython kernel install --user` does."""
    home, name = host.user(hub_user.name).home, "verify-own"
    spec = {
        "argv": [expected.interpreter, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": name,
        "language": "python",
    }
    path = f"{home}/.local/share/jupyter/kernels/{name}"
    write = f"mkdir -p {path} && printf %s {shlex.quote(json.dumps(spec))} > {path}/kernel.json"
    host.check_output("runuser -u %s -- sh -c %s", hub_user.name, write)
    yield name
    host.check_output("rm -rf %s", path)


@pytest.mark.parametrize("which", ["lab", "own"])
def test_notebook_opens_without_running_foreign_code(
    hub_user: HubUser, place: Place, expected: Expected, registered: str, which: str
) -> None:
    """Also with a kernel that the user registered; cells still import from their directory."""
    with hub_user.kernel(registered if which == "own" else expected.kernels["python"], place.link) as kernel:
        assert kernel.run("print(6 * 7)").strip() == "42"
        assert place.ran() == ""
        assert kernel.run(f"import os, {LOCAL}; print({LOCAL}.VALUE, os.getcwd())").split() == ["42", place.path]
        kernel.run("print(6 * 7)")
    # Kernels also import when they end.
    assert place.ran() == ""


def test_pip_runs_there_without_foreign_code(ssh: Shell, hub_user: HubUser, place: Place, expected: Expected) -> None:
    """In a notebook and in a terminal; `python -m pip` would search the directory first."""
    with hub_user.kernel(expected.kernels["python"], place.link) as kernel:
        assert " from /opt/gpulab/tools/" in kernel.run("%pip --version")
    done = ssh.run(f"cd {place.path} && pip --version && uv pip list && gpulab env repair")
    assert done.returncode == 0, done.stderr
    assert place.ran() == ""


def test_own_directory_comes_first_in_notebooks(host: Any, hub_user: HubUser, expected: Expected) -> None:
    """Where no other user can write, a module of one's own may replace an installed one, as in IPython everywhere."""
    home = host.user(hub_user.name).home
    make = "mkdir -p ~/verify-first && echo 'VALUE = 1' > ~/verify-first/psutil.py"
    host.check_output("runuser -u %s -- sh -c %s", hub_user.name, make)
    try:
        with hub_user.kernel(expected.kernels["python"], "verify-first") as kernel:
            assert kernel.run("import psutil, sys; print(psutil.VALUE, sys.path.index('') > 0)").split() == [
                "1",
                "True",
            ]
    finally:
        host.check_output("rm -rf %s/verify-first", home)


R = "cat(Sys.getenv('VERIFY_FOREIGN', 'none'), exists('.First'), basename(getwd()))"
OPENED = "none FALSE verify-open"


def test_r_notebook_opens_without_running_foreign_code(
    hub_user: HubUser, place: Place, expected: Expected, host: Any
) -> None:
    """Neither .Rprofile nor .Renviron nor .RData of the directory."""
    if not host.exists("R"):
        pytest.skip("there is no R on this host")
    with hub_user.kernel(expected.kernels["r"], place.link) as kernel:
        assert kernel.run(R).strip() == OPENED
    assert place.ran() == ""


@pytest.mark.parametrize("command", ["R --slave -e", "Rscript -e"])
def test_r_starts_there_without_running_foreign_code(ssh: Shell, place: Place, host: Any, command: str) -> None:
    """In a terminal, over SSH and in scripts."""
    if not host.exists("R"):
        pytest.skip("there is no R on this host")
    done = ssh.run(f"cd {place.path} && {command} {shlex.quote(R)} </dev/null")
    assert OPENED in done.stdout, done.stderr
    assert place.ran() == ""


def test_r_reads_the_files_of_own_projects(ssh: Shell, host: Any) -> None:
    """A directory that no other user may write to is as it is in R everywhere (renv lives on that)."""
    if not host.exists("R"):
        pytest.skip("there is no R on this host")
    make = "rm -rf verify-project; umask 022; mkdir verify-project && cd verify-project"
    make += " && echo 'cat(\"profile \")' > .Rprofile && echo VERIFY_OWN=environ > .Renviron"
    make += " && R --vanilla --slave -e 'kept <- 1; save(kept, file = \".RData\")'"
    try:
        done = ssh.run(f"{make} && R --slave -e \"cat(Sys.getenv('VERIFY_OWN'), exists('kept'))\"")
        assert done.stdout == "profile environ TRUE", done.stderr
    finally:
        ssh.run("rm -rf verify-project")


def test_kernel_is_registered_from_there_without_running_foreign_code(
    ssh: Shell, place: Place, expected: Expected
) -> None:
    """`gpulab kernel add` queries the environment for ipykernel and registers a file name."""
    environment = expected.interpreter.removesuffix("/bin/python")
    try:
        done = ssh.run(f"cd {place.path} && gpulab kernel add {environment} --name verify-added")
        assert done.returncode == 0, done.stderr
        spec = json.loads(ssh.run("cat .local/share/jupyter/kernels/verify-added/kernel.json").stdout)
        assert spec["argv"][1].endswith("/ipykernel_launcher.py")
    finally:
        ssh.run("gpulab kernel remove verify-added")
    assert place.ran() == ""


@pytest.fixture(scope="module")
def repository(host: Any, hub_user: HubUser, place: Place) -> Iterator[str]:
    """Let the user clone into the shared directory, and the neighbour change what git runs there."""
    path = f"{place.path}-repository"
    group = host.file(path.rpartition("/")[0]).group
    host.check_output("rm -rf %s", path)
    host.check_output("runuser -u %s -- git init --quiet %s", hub_user.name, path)
    run = f"printf 'git ' >> {place.mark}; false"
    host.check_output("git config --file %s core.fsmonitor %s", f"{path}/.git/config", run)
    host.check_output("chown -R %s:%s %s && chmod -R g+w %s", hub_user.name, group, path, path)
    link = f"{host.user(hub_user.name).home}/verify-repository"
    host.check_output("ln -sfn %s %s", path, link)
    yield "verify-repository"
    host.check_output("rm -rf %s %s", path, link)


def git_status(hub_user: HubUser, path: str) -> int:
    """Request the status of a repository, as JupyterLab does for every opened directory; return the HTTP status."""
    tokens = {cookie.path: str(cookie.value) for cookie in hub_user.web.cookies if cookie.name == "_xsrf"}
    headers = {"X-XSRFToken": tokens[f"/user/{hub_user.name}/"]}
    url = f"{hub_user.base}/user/{hub_user.name}/git/{path}/status"
    return int(hub_user.web.post(url, json={}, headers=headers, timeout=60).status_code)


def test_git_runs_nothing_where_others_change_the_repository(hub_user: HubUser, place: Place, repository: str) -> None:
    """The user owns it, so git's own check lets it pass."""
    assert git_status(hub_user, repository) == 404
    assert place.ran() == ""


def test_git_works_in_own_repositories(host: Any, hub_user: HubUser) -> None:
    """As before."""
    home = host.user(hub_user.name).home
    host.check_output("runuser -u %s -- git init --quiet %s/verify-git", hub_user.name, home)
    try:
        assert git_status(hub_user, "verify-git") == 200
    finally:
        host.check_output("rm -rf %s/verify-git", home)


PACK = "import zipfile; zipfile.ZipFile('{home}/verify.zip', 'w').writestr('.verify-hidden', 'x')"


def test_archive_is_unpacked_into_a_directory_of_its_own(host: Any, hub_user: HubUser) -> None:
    """Hidden names in it would else be files of the home, such as .bashrc."""
    home = host.user(hub_user.name).home
    host.check_output("runuser -u %s -- /usr/bin/python3 -c %s", hub_user.name, PACK.format(home=home))
    tokens = {cookie.path: str(cookie.value) for cookie in hub_user.web.cookies if cookie.name == "_xsrf"}
    url = f"{hub_user.base}/user/{hub_user.name}/extract-archive/verify.zip"
    try:
        assert hub_user.web.get(url, timeout=60).status_code == 403
        headers = {"X-XSRFToken": tokens[f"/user/{hub_user.name}/"]}
        assert hub_user.web.get(url, headers=headers, timeout=60).status_code == 200
        assert host.file(f"{home}/verify/.verify-hidden").exists
        assert not host.file(f"{home}/.verify-hidden").exists
        assert hub_user.web.get(url, headers=headers, timeout=60).status_code == 400
    finally:
        host.check_output("rm -rf %s/verify.zip %s/verify %s/.verify-hidden", home, home, home)
