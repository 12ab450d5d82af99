# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Payloads of modules, made next to the first tasks instead of within the first task that needs each of them.

Ansible makes a module's payload (the module with all module_utils that it imports, zipped) when the first task of a run
needs it, keeps it for that run, and makes every other task wait meanwhile: 0.2 s for each of some twenty modules.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Iterable

from ansible import constants
from ansible.executor import module_common
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import module_loader
from ansible.template import Templar

MODULES = (
    "gpulab.core.host_preflight",
    "gpulab.core.gpu_info",
    "ansible.builtin.command",
    "ansible.legacy.setup",
    "gpulab.core.converge_lock",
    "gpulab.core.host_files",
    "gpulab.core.distribution_packages",
    "gpulab.core.locked_environment",
    "gpulab.core.account_info",
    "ansible.builtin.uri",
    "gpulab.core.hub_users",
    "ansible.builtin.user",
    "ansible.builtin.systemd_service",
)
"""What every run of site.yml uses, in the order in which it does; then what a first run uses, too."""


def build(names: Iterable[str]) -> None:
    """Fill this run's cache of payloads; what cannot be made is left to the task that needs it, and to its error."""
    templar = Templar(loader=DataLoader())
    for name in names:
        found = module_loader.find_plugin_with_context(name, mod_type=".py")
        try:
            module_common.modify_module(
                module_name=name,
                module_path=found.plugin_resolved_path,
                module_args={},
                templar=templar,
                module_compression=constants.DEFAULT_MODULE_COMPRESSION,
            )
        except Exception:  # noqa: BLE001, S112  # pylint: disable=broad-exception-caught  # not ours to report
            # Which interpreter a host has is not known here, and asked for when the payload is in the cache already.
            continue


def _build_quietly(names: Iterable[str]) -> None:
    # Ctrl-C is for the run, which ends this process with itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    # Most of a payload are the same files in all of them: read each once. This process alone is changed by it.
    # pylint: disable=protected-access  # where this Ansible has another way, payloads are only made more slowly
    if hasattr(module_common, "_compile_module_ast"):
        module_common._compile_module_ast = functools.cache(module_common._compile_module_ast)
    build(names)


def begin(names: Iterable[str] = MODULES) -> None:
    """Make the payloads in a process of its own. Ansible's lock keeps it and the run's tasks from making one twice."""
    process = multiprocessing.get_context("fork").Process(target=_build_quietly, args=(tuple(names),), daemon=True)
    process.start()
