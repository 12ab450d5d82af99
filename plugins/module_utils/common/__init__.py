# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by modules and by the packages that run on hosts, which have links to these files: standard library only."""
