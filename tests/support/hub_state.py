# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes and the configuration of a hub that answers."""

from __future__ import annotations

from tests.support.lab import Lab

READ = """import ssl, urllib.request
context = ssl._create_unverified_context()
urllib.request.urlopen("https://127.0.0.1/hub/api", context=context, timeout=20)"""
FILES = "/etc/gpulab/jupyterhub /etc/gpulab/tls /etc/gpulab/links.d"


def state(lab: Lab) -> str:
    """Return the processes of the services and a digest of the configuration; the hub must answer."""
    lab.shell(f"/usr/bin/python3 -c '{READ}'")
    services = "systemctl show --property MainPID --value gpulab-hub gpulab-proxy"
    return lab.shell(f"{services}; find {FILES} -type f | sort | xargs sha256sum")
