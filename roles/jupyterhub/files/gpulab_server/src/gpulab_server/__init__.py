# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of users' Jupyter servers on a shared GPU host."""
