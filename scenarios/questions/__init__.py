"""Questions that need many runs: what would help, where two scenarios differ, which value is the first that will do.

`what_if(scenario)`, `compare(a, b)`, `find(...)`, `crossover(...)` stand at the door of the room, `scenarios`.
"""
