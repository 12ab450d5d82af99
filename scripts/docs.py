"""Write the generated parts of the documentation; with --check, say what is stale instead."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
WISHES = ROOT / "playbooks" / "vars" / "site_variables.yml"
VARIABLES_PAGE = ROOT / "docs" / "variables.md"
VARIABLES_HEAD = """# Settings

Every site-wide variable, generated from `playbooks/vars/site_variables.yml` by `make docs`. Write them in the
`group_vars` of the group `gpu_hosts`; `inventory/example` shows how. Other names, types and values are rejected
before anything is changed.

| setting | type | default | what it decides |
|---|---|---|---|
"""


def cell(text: str) -> str:
    """Make a text fit into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Give a row for each option and, indented by its name, for each key below."""
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        choices = f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
        default = "required" if option.get("required") else f"`{option['default']}`" if "default" in option else ""
        yield f"| `{prefix}{name}` | {kind} | {default} | {cell(option['description'] + choices)} |"
        below = f"{prefix}{name}[]." if option["type"] == "list" else f"{prefix}{name}."
        yield from rows(option.get("options", {}), below)


def variables_page() -> str:
    """Give the page of all settings."""
    settings = yaml.safe_load(WISHES.read_text(encoding="utf-8"))["__site_variables"]
    return VARIABLES_HEAD + "\n".join(rows(settings)) + "\n"


def role_page(role: Path) -> str:
    """Give a role's README with its option table made again; the text around the table stays."""
    with tempfile.TemporaryDirectory() as directory:
        # aar-doc looks for a galaxy.yml two directories above a role: let it find none.
        copy = Path(directory) / "roles" / role.name
        shutil.copytree(role, copy, ignore=shutil.ignore_patterns("files", "templates", "tasks"))
        subprocess.run(["aar-doc", str(copy), "markdown"], check=True, capture_output=True, timeout=120)
        return (copy / "README.md").read_text(encoding="utf-8")


def changelog_page() -> str:
    """Give the changelog with the fragments that wait, as if the version in galaxy.yml were released now."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(ROOT / "changelogs", Path(directory) / "changelogs")
        shutil.copy2(ROOT / "galaxy.yml", directory)
        # The page shows no date; without one, antsibull would ask for today's.
        argv = ["antsibull-changelog", "release", "--version", version, "--update-existing", "--date", "2000-01-01"]
        subprocess.run(argv, cwd=directory, check=True, capture_output=True, timeout=120)
        return (Path(directory) / "CHANGELOG.md").read_text(encoding="utf-8")


def between(text: str, mark: str, inside: str) -> str:
    """Put a generated part between its two marks; the text around it stays."""
    before, begin, rest = text.partition(f"<!-- BEGIN_{mark} -->\n")
    _, end, after = rest.partition(f"<!-- END_{mark} -->")
    if not begin or not end:
        raise SystemExit(f"docs: the marks of {mark} are missing")
    return f"{before}{begin}\n{inside}\n{end}{after}"


def table(head: list[str], lines: list[list[str]]) -> str:
    """Give a table in Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *lines])


