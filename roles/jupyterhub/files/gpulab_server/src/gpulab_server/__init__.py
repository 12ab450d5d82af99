"""What people's Jupyter servers add to Jupyter."""
