#!/usr/bin/python
# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module gpulab.core.archive_components."""

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_components
author: The gpulab team (@gpulab)
short_description: What apt's sources lack of the distribution's components
description:
  - Reads apt's sources and writes, as text in the form of sources.list(5), those entries of the distribution that have
    C(main) and lack a component, with the components that they lack. Addresses and suites stay the host's own.
  - Only reads; behaves the same in check mode.
options:
  components:
    description: Components that are wanted.
    type: list
    elements: str
    required: true
  ignore:
    description: File whose entries do not count, because the text is for it.
    type: path
    required: true
extends_documentation_fragment: [gpulab.core.check_mode, gpulab.core.reads_only]
"""

EXAMPLES = r"""
- name: See what apt's sources lack
  gpulab.core.archive_components:
    components: [contrib, non-free]
    ignore: /etc/apt/sources.list.d/example.list
  register: __example_sources
"""

RETURN = r"""
text:
  description: Entries for apt's sources, empty where nothing lacks.
  type: str
  returned: always
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def lacking(entries: Iterable[Any], components: Sequence[str], ignore: str) -> str:
    """Write what lacks; entries are those of python-apt's aptsources."""
    listed = [
        entry
        for entry in entries
        if not entry.invalid and not entry.disabled and entry.type == "deb" and entry.file != ignore
    ]
    found = []
    for entry in listed:
        if "main" not in entry.comps:
            continue
        same = [other for other in listed if (other.uri.rstrip("/"), other.dist) == (entry.uri.rstrip("/"), entry.dist)]
        there = {component for other in same for component in other.comps}
        lacks = [component for component in components if component not in there]
        options = f"[signed-by={entry.trusted_by}] " if getattr(entry, "trusted_by", "") else ""
        line = f"deb {options}{entry.uri} {entry.dist} {' '.join(lacks)}\n"
        if lacks and line not in found:
            found.append(line)
    return "".join(found)


def signed_by(entry: Any) -> str:
    """Give the keyring of an entry, in either form of apt's sources; a key inside the entry cannot be repeated."""
    section = getattr(entry, "section", None)
    if section is not None:
        key = section.get("Signed-By", "")
        return key if key.startswith("/") else ""
    found = [part for part in entry.line.split("]")[0].split() if part.lstrip("[").startswith("signed-by=")]
    return found[0].lstrip("[").removeprefix("signed-by=") if found else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "components": {"type": "list", "elements": "str", "required": True},
            "ignore": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        from aptsources.sourceslist import SourcesList
    except ImportError:
        module.fail_json(msg="The host lacks the package python3-apt, which reads apt's sources: install it.")
    # A stanza may name several addresses and suites; each combination is an entry of its own.
    entries = [
        Entry(entry, uri, suite)
        for entry in SourcesList(withMatcher=False, deb822=True)
        for uri in getattr(entry, "uris", None) or [entry.uri]
        for suite in getattr(entry, "suites", None) or [entry.dist]
    ]
    module.exit_json(changed=False, text=lacking(entries, module.params["components"], module.params["ignore"]))


class Entry:
    """One address and suite of apt's sources."""

    def __init__(self, entry: Any, uri: str, dist: str) -> None:
        self.uri, self.dist = uri, dist
        self.invalid, self.disabled, self.comps, self.file = entry.invalid, entry.disabled, entry.comps, entry.file
        kinds = getattr(entry, "types", None) or [entry.type]
        self.type = "deb" if "deb" in kinds else ""
        self.trusted_by = signed_by(entry) if not self.invalid else ""


if __name__ == "__main__":
    main()
