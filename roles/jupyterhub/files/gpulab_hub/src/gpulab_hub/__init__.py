"""Authenticator, spawner and helpers of JupyterHub on a shared GPU host."""
