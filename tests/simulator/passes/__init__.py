"""Passes over a graph: where ops are placed, and pipelines."""
