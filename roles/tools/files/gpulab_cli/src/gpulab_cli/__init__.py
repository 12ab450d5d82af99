"""The command gpulab."""
