"""Environments of frameworks: profiles, plans, locks, installation and verification."""
