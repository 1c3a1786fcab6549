"""Sharding: what is written, what the planner inserts, what a chip reads."""
