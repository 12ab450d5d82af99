# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the frameworks: archives, extra packages, RStudio Server."""
