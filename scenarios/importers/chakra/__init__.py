"""Chakra execution traces: nodes of a rank, and the scenario of all ranks."""
