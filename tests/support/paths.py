# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout's root directory."""
