# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of gpulab: unit/ (no host), integration/ (hosts and services of their own), acceptance/ (a converged host)."""
