"""Chips, units, topologies and systems: read, built, refused."""
