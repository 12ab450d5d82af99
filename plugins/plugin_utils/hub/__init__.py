"""Checks of the hub's options on the controller."""
