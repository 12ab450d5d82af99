# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure functions about users, groups and limits, on the controller. Internal: no stable interface."""
