# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules need of a running JupyterHub."""
