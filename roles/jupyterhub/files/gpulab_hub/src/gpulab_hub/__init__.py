"""What the hub of a shared GPU host adds to JupyterHub."""