class Compatibility:
    """The tables of frameworks and GPUs, from the data and the function that the role frameworks uses."""

    def __init__(self) -> None:
        sys.path.insert(0, str(ROOT / "collections"))
        from ansible_collections.gpulab.core.plugins.module_utils import framework_profiles, gpu_models

        self.profiles, self.models, self.numbers = framework_profiles, gpu_models.MODELS, gpu_models.numbers

    def versions(self, profile: str, package: str) -> str:
        """Give the versions of a package in a profile's locks: one, or the oldest and the newest Python's."""
        found = []
        for python in self.profiles.BY_NAME[profile].pythons:
            lock = (ROOT / "roles" / "frameworks" / "files" / self.profiles.BY_NAME[profile].lock(python)).read_text()
            found += re.findall(rf"^{package}==([^\s;+]+)", lock, re.MULTILINE)
        return " to ".join(dict.fromkeys([found[0], found[-1]])) if found else ""

    def contents(self, profile: Any) -> str:
        """Say what a profile holds."""
        names = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}
        parts = []
        for package in [*profile.on_gpu, *profile.on_cpu]:
            locked = "tensorflow-cpu" if package == "tensorflow" and not profile.cuda else package
            parts.append(f"{names[package]} {self.versions(profile.name, locked)}")
        return ", ".join(parts)

    def hosts(self) -> str:
        """Give what layout auto makes of each generation of GPUs, with a new driver and with an old one."""
        new, old = sorted(set(self.profiles.CUDA_DRIVERS.values()), key=self.numbers, reverse=True)
        rows: dict[tuple[str, ...], dict[str, list[str]]] = {(self.kernels([], ""),) * 2: {"none": []}}
        for model in self.models:
            outcomes = tuple(self.kernels([{"model": model.name}], driver) for driver in (new, old))
            rows.setdefault(outcomes, {}).setdefault(model.architecture, []).append(model.name)
        lines = [
            [", ".join(self.generation(name, models) for name, models in found.items()), *outcomes]
            for outcomes, found in rows.items()
        ]
        return table(["GPU", f"driver {new} or newer", f"driver {old} or newer"], lines)

    @staticmethod
    def generation(name: str, models: list[str]) -> str:
        """Give an architecture and a few of its GPUs: all of them would fill the page."""
        return f"{name} ({', '.join(models[:4])}{' and others' if len(models) > 4 else ''})" if models else name

    def kernels(self, cards: list[dict[str, str]], driver: str) -> str:
        """Give the kernels that a host gets."""
        plan = self.profiles.plan(cards, driver, python="3.12")
        return "<br>".join(f"{each['title']} (`{each['profile']}`)" for each in plan["environments"])

    def sets(self) -> str:
        """Give what each profile holds and needs."""
        lines = []
        for profile in self.profiles.PROFILES:
            cuda = f"cu{profile.cuda}"
            libraries = [self.versions(profile.name, f"nvidia-{name}-{cuda}") for name in ("cudnn", "nccl")]
            gpus = f"{profile.least} to {'newest' if profile.most == '99' else profile.most}" if profile.cuda else ""
            pythons = f"{profile.pythons[0]} to {profile.pythons[-1]}"
            driver = profile.least_driver
            lines.append([f"`{profile.name}`", self.contents(profile), *libraries, gpus, driver, pythons])
        head = ["profile", "holds", "cuDNN", "NCCL", "compute capability", "driver at least", "Python"]
        return table(head, lines)


def with_tables(path: Path, parts: dict[str, str]) -> str:
    """Give a page with its generated parts made again."""
    text = path.read_text(encoding="utf-8")
    for mark, inside in parts.items():
        text = between(text, mark, inside)
    return text


def pages() -> dict[Path, str]:
    """Give every generated page as it should be."""
    roles = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
    with ThreadPoolExecutor() as pool:
        changelog = pool.submit(changelog_page)
        texts = list(pool.map(role_page, roles))
    found = {role / "README.md": text for role, text in zip(roles, texts, strict=True)}
    compatibility = Compatibility()
    tables = {"COMPATIBILITY": compatibility.hosts()}
    readme, page = ROOT / "README.md", ROOT / "docs" / "frameworks.md"
    found[readme] = with_tables(readme, tables)
    found[page] = with_tables(page, {**tables, "PROFILES": compatibility.sets()})
    return {VARIABLES_PAGE: variables_page(), ROOT / "CHANGELOG.md": changelog.result(), **found}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is stale")
    check = parser.parse_args().check
    stale = [
        (path, text) for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")  # noqa: T201
        if not check:
            path.write_text(text, encoding="utf-8")
    if check and stale:
        print("run `make docs` and commit what it writes")  # noqa: T201
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
