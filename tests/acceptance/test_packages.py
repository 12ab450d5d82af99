# SPDX-License-Identifier: GPL-3.0-or-later
"""Users install packages of their own on top of the lab's environment, everywhere with the same commands."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
import websocket

from tests.support.expected import Expected
from tests.support.hub import HubUser, Kernel, server_unit
from tests.support.packages import layer, r_package, upload, wheel
from tests.support.shell import Shell

WHEELS = "verify-wheels"
"""Directory with the tests' packages in the home of the user."""
LOCAL = f"--no-index --find-links $HOME/{WHEELS}"
"""Without an index nothing can be downloaded: the lab's packages must be used."""
WAYS = ("magic", "shell-escape", "terminal", "ssh", "ssh-module", "ssh-uv", "reticulate")
START = "/opt/gpulab/server/current/lib/python3*/site-packages/gpulab_server/kernel_start.py"

STARTS = """
import glob, subprocess, sys, time
python, (start,) = sys.argv[1], glob.glob(sys.argv[2])
plain = [python, "-c", "from ipykernel.kernelapp import launch_new_instance as start; start()"]
def seconds(argv):
    begin = time.monotonic()
    subprocess.run([*argv, "--version"], stdout=subprocess.DEVNULL, check=True, timeout=60)
    return time.monotonic() - begin
pairs = [(seconds(plain), seconds([python, start, "ipykernel_launcher"])) for _ in range(5)]
print(*map(min, zip(*pairs)))
"""
"""Measures the start of a kernel without and with the layer: the shortest of five, in seconds."""


@pytest.fixture(scope="module")
def base(host: Any, expected: Expected, login: tuple[str, str]) -> PurePosixPath:
    """Return the directory of the user's layers of the environment."""
    return PurePosixPath(layer(host, expected, login[0])).parent


@pytest.fixture(scope="module")
def own(ssh: Shell, host: Any, expected: Expected) -> Iterator[str]:
    """Return the directory of the user's layer, which is empty at the beginning; the home has the tests' packages."""
    ssh.run("gpulab env reset")
    home = host.user(ssh.name).home
    packages = [wheel(f"verify-{way}", "torch", "numpy>1.20") for way in WAYS]
    packages += [wheel("verify-numpy", "numpy==99.0"), wheel("numpy", version="99.0"), wheel("verify-plain")]
    packages += [wheel("verify-torch", "torch==1.0"), wheel("torch", version="1.0")]
    upload(host, ssh.name, f"{home}/{WHEELS}", *packages, r_package("verifyr"))
    yield layer(host, expected, ssh.name)
    ssh.run(f"gpulab env reset; rm -rf {WHEELS} verify-fs ~/.local/share/gpulab/envs/*-removed.txt")
    ssh.run('Rscript -e \'remove.packages(intersect(c("verifyr", "verifystudio"), rownames(installed.packages())))\'')


