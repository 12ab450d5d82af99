"""What users' Jupyter servers add to Jupyter."""
