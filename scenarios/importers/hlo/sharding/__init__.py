"""Shardings that annotate a module: read, spread over it, and turned into the program of one chip with its collectives."""