@pytest.fixture(scope="module")
def notebook(own: str, hub_user: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return a Python kernel that was started with the empty layer."""
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        yield kernel


@pytest.fixture(scope="module")
def r_notebook(own: str, hub_user: HubUser, expected: Expected) -> Iterator[Kernel]:
    """Return an R kernel."""
    with hub_user.kernel(expected.kernels["r"]) as kernel:
        yield kernel


def run_in_terminal(hub_user: HubUser, command: str) -> str:
    """Run a command in a new terminal of JupyterLab and return what it prints."""
    root = f"{hub_user.base}/user/{hub_user.name}"
    tokens = {cookie.path: cookie.value for cookie in hub_user.web.cookies if cookie.name == "_xsrf"}
    headers = {"X-XSRFToken": str(tokens.get(f"/user/{hub_user.name}/"))}
    name = hub_user.web.post(f"{root}/api/terminals", headers=headers, timeout=60).json()["name"]
    options = {"ca_certs": hub_user.verify} if isinstance(hub_user.verify, str) else {"cert_reqs": 0}
    connection = websocket.create_connection(
        f"{root.replace('http', 'ws', 1)}/terminals/websocket/{name}",
        cookie="; ".join(f"{cookie.name}={cookie.value}" for cookie in hub_user.web.cookies),
        origin=hub_user.base,
        sslopt=options if root.startswith("https") else None,
        timeout=60,
    )
    connection.send(json.dumps(["stdin", f"{command}; echo en''d\r"]))
    printed, until = "", time.monotonic() + 60
    while "\nend" not in printed and time.monotonic() < until:
        kind, *texts = json.loads(connection.recv())
        printed += texts[0] if kind == "stdout" else ""
    connection.close()
    hub_user.web.delete(f"{root}/api/terminals/{name}", headers=headers, timeout=60)
    return printed


@pytest.fixture(scope="module")
def installed(own: str, notebook: Kernel, r_notebook: Kernel, ssh: Shell, hub_user: HubUser) -> None:
    """Install one package in each way."""
    notebook.run(f"%pip install {LOCAL} verify-magic")
    notebook.run(f"!pip install {LOCAL} verify-shell-escape")
    run_in_terminal(hub_user, f"pip install {LOCAL} verify-terminal")
    programs = {"ssh": "pip", "ssh-module": "python -m pip", "ssh-uv": "uv pip"}
    ssh.run("; ".join(f"{program} install {LOCAL} verify-{way}" for way, program in programs.items()))
    options = f'c("--no-index", paste0("--find-links=", path.expand("~/{WHEELS}")))'
    r_notebook.run(f'library(reticulate); py_install("verify-reticulate", pip_options = {options})')


@pytest.mark.parametrize("way", WAYS)
def test_package_is_installed_in_every_way(installed: None, own: str, ssh: Shell, way: str) -> None:
    """It is in the user's layer, and no package of the lab was downloaded or copied for it."""
    done = ssh.run(f"ls {own}/lib/python3*/site-packages")
    assert f"verify_{way.replace('-', '_')}.py" in done.stdout.split(), done
    assert not {"torch", "numpy"} & set(done.stdout.split())


def test_package_is_imported_everywhere(
    installed: None, own: str, notebook: Kernel, r_notebook: Kernel, ssh: Shell
) -> None:
    """In the running kernel, over SSH, and in R; its program is on PATH."""
    code = "import importlib; importlib.invalidate_caches(); import verify_ssh, torch; print(verify_ssh.__file__)"
    expected = f"{own}/lib/python{own.rpartition('/')[2]}/site-packages/verify_ssh.py"
    assert notebook.run(code).strip() == expected
    assert ssh.run(f"python -c '{code}'").stdout.strip() == expected
    assert r_notebook.run('cat(import("verify_ssh")$`__file__`)') == expected
    assert (
        notebook.run("!verify-terminal").strip() == ssh.run("verify-terminal").stdout.strip() == "verify-terminal 1.0"
    )


def test_layer_is_the_users_alone(installed: None, own: str, host: Any, neighbour: HubUser, expected: Expected) -> None:
    """Other users cannot read it and do not get its packages, and the lab's environment is as it was."""
    shell = "runuser -u %s -- sh -c %s"
    assert host.run(shell, neighbour.name, f"ls {own}").rc != 0
    assert host.run(shell, neighbour.name, f"{expected.interpreter} -c 'import verify_ssh'").rc != 0
    release = host.check_output("realpath %s", str(PurePosixPath(expected.interpreter).parents[1]))
    assert host.check_output("find %s -newer %s/pyvenv.cfg -not -type d | head -3", release, own) == ""


def test_server_does_not_use_the_layer(installed: None, own: str, host: Any, hub_user: HubUser) -> None:
    """The user's server, which holds a token, has neither its packages nor its programs."""
    number = host.check_output("systemctl show --property MainPID --value %s", server_unit(host, hub_user.name))
    variables = host.check_output("tr '\\0' '\\n' < /proc/%s/environ", number)
    assert "PATH=" in variables
    assert own not in variables
    assert own not in host.check_output("cat /proc/%s/maps", number)


@pytest.mark.parametrize("program", ["pip", "python -m pip", "uv pip"])
def test_other_version_of_a_framework_library_is_rejected(
    own: str, ssh: Shell, expected: Expected, program: str
) -> None:
    """With one sentence that names the lab's version and two fixes; the layer stays as it was."""
    code = "import importlib.metadata as m; print(*map(m.version, ['torch', 'numpy']))"
    packages = ("verify-torch", "torch==1.0", "verify-numpy", "numpy==99.0")
    attempts = "; ".join(f"{program} install {LOCAL} {package} && echo installed" for package in packages)
    kept = "gpulab env freeze > before", "gpulab env freeze | diff before -; rm before"
    done = ssh.run(f'{expected.interpreter} -I -c "{code}"; {kept[0]}; {attempts}; {kept[1]}')
    torch, numpy = done.stdout.splitlines()[0].split()
    assert not {"installed", ">", "<"} & set(done.stdout.split())
    lines = [line for line in done.stderr.splitlines() if line.startswith("gpulab: ")]
    for line, library in zip(lines, [f"torch {torch}"] * 2 + [f"numpy {numpy}"] * 2, strict=True):
        assert f"has {library}" in line
        assert f"`gpulab env unlock {library.split()[0]}`" in line
        assert "gpulab kernel add" in line


@pytest.mark.parametrize("program", ["pip", "uv pip"])
def test_other_version_is_installed_when_it_is_forced(own: str, ssh: Shell, program: str) -> None:
    """For this user only, and until the user removes it."""
    install = f"gpulab env unlock numpy && {program} install {LOCAL} verify-numpy && gpulab env freeze"
    remove = "pip uninstall --yes --quiet verify-numpy numpy; gpulab env unlock --undo numpy >&2"
    done = ssh.run(f"{install}; {remove}; echo; echo after; gpulab env freeze; gpulab env list")
    before, _, after = done.stdout.partition("\nafter\n")
    assert "numpy==99.0" in before, done.stderr
    assert "numpy" not in after


def test_package_with_compiled_parts_is_installed(own: str, ssh: Shell, notebook: Kernel) -> None:
    """From the host's own sources, and the kernel imports it."""
    done = ssh.run("pip install ujson")
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("the package sources of this host do not have ujson: no package with compiled parts was tested")
    assert done.returncode == 0, done.stderr
    assert (
        notebook.run("import importlib; importlib.invalidate_caches(); import ujson; print(ujson.__file__)")
        .strip()
        .endswith(".so")
    )


BROKEN = {
    "interpreter": "rm {own}/bin/python",
    "users-pth-exits": "echo 'import sys; sys.exit(3)' > {site}/aa.pth",
    "shadowed-modules": "mkdir {site}/ipykernel && echo 1/0 > {site}/ipykernel/__init__.py",
    "not-readable": "chmod 000 {own}",
}
"""Ways to break a layer, by a name."""


@pytest.mark.parametrize("how", BROKEN)
def test_broken_layer_keeps_no_kernel_from_starting(
    own: str, ssh: Shell, hub_user: HubUser, expected: Expected, how: str
) -> None:
    """The first cell has a warning of one line, doctor repeats it, and a command mends it without loss."""
    site = f"{own}/lib/python{own.rpartition('/')[2]}/site-packages"
    broken = ssh.run(f"pip install --quiet --no-deps {LOCAL} verify-plain && {BROKEN[how].format(own=own, site=site)}")
    assert broken.returncode == 0, broken.stderr
    try:
        with hub_user.kernel(expected.kernels["python"]) as kernel:
            assert kernel.run("import numpy; print(numpy.__name__)").strip() == "numpy"
            warnings = [line for line in kernel.warnings.splitlines() if line.startswith("gpulab: ")]
        doctor = ssh.run("gpulab doctor --quick").stdout
    finally:
        mend = f"chmod 700 {own}; rm -rf {site}/aa.pth {site}/ipykernel; gpulab env repair"
        repaired = ssh.run(f"{mend} && python -c 'import verify_plain, numpy'")
    assert repaired.returncode == 0, repaired.stderr
    # The kernel has the lab's own modules before it reads the layer.
    count = 0 if how == "shadowed-modules" else 1
    assert [own in line for line in warnings] == [True] * count
    assert (own in doctor) == bool(count)


@pytest.fixture
def next_release(host: Any, expected: Expected) -> Iterator[tuple[str, str]]:
    """Make another release of the environment out of links, and return its name and that of the current one."""
    environment = PurePosixPath(expected.interpreter).parents[2]
    current = host.check_output("basename $(realpath %s/current)", str(environment))
    script = (
        "cd %s/releases && rm -rf verify && mkdir verify && "
        "cp -a %s/bin %s/pyvenv.cfg %s/.gpulab-release.json verify && "
        "site=$(cd %s && echo lib/python3*/site-packages) && mkdir -p verify/$site && "
        "ln -s $PWD/%s/$site/* verify/$site/ && echo release=2 > verify/$site/verify_release.py"
    )
    host.check_output(script, str(environment), *[current] * 5)
    yield "verify", current
    host.check_output("gpulab rollback %s --to %s || :", environment.name, current)
    host.check_output("rm -rf %s/releases/verify %s/releases/*/.gpulab-replaced", str(environment), str(environment))


def test_new_release_is_used_at_once_and_running_kernels_keep_theirs(
    installed: None, next_release: tuple[str, str], host: Any, ssh: Shell, hub_user: HubUser, expected: Expected
) -> None:
    """The user's packages stay; a new kernel names the command that checks them, which then is silent."""
    new, old = next_release
    name = PurePosixPath(expected.interpreter).parents[2].name
    lazy = "import pandas; print(pandas.__file__)"
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        kernel.run("import numpy, verify_ssh")
        host.check_output("gpulab rollback %s --to %s", name, new)
        assert f"/releases/{old}/" in kernel.run(lazy)
    assert ssh.run("python -c 'import verify_release, verify_ssh; print(verify_release.release)'").stdout.strip() == "2"
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        assert kernel.run("import verify_release, verify_ssh; print(verify_release.release)").strip() == "2"
        assert "`gpulab env repair" in kernel.warnings
    assert ssh.run("gpulab env repair").returncode == 0
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        kernel.run("1")
        assert not kernel.warnings


def test_packages_of_another_python_are_installed_again_by_one_command(
    own: str, ssh: Shell, hub_user: HubUser, expected: Expected
) -> None:
    """As after an upgrade of the distribution: the former layer has another version in its name."""
    former = f"{own.rpartition('/')[0]}/3.1"
    ssh.run(f"pip install --quiet --no-deps {LOCAL} verify-plain; mkdir {former}")
    ssh.run(
        f"cp -a {own}/. {former}/ && mv {former}/lib/python3.* {former}/lib/python3.1; pip uninstall --yes verify-plain"
    )
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        kernel.run("1")
        assert "your packages for Python 3.1 must be installed again" in kernel.warnings
        assert "verify_plain" in kernel.warnings
    done = ssh.run(f"PIP_NO_INDEX=1 PIP_FIND_LINKS=$HOME/{WHEELS} gpulab env repair")
    assert done.returncode == 0, done.stderr
    assert ssh.run(f"python -c 'import verify_plain'; ls -d {former}").stderr.count("No such file") == 1


def test_several_first_uses_at_once_make_one_layer(own: str, ssh: Shell) -> None:
    """Kernels and terminals that start together."""
    ssh.run(f"rm -rf {own}")
    done = ssh.run("for number in 1 2 3 4 5 6; do /opt/gpulab/bin/python -c 'import six' & done; wait; gpulab env list")
    assert done.stderr == ""
    assert ": 0 packages of yours" in done.stdout


def test_start_of_a_kernel_costs_little_more(own: str, ssh: Shell, expected: Expected) -> None:
    """The layer adds less than half of the start without it; on a quiet machine it is less than 50 ms."""
    done = ssh.run(f"python -c {shlex.quote(STARTS)} {expected.interpreter} '{START}'")
    without, with_layer = map(float, done.stdout.split())
    assert with_layer < 1.5 * without, done.stdout


@pytest.mark.parametrize("where", ["notebook", "rscript"])
def test_r_package_with_compiled_parts_is_installed(own: str, ssh: Shell, r_notebook: Kernel, where: str) -> None:
    """install.packages compiles into a library that exists, without a question."""
    ssh.run("rm -rf ~/R/*/*/verifyr ~/R/*/*/00LOCK*")
    code = f'install.packages("~/{WHEELS}/verifyr_1.0.tar.gz", repos = NULL); cat(verifyr::answer())'
    if where == "notebook":
        assert r_notebook.run(code).split()[-1] == "42"
    else:
        done = ssh.run(f"rm -rf ~/R; cd / && Rscript -e '{code}'")
        assert done.stdout.split()[-1:] == ["42"], done.stderr


def test_doctor_names_settings_of_r(own: str, ssh: Shell) -> None:
    """Lines of the user that choose another Python, and packages that another R has built."""
    library = ssh.run("Rscript -e 'cat(.libPaths()[1])'").stdout
    made = ssh.run(
        f"printf 'RETICULATE_PYTHON=/usr/bin/python3\\n' > .Renviron && mkdir {library}/verifyold && "
        f"printf 'Package: verifyold\\nBuilt: R 3.0.0; ; 2013; unix\\n' > {library}/verifyold/DESCRIPTION"
    )
    assert made.returncode == 0, made.stderr
    try:
        printed = ssh.run("gpulab doctor --quick").stdout
    finally:
        ssh.run(f"rm -rf .Renviron {library}/verifyold")
    assert ".Renviron: RETICULATE_PYTHON=/usr/bin/python3" in printed
    assert "verifyold" in printed


@pytest.mark.parametrize("command", ["-m pip install verify-plain", "-m pip --version"])
def test_environment_of_the_lab_names_the_place_for_own_packages(
    own: str, ssh: Shell, expected: Expected, command: str
) -> None:
    """An editor may be set to the lab's interpreter, which has no pip: one sentence; `import pip` still fails."""
    done = ssh.run(f"{expected.interpreter} {command}")
    assert done.returncode == 1
    assert "`pip install NAME` in a terminal, `%pip install NAME` in a notebook" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "ModuleNotFoundError: No module named 'pip'" in ssh.run(f"{expected.interpreter} -c 'import pip'").stderr


@pytest.mark.parametrize("options", ["--user", "--upgrade pip"])
def test_habits_of_other_machines_do_what_they_mean(own: str, ssh: Shell, options: str) -> None:
    """`--user` is left out; pip stays the lab's, which explains what it rejects."""
    ssh.run("gpulab env reset")
    done = ssh.run(f"pip install {options} --no-deps {LOCAL} verify-plain && python -c 'import verify_plain'")
    assert done.returncode == 0, done.stderr
    assert ssh.run(f"ls {own}/bin/pip {own}/lib/python3*/site-packages/pip").returncode != 0
    done = ssh.run(f"PIP_USER=1 pip install {LOCAL} verify-torch 'torch==1.0'")
    assert "gpulab env unlock torch" in done.stderr


def test_programs_of_the_lab_use_own_packages(own: str, ssh: Shell) -> None:
    """Training that is started with torchrun, and IPython in a terminal."""
    script = "import sys, verify_plain, torch; print(sys.prefix)"
    install = f"gpulab env reset; pip install --quiet --no-deps {LOCAL} verify-plain; echo '{script}' > verify.py"
    command = f"{install}; torchrun --standalone --nproc-per-node 1 verify.py; ipython verify.py; rm verify.py"
    assert ssh.run(command, timeout=300).stdout.splitlines()[-2:] == [own] * 2


def test_sync_of_uv_leaves_the_lab_alone(own: str, ssh: Shell, host: Any) -> None:
    """`uv pip sync` removes what its file does not name, of the layer, and installs no second copy of the lab's."""
    version = ssh.run("python -c 'import numpy; print(numpy.__version__)'").stdout.strip()
    upload(host, ssh.name, f"{host.user(ssh.name).home}/{WHEELS}/same", wheel("numpy", version=version))
    install = f"gpulab env reset >/dev/null && pip install --quiet --no-deps {LOCAL} verify-plain"
    sync = f"uv pip sync {LOCAL} --find-links $HOME/{WHEELS}/same sync.txt; rm -f sync.txt; gpulab env freeze"
    done = ssh.run(f"{install} && printf 'verify-numpy\\nnumpy\\n' > sync.txt && {sync}")
    assert "has numpy; `uv pip sync` would install a second copy" in done.stderr, done
    assert "verify-plain" in done.stdout
    done = ssh.run(f"echo verify-torch > sync.txt && {sync}")
    assert "verify-torch" in done.stdout, done.stderr
    assert "verify-plain" not in done.stdout
    assert ssh.run("python -c 'import numpy, torch'").returncode == 0


def test_second_environment_has_packages_of_its_own(own: str, ssh: Shell, host: Any, expected: Expected) -> None:
    """Which its name chooses; here it is a link to the first one, on disposable hosts only."""
    if not expected.disposable:
        pytest.skip("this is a live host: it gets no second environment")
    first = PurePosixPath(expected.interpreter).parents[2]
    name, other = f"{first.name}-verify", own.replace(f"/{first.name}/", f"/{first.name}-verify/")
    host.check_output("mkdir %s-verify && ln -s $(realpath %s/current) %s-verify/current", *[str(first)] * 3)
    try:
        code = "import numpy, verify_plain; print(verify_plain.__file__)"
        ssh.run("gpulab env reset")
        install = f"GPULAB_ENVIRONMENT={name} pip install --quiet --no-deps {LOCAL} verify-plain"
        done = ssh.run(f"{install} && {other}/bin/python -c '{code}'")
        assert done.stdout.startswith(other), done.stderr
        assert "No module named 'verify_plain'" in ssh.run(f"python -c '{code}'").stderr
        assert ssh.run(f"gpulab env reset {name}").returncode == 0
    finally:
        host.check_output("rm -r %s-verify", str(first))


def test_info_names_the_command(own: str, ssh: Shell) -> None:
    """At login, too."""
    assert "pip install" in ssh.run("gpulab info").stdout


def test_launcher_has_a_page_about_packages(own: str, hub_user: HubUser) -> None:
    """With the commands, and with what the user has installed."""
    servers = hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/server-proxy/servers-info", timeout=60).json()
    (tile,) = (each for each in servers["server_processes"] if each["name"] == "packages")
    assert tile["launcher_entry"]["title"] == "Your packages"
    page = hub_user.web.get(f"{hub_user.base}/user/{hub_user.name}/packages/", timeout=120)
    assert page.status_code == 200
    assert "%pip install NAME" in page.text
    assert f"packages of yours in {own}" in page.text


@pytest.fixture(scope="module")
def other_home(own: str, ssh: Shell, host: Any, base: PurePosixPath, hub_user: HubUser) -> Iterator[str]:
    """Mount a small file system on the directory of the layers, also for the user's server, which starts again."""
    parent, user = str(base.parent), host.user(ssh.name)
    hub_user.stop_server()
    host.check_output("mount -t tmpfs -o size=4m,uid=%s,gid=%s,mode=700 tmpfs %s", str(user.uid), str(user.gid), parent)
    hub_user.start_server()
    yield parent
    hub_user.stop_server()
    host.check_output("umount --lazy %s", parent)
    hub_user.start_server()


def test_full_home_keeps_no_kernel_from_starting(
    other_home: str, ssh: Shell, hub_user: HubUser, expected: Expected
) -> None:
    """The kernel starts without a layer; the reason is one line for the kernel, python and pip."""
    ssh.run(f"head -c 8M /dev/zero > {other_home}/full")
    try:
        with hub_user.kernel(expected.kernels["python"]) as kernel:
            assert kernel.run("import numpy; print(numpy.__name__)").strip() == "numpy"
            assert "your home is full" in kernel.warnings
        done = ssh.run("python -c 'import numpy; print(numpy.__name__)'")
        assert done.stdout.strip() == "numpy"
        assert "your home is full" in done.stderr
        done = ssh.run(f"pip install {LOCAL} verify-plain")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
    finally:
        ssh.run(f"rm {other_home}/full")


def test_layer_moves_to_another_file_system(
    other_home: str, own: str, ssh: Shell, base: PurePosixPath, hub_user: HubUser, expected: Expected
) -> None:
    """By the same paths, with its programs and kernels; a target that others can write to is rejected."""
    target = f"{base.parents[4]}/verify-fs"
    writable = f"mkdir -m 777 {target}; gpulab env move {target}/x; rmdir {target}"
    done = ssh.run(
        f"pip install --quiet --no-deps {LOCAL} verify-plain; {writable}; gpulab env move {target} && verify-plain"
    )
    assert done.stdout.splitlines()[-1] == "verify-plain 1.0", done.stderr
    assert "other users" in done.stderr
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        assert kernel.run("import verify_plain; print(verify_plain.__file__)").startswith(own)
        assert not kernel.warnings
    ssh.run(f"rm -rf {target}")
    with hub_user.kernel(expected.kernels["python"]) as kernel:
        assert kernel.run("print(1)").strip() == "1"
        assert "does not exist; `gpulab env reset" in kernel.warnings
    assert ssh.run("gpulab env reset && gpulab env list").stdout.count(" 0 packages") == 1


def test_home_without_programs_is_named(other_home: str, ssh: Shell, host: Any) -> None:
    """Pure Python works on a file system that is mounted noexec; what does not is named, with the fix."""
    host.check_output("mount -o remount,noexec %s", other_home)
    install = f"pip install --quiet --no-deps {LOCAL} verify-plain && python -c 'import verify_plain, numpy'"
    done = ssh.run(f"{install} && gpulab env list; gpulab doctor --quick")
    assert "`gpulab env move" in done.stdout, done.stderr
    assert "own packages\n" in done.stdout
