# SPDX-License-Identifier: GPL-3.0-or-later
"""The hub's own certificate does not run out unnoticed."""

from __future__ import annotations

from tests.support.lab import Lab


def test_certificate_that_expires_soon_is_renewed(lab: Lab) -> None:
    """It keeps its key and names, which browsers may have pinned."""
    directory, end = "/etc/gpulab/tls", "openssl x509 -noout -checkend 2592000 -in /etc/gpulab/tls/certificate.pem || :"
    lab.shell(
        f"cd {directory} && sha256sum key.pem >/run/key && openssl x509 -req -in request.pem -signkey key.pem -days 3 "
        f"-copy_extensions copyall -out /run/short.pem && cat /run/short.pem > certificate.pem"
    )
    assert "will expire" in lab.shell(end)
    done = lab.play("site.yml", "--tags", "jupyterhub")
    assert (done.code, done.changed) == (0, 2), done.output[-3000:]
    assert "will not expire" in lab.shell(end)
    assert "OK" in lab.shell(f"cd {directory} && sha256sum --check /run/key")
