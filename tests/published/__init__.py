"""Figures that others published, with their source."""
