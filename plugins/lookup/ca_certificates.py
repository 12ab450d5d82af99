# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup gpulab.core.ca_certificates: CA certificates from files of an IT department."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ca_certificates
author: The gpulab team (@gpulab)
version_added: 0.1.0
short_description: CA certificates from files of an IT department
description:
  - Internal to the role C(sources).
  - Reads files in PEM, DER and PKCS7, also with several certificates, line ends of Windows and text between them.
    update-ca-certificates(8) reads files in PEM with one certificate and the ending C(.crt) alone.
  - Rejects private keys, expired certificates, and certificates of servers that another CA has signed.
options:
  _terms:
    description: >-
      Files on the controller; a relative path is searched next to the inventory, then next to the playbook.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
certificates: "{{ lookup('gpulab.core.ca_certificates', ['files/lab-ca.crt']) }}"
"""

RETURN = r"""
_raw:
  description: One dictionary, C(files) (a name without directory and a text for each certificate) and C(problems).
  type: list
  elements: dict
  sample: [{files: [{name: gpulab-lab-ca.crt, text: "-----BEGIN CERTIFICATE-----\n..."}], problems: []}]
"""

from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.gpulab.core.plugins.plugin_utils import controller_files
from ansible_collections.gpulab.core.plugins.plugin_utils.certificates import ca_certificates

VARIABLE = "sources_ca_certificates (gpulab_sources.ca_certificates)"


class LookupModule(LookupBase):  # type: ignore[misc]
    """Find the files and check their certificates."""

    def run(self, terms: list[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return one dictionary."""
        known = variables or {}
        files: dict[str, str] = {}
        problems = []
        for term in [str(entry) for given in terms for entry in (given if isinstance(given, list) else [given])]:
            path = controller_files.find(term, known)
            if path is None or controller_files.problem(term, known):
                problems.append(f"{VARIABLE}: {controller_files.problem(term, known)}.")
                continue
            texts, of_file = ca_certificates(path.read_bytes())
            problems += [f"{VARIABLE}: {term}: {it}." for it in of_file]
            for number, text in enumerate(texts, start=1):
                name = f"gpulab-{path.stem}{'' if len(texts) == 1 else f'-{number}'}.crt"
                if files.get(name, text) != text:
                    problems.append(f"{VARIABLE}: two files are named {path.stem}. Rename one.")
                files[name] = text
        return [{"files": [{"name": name, "text": text} for name, text in files.items()], "problems": problems}]
