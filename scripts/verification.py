# SPDX-License-Identifier: GPL-3.0-or-later
"""`make verify`: connect as Ansible does, check that every host answers as root, then run the acceptance suite."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support import processes
from tests.support.paths import ROOT

GROUP = "gpu_hosts"
LOGIN, SUITE = 120, 3600
"""Seconds for the first connection to all hosts, and for the whole suite."""
PASSWORDS = [
    ("become", "sudo password", "ANSIBLE_BECOME_PASSWORD_FILE"),
    ("connection", "SSH password", "ANSIBLE_CONNECTION_PASSWORD_FILE"),
    ("vault", "vault password", "ANSIBLE_VAULT_PASSWORD_FILE"),
]
"""Each password's name in the options, its prompt, and Ansible's environment variable that names its file."""
ONLY_ANSIBLE = {
    *("ansible_become_exe", "ansible_become_flags", "ansible_become_method"),
    *("ansible_become_pass", "ansible_become_password", "ansible_sudo_pass"),
    *("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
    *("ansible_ssh_args", "ansible_ssh_executable", "ansible_ssh_host", "ansible_ssh_port", "ansible_ssh_user"),
}
"""Variables of a connection that testinfra's own SSH connection does not use."""
CONNECTION = re.compile(r"ansible_(host|port|user|become|connection|ssh|private_key)")
CHECK_ROOT = '[ "$(id -u)" = 0 ] || { echo "not root: set ansible_become: true for this host" >&2; exit 1; }'


def parser() -> argparse.ArgumentParser:
    """Return the parser of Ansible's options; what it does not know is for pytest."""
    options = argparse.ArgumentParser(
        prog="scripts/verify", allow_abbrev=False, epilog="These are Ansible's options. All others go to pytest."
    )
    options.add_argument("inventory")
    options.add_argument("--limit", default=GROUP, help="a host or a group")
    options.add_argument("-b", "--become", action="store_true", help="become root")
    options.add_argument("-K", "--ask-become-pass", dest="ask_become", action="store_true")
    options.add_argument("--ask-pass", dest="ask_connection", action="store_true")
    options.add_argument("-J", "--ask-vault-pass", "--ask-vault-password", dest="ask_vault", action="store_true")
    options.add_argument("--become-password-file", "--become-pass-file", dest="become_file", type=Path)
    options.add_argument("--connection-password-file", "--conn-pass-file", dest="connection_file", type=Path)
    options.add_argument("--vault-password-file", "--vault-pass-file", dest="vault_file", type=Path)
    options.add_argument("--vault-id", action="append", default=[])
    return options


def settings(options: argparse.Namespace, directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that give the options to all of Ansible's programs.

    A password from the terminal is read once, into a file of the directory that only this user can read.
    """
    values = dict(environment)
    if options.become:
        values["ANSIBLE_BECOME"] = "true"
    if options.vault_id:
        values["ANSIBLE_VAULT_IDENTITY_LIST"] = ",".join(options.vault_id)
    for name, label, variable in PASSWORDS:
        file = getattr(options, f"{name}_file")
        if getattr(options, f"ask_{name}"):
            file = directory / name
            file.touch(mode=0o600)
            file.write_text(getpass.getpass(f"{label}: "), encoding="utf-8")
        if file:
            values[variable] = str(file.resolve())
    return values


def needs_ansible(variables: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Return whether only Ansible reaches a host: with passwords, templates, vaulted values, other methods than sudo.

    testinfra's own SSH connection is twice as fast, and uses plain values only.
    """
    files = ("ANSIBLE_BECOME_PASSWORD_FILE", "ANSIBLE_CONNECTION_PASSWORD_FILE")
    return any(environment.get(name) for name in files) or any(
        name in ONLY_ANSIBLE or (CONNECTION.match(name) and ("{{" in str(value) or isinstance(value, dict)))
        for name, value in variables.items()
    )


def run(argv: list[str], environment: Mapping[str, str]) -> str:
    """Run a program of Ansible's; exit with its own message where it fails."""
    done = processes.run(argv, cwd=ROOT, env=dict(environment), timeout=LOGIN)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}verify: docs/how-to/verify.md lists the options for passwords.")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Run the suite; return pytest's exit code."""
    options, others = parser().parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        environment = settings(options, Path(directory), {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
        inventory = ["--inventory", options.inventory]
        listed = json.loads(run(["ansible-inventory", *inventory, "--list", "--limit", options.limit], environment))
        hosts = listed["_meta"]["hostvars"]
        if not hosts:
            sys.exit(f"verify: {options.inventory} has no host in {options.limit}. Write your hosts into it.")
        # One line for each host instead of one failure for each test.
        run(["ansible", *inventory, options.limit, "-m", "ansible.builtin.shell", "-a", CHECK_ROOT], environment)
        argv = ["pytest", "tests/acceptance", "-p", "no:cacheprovider", "--durations=15"]
        argv += [f"--hosts=ansible://{options.limit}", f"--ansible-inventory={options.inventory}"]
        if any(needs_ansible(variables, environment) for variables in hosts.values()):
            argv.append("--force-ansible")
        try:
            return processes.run([*argv, *others], cwd=ROOT, env=environment, timeout=SUITE, capture=False).returncode
        except processes.TimeLimitExceeded:
            sys.exit(f"verify: the suite did not end within {SUITE} s and was stopped.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
