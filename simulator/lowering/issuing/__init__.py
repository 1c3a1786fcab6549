"""From planned kernels to tasks: how each sort of kernels is issued, what waits for what, and the tasks themselves."""
