"""The command line program gpulab."""
