# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove a GPU host: read its hardware and driver, compute on its GPUs, and write a report.

The directory is complete: copied to a host, `python3 gpu_acceptance OUT` needs Python 3.9 or newer and nothing else.
"""
