"""Kernels as one: what a group of them asks for (`join`), and kernels of which some are groups, as columns (`joined`)."""
