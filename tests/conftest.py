# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the checkout importable as the collection gpulab.core in every test."""

from ansible.plugins.loader import init_plugin_loader

from tests.support.paths import ROOT

init_plugin_loader([str(ROOT / "collections")])
