# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots, queue and grants as functions on an immutable state. Nothing here reads a clock, a file or a process."""
