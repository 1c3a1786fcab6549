"""Measurements that are too long for the tests: `python -m benchmarks.NAME` from the root of the repository."""
