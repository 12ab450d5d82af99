# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticator, spawner and helpers of JupyterHub on a shared GPU host."""
