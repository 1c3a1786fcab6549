"""Measured traces of PyTorch's profiler, replayed: events, hosts, streams, meetings of ranks, and the scenario."""
