"""Traces written and read, ours and those of others."""
