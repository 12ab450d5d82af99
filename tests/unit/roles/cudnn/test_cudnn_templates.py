# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and constants of the role, rendered without a host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gpulab.core.plugins.filter.cudnn import plan_filter
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import pins
from tests.support.cuda_check import run_check
from tests.support.paths import ROOT
from tests.unit.plugins.plugin_utils.driver.driver_hosts import host

ROLE = ROOT / "roles" / "cudnn"
CHECK = "/usr/local/lib/gpulab/cudnn-check"


def render(template: str, **variables: Any) -> str:
    """Return a template of the role with these variables."""
    text = trust_as_template((ROLE / "templates" / template).read_text(encoding="utf-8"))
    return str(Templar(loader=DataLoader(), variables=variables).template(text, escape_backslashes=False))


def modulefile(source: str = "wheels") -> str:
    """Return the modulefile of cuDNN for two toolkits of CUDA 13."""
    (library,) = plan_filter(host(), ["13.0", "13.5"], source=source)["libraries"]
    return render("modulefile.j2", library=library)


def test_module_needs_a_toolkit_of_its_cuda() -> None:
    """Any of them, and one cuDNN at a time."""
    text = modulefile()
    assert text.startswith("#%Module1.0\n")
    assert "\nprereq cuda/13.0 cuda/13.5\n" in text
    assert "\nconflict cudnn\n" in text


def test_module_finds_the_library_of_any_python() -> None:
    """For compiler and linker, and by the path that the linker writes into the program."""
    text = modulefile()
    root = "/opt/gpulab/cudnn/9.28-cuda13/current/lib/python3*/site-packages/nvidia/cudnn"
    assert f"set root [lindex [glob {root}] 0]\n" in text
    for name, directory in (("CPATH", "include"), ("LIBRARY_PATH", "lib"), ("LD_RUN_PATH", "lib")):
        assert f"prepend-path {name} $root/{directory}\n" in text


@pytest.mark.parametrize("source", ["wheels", "nvidia_repo"])
def test_libraries_of_the_frameworks_are_not_replaced(source: str) -> None:
    """LD_LIBRARY_PATH comes before the paths that the frameworks' libraries have inside."""
    commands = [line for line in modulefile(source).splitlines() if not line.startswith("#")]
    assert "LD_LIBRARY_PATH" not in "\n".join(commands)


def test_packages_are_where_compilers_search() -> None:
    """Their module has no path."""
    assert "set root /usr\n" in modulefile("nvidia_repo")
    assert "prepend-path" not in modulefile("nvidia_repo")


def test_release_of_the_repository_is_pinned_and_its_drivers_are_blocked() -> None:
    """The first record that matches a version counts."""
    text = render("gpulab-nvidia-cudnn.pref.j2", __cudnn_plan=plan_filter(host(), ["12.8"], source="nvidia_repo"))
    packages = "Package: libcudnn9-cuda-12 libcudnn9-dev-cuda-12 libcudnn9-headers-cuda-12\n"
    pinned = f"{packages}Pin: version 9.28.*\nPin-Priority: 1001\n"
    others = f"{packages}Pin: release l=NVIDIA CUDA\nPin-Priority: -1\n"
    assert text.index(pinned) < text.index(others)
    (drivers,) = [line for line in text.splitlines() if line.startswith("Package:") and "libcuda1" in line]
    assert "nvidia-driver-cuda" in drivers


def test_check_is_a_valid_script(tmp_path: Path) -> None:
    """Bash parses it."""
    script = tmp_path / "check"
    script.write_text(render("cudnn-check.j2", __cudnn_check=CHECK))
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=60)


def test_check_loads_toolkit_and_library(tmp_path: Path) -> None:
    """For each pair; the program gets release, CUDA major version and directory."""
    script = render("cudnn-check.j2", __cudnn_check=str(tmp_path / "work"))
    done = run_check(script, tmp_path, "13.0:9.28-cuda13", "12.8:9.10-cuda12", program='echo "$1 $2 $3"')
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout == "cuDNN 9.28 with CUDA 13.0: 9.28 13 /\ncuDNN 9.10 with CUDA 12.8: 9.10 12 /\n"
    assert (tmp_path / "loaded").read_text().split() == [
        "cuda/13.0",
        "cudnn/9.28-cuda13",
        "cuda/12.8",
        "cudnn/9.10-cuda12",
    ]
    assert list(tmp_path.glob("work.*")) == []


