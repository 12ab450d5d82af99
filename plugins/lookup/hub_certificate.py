# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.hub_certificate."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hub_certificate
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: Find and check the site's own certificate and key
description:
  - Finds both files on the controller, relative to the inventory or the playbook, and checks that a hub can use them.
  - Prints warnings, returns the problems as sentences, and does not fail. Returns nothing of the key.
  - Internal to the role P(gpulab.core.jupyterhub#role).
options:
  _terms:
    description: One dictionary, the option C(jupyterhub_tls) of the role jupyterhub.
    type: list
    elements: dict
    required: true
requirements:
  - cryptography, which ansible-core requires too
"""

EXAMPLES = r"""
own: "{{ lookup('gpulab.core.hub_certificate', {'certificate': 'files/hub.pem', 'key': 'files/hub.key'}) }}"
"""

RETURN = r"""
_raw:
  description:
    - One dictionary, C(certificate) and C(key) (the absolute paths), C(problems), and C(names) of the certificate.
  type: list
  elements: dict
  sample: [{certificate: /srv/site/files/hub.pem, key: /srv/site/files/hub.key, problems: [], names: [lab.example]}]
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files
from ansible_collections.gpulab.core.plugins.plugin_utils.hub import certificates

FILES = {"certificate": certificates.CERTIFICATE, "key": certificates.KEY}


class LookupModule(LookupBase):  # type: ignore[misc]
    """Find the files and check them."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dictionary."""
        tls, known = terms[0], variables or {}
        result: dict[str, Any] = {"problems": [], "names": []}
        content: dict[str, bytes] = {}
        for name, option in FILES.items():
            requested = str(tls.get(name) or "")
            if problem := controller_files.problem(requested, known):
                result["problems"].append(f"{option}: {problem}.")
                continue
            result[name] = path = str(controller_files.find(requested, known))
            try:
                content[name] = self._read(path)
            except (OSError, AnsibleError):  # the message of a decryption could hold a part of the file
                result["problems"].append(
                    f"{option}: {path} cannot be read, or not decrypted with the vault passwords."
                )
        if len(content) == len(FILES):
            report = certificates.check(content["certificate"], content["key"], tls.get("names") or [])
            result["problems"] += report.problems
            result["names"] = report.names
            for warning in report.warnings:
                self._display.warning(warning)
        return [result]

    def _read(self, path: str) -> bytes:
        """Return the content of a file, decrypted where it is encrypted with Ansible Vault."""
        loader = self._loader or DataLoader()
        return Path(loader.get_real_file(path)).read_bytes()
