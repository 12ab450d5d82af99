"""Make the checkout importable as the collection gpulab.core in every test."""

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[1]
init_plugin_loader([str(ROOT / "collections")])
