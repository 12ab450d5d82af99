"""What modules need of a running JupyterHub."""
