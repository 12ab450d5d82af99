# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of the role, rendered without a host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gpulab.core.plugins.filter.cuda import plan_filter
from ansible_collections.gpulab.core.plugins.module_utils.frameworks.requirements import pins
from tests.support.cuda_check import run_check
from tests.support.paths import ROOT
from tests.unit.plugins.plugin_utils.driver.driver_hosts import host

ROLE = ROOT / "roles" / "cuda"


def render(template: str, **variables: Any) -> str:
    """Return a template of the role with these variables."""
    text = trust_as_template((ROLE / "templates" / template).read_text(encoding="utf-8"))
    return str(Templar(loader=DataLoader(), variables=variables).template(text, escape_backslashes=False))


def modulefile(version: str, system: str = "12") -> str:
    """Return the modulefile of a version."""
    (toolkit,) = plan_filter(host(system=system), [version])["toolkits"]
    return render("modulefile.j2", toolkit=toolkit)


def test_modulefile_of_wheels_finds_the_toolkit_of_any_python() -> None:
    """The path has a version of Python, which only the host knows."""
    text = modulefile("13.5")
    assert text.startswith("#%Module1.0\n")
    assert "set root [lindex [glob /opt/gpulab/cuda/13.5/current/lib/python3*/site-packages/nvidia/cu13] 0]" in text
    assert "setenv NVCC_CCBIN /usr/bin/g++-12\n" in text
    assert "prepend-path PATH $root/bin\n" in text


@pytest.mark.parametrize(("version", "root"), [("11.8", "/usr"), ("12.8", "/usr/local/cuda-12.8")])
def test_old_nvcc_gets_its_compiler_by_a_flag(version: str, root: str) -> None:
    """It does not read NVCC_CCBIN; the distribution's nvcc is on PATH already."""
    text = modulefile(version)
    assert f"set root {root}\n" in text
    compiler = "g++-11" if version == "11.8" else "g++-12"
    assert f'setenv NVCC_PREPEND_FLAGS "-ccbin /usr/bin/{compiler}"\n' in text
    assert "NVCC_CCBIN /" not in text
    assert ("prepend-path PATH" in text) == (version != "11.8")


@pytest.mark.parametrize("version", ["11.8", "12.8", "13.0"])
def test_libraries_are_on_no_global_path(version: str) -> None:
    """LD_LIBRARY_PATH would replace the libraries of the frameworks; LIBRARY_PATH is the linker's."""
    assert "LD_LIBRARY_PATH" not in modulefile(version)
    assert ("prepend-path LIBRARY_PATH $root/lib\n" in modulefile(version)) == (version == "13.0")


def test_default_is_named_for_the_modules_program() -> None:
    """In the file .version, which environment-modules and Lmod read."""
    assert render("version.j2", __cuda_plan={"default": "13.0"}).endswith('set ModulesVersion "13.0"\n')


def test_check_is_a_valid_script(tmp_path: Path) -> None:
    """Bash parses it."""
    script = tmp_path / "check"
    script.write_text(render("cuda-check.j2", cuda_path="/opt/gpulab/cuda", __cuda_check="/usr/local/lib/gpulab/x"))
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=60)


def check(directory: Path) -> str:
    """Return the check, which works in this directory."""
    return render("cuda-check.j2", cuda_path=str(directory), __cuda_check="/usr/local/lib/gpulab/cuda-check")


def test_check_compiles_with_each_toolkit(tmp_path: Path) -> None:
    """In a session with the module of each, and leaves no file."""
    done = run_check(check(tmp_path), tmp_path, "13.0:75,90")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout.startswith("CUDA 13.0: compiled for 75,90; ")
    assert (tmp_path / "loaded").read_text() == "cuda/13.0\n"
    assert list(tmp_path.glob(".check-*")) == []


def test_check_rejects_a_toolkit_of_another_version(tmp_path: Path) -> None:
    """Wheels of the wrong CUDA, or another nvcc that is first on PATH."""
    done = run_check(check(tmp_path), tmp_path, "13.0:75", version="12.8")
    assert done.returncode == 1
    assert done.stderr == f"CUDA 13.0: {tmp_path}/nvcc is version 12.8.\n"


def test_check_reports_a_toolkit_that_does_not_compile(tmp_path: Path) -> None:
    """After the compiler's own message."""
    done = run_check(check(tmp_path), tmp_path, "13.0:75", compiles=False)
    assert done.returncode == 1
    assert done.stderr == "error: identifier is undefined\nCUDA 13.0: nvcc does not compile (see above).\n"


def test_preferences_block_drivers_by_name() -> None:
    """Patterns would make every start of apt slower."""
    plan = plan_filter(host(), ["12.8"])
    text = render("gpulab-nvidia-toolkit.pref.j2", __cuda_plan=plan)
    (packages,) = [line.split()[1:] for line in text.splitlines() if line.startswith("Package:")]
    assert packages == plan["blocked"]
    assert "*" not in " ".join(packages)
    assert "Pin: release l=NVIDIA CUDA\nPin-Priority: -1\n" in text


@pytest.mark.parametrize("path", sorted(ROLE.glob("files/locks/*.txt")), ids=lambda path: path.stem)
def test_lock_has_a_compiler_of_its_version(path: Path) -> None:
    """And what it needs: the headers, the runtime, and the second stage of the compiler."""
    version = path.stem.removeprefix("toolkit-")
    versions = pins(path.read_text(encoding="utf-8"))
    for name in ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm", "nvidia-cuda-runtime"):
        assert versions[name].startswith(f"{version}."), name
    assert "nvidia-cuda-cccl" in versions


def test_options_have_site_variables() -> None:
    """All but the directory."""
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    assert {name for name, value in defaults.items() if f"{{{{ gpulab_{name} | default" in str(value)} == {
        "cuda_versions",
        "cuda_default_version",
        "cuda_source",
    }
