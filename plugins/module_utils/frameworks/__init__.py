# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments of frameworks: profiles, plans, locks, installation and verification."""
