# SPDX-License-Identifier: GPL-3.0-or-later
"""Third-party scanners find nothing on a converged host, or only what explained.yml explains."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from tests.support.lab import LOCAL, Lab
from tests.support.paths import ROOT

SSLYZE = ROOT / "build" / "scanners" / "bin" / "sslyze"
"""From requirements/scanners.txt, in an environment of its own: scripts/bootstrap --scanners."""


def findings_of_sslyze(text: str) -> dict[str, str]:
    """Return what differs from Mozilla's intermediate configuration, by the name of the check."""
    assert "COMPLIANCE AGAINST TLS CONFIGURATION" in text, text[-2000:]
    return dict(re.findall(r"^ +\* (\w+): (.+)$", text.partition("COMPLIANCE AGAINST")[2], re.MULTILINE))


def findings_of_lynis(report: str) -> dict[str, str]:
    """Return warnings and suggestions, by identifier; sshd's with the option in question."""
    assert "hardening_index=" in report, report[-2000:]
    findings = {}
    for line in re.findall(r"^(?:warning|suggestion)\[\]=(.*)$", report, re.MULTILINE):
        identifier, text, detail = line.split("|")[:3]
        option = f" {detail.split()[0]}" if identifier.startswith("SSH-") else ""
        findings[identifier + option] = f"{text} {detail}"
    return findings


def test_findings_are_read_from_reports() -> None:
    """As the scanners write them."""
    text = "COMPLIANCE AGAINST TLS CONFIGURATION\n    h: FAILED\n        * tls_curves: X448 is supported.\n"
    assert findings_of_sslyze(text) == {"tls_curves": "X448 is supported."}
    report = (
        "suggestion[]=SSH-7408|Consider|Port (set 22 to )|-|\nwarning[]=X-1|Bad thing|-|-|\nhardening_index=60\n"
        "suggestion[]=DEB-0810|Install a package|-|-|\n"
    )
    assert set(findings_of_lynis(report)) == {"SSH-7408 Port", "X-1", "DEB-0810"}


def test_sslyze_finds_nothing_new(lab: Lab, explained: dict[str, dict[str, str]]) -> None:
    """Versions, ciphers, curves, renegotiation and the known attacks, compared with Mozilla's recommendation."""
    hosts = yaml.safe_load((ROOT / LOCAL / "hosts.yml").read_text(encoding="utf-8"))["local_hosts"]["hosts"]
    address = ":".join(hosts[lab.host]["local_host_ports"]["hub"].split(":")[:2])
    assert Path(SSLYZE).exists(), "there is no sslyze; run 'scripts/bootstrap --scanners' first"
    done = subprocess.run([str(SSLYZE), address], capture_output=True, text=True, timeout=300, check=False)
    findings = findings_of_sslyze(done.stdout)
    assert {name: text for name, text in findings.items() if name not in explained["sslyze"]} == {}


def test_lynis_finds_nothing_new(lab: Lab, explained: dict[str, dict[str, str]]) -> None:
    """The distribution's auditor, on the host itself."""
    lab.shell("apt-get install --yes --no-install-recommends lynis")
    lab.shell("cd / && timeout 900 lynis audit system --quick --no-colors --quiet")
    report = lab.within("cat", "/var/log/lynis-report.dat")
    findings = findings_of_lynis(report)
    assert {name: text for name, text in findings.items() if name not in explained["lynis"]} == {}


def test_headers_of_pages_are_complete(lab: Lab) -> None:
    """Of the main pages, for users and strangers: nothing is left to explain."""
    assert " passed" in lab.verify("tests/acceptance/test_front.py")
