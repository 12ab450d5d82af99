# SPDX-License-Identifier: GPL-3.0-or-later
"""The broker of GPUs: who may use which GPU, since when, until when, and who is next."""