@pytest.mark.parametrize("code", [1, 3])
def test_check_reports_a_library_that_does_not_work(tmp_path: Path, code: int) -> None:
    """With the code of the program: 3 when it only does not compute."""
    script = render("cudnn-check.j2", __cudnn_check=str(tmp_path / "work"))
    done = run_check(script, tmp_path, "13.0:9.28-cuda13", program=f"echo wrong; exit {code}")
    assert (done.returncode, done.stderr) == (code, "cuDNN 9.28 with CUDA 13.0: wrong\n")


def test_check_reports_a_program_that_does_not_link(tmp_path: Path) -> None:
    """After the compiler's own message."""
    script = render("cudnn-check.j2", __cudnn_check=str(tmp_path / "work"))
    done = run_check(script, tmp_path, "13.0:9.28-cuda13", compiles=False)
    assert done.returncode == 1
    assert done.stderr.endswith("cuDNN 9.28 with CUDA 13.0: the program does not compile or link (see above).\n")


@pytest.mark.parametrize("path", sorted(ROLE.glob("files/locks/*.txt")), ids=lambda path: path.stem)
def test_lock_has_the_release_and_what_it_loads(path: Path) -> None:
    """CuBLAS and NVRTC: programs that compute need them."""
    version, _, cuda = path.stem.removeprefix("cudnn-").partition("-cuda")
    suffix = f"-cu{cuda}" if cuda == "12" else ""
    versions = pins(path.read_text(encoding="utf-8"))
    assert versions[f"nvidia-cudnn-cu{cuda}"].startswith(f"{version}.")
    assert versions[f"nvidia-cublas{suffix}"].startswith(f"{cuda}.")
    assert versions[f"nvidia-cuda-nvrtc{suffix}"].startswith(f"{cuda}.")


def constants(role: str) -> dict[str, Any]:
    """Return the private constants of a role."""
    return dict(yaml.safe_load((ROOT / f"roles/{role}/vars/main.yml").read_text(encoding="utf-8")))


def test_record_of_the_toolkits_is_the_one_of_the_role_cuda() -> None:
    """The roles share no variable: this one reads what the other has left on the host."""
    cudnn, cuda = constants("cudnn"), constants("cuda")
    assert cudnn["__cudnn_toolkits_record_path"] == cuda["__cuda_record_path"]
    record = (ROOT / "roles/cuda/templates/cuda.json.j2").read_text(encoding="utf-8")
    assert "'toolkits': toolkits" in record
    assert "'modules': __cuda_modules_package" in record


def test_repository_stays_for_the_preferences_of_either_role() -> None:
    """Its owner, nvidia_driver, knows the roles that take packages from it by the names of their preferences."""
    path = ROOT / "roles/nvidia_driver/tasks/remove_repository_files.yml"
    tasks = yaml.safe_load(path.read_text(encoding="utf-8"))
    (search,) = [task["ansible.builtin.find"] for task in tasks if "ansible.builtin.find" in task]
    for path in (constants("cuda")["__cuda_preferences"], constants("cudnn")["__cudnn_preferences"]):
        assert Path(path).parent == Path(search["paths"])
        assert Path(path).match(search["patterns"])
    assert not Path(constants("nvidia_driver")["__nvidia_driver_preferences"]).match(search["patterns"])


def test_options_have_site_variables() -> None:
    """All but the directory; the toolkits are those of the role cuda."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    assert {name: str(value).split()[1] for name, value in defaults.items() if "{{" in str(value)} == {
        "cudnn_enabled": "gpulab_cudnn_enabled",
        "cudnn_version": "gpulab_cudnn_version",
        "cudnn_source": "gpulab_cudnn_source",
        "cudnn_cuda_versions": "gpulab_cuda_versions",
    }
