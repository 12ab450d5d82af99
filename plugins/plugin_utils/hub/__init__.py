# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the hub's options on the controller."""
