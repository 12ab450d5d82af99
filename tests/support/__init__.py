# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers that tests share; imported absolutely, as in `from tests.support.hub import HubUser`."""
