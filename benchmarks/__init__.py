"""How fast it is: `python -m benchmarks` prints the table of goals, what is reached today, and where a goal is missed why.

Nothing here is a timed test: machines differ and are shared. Figures are CPU seconds of whole commands, each in a process of
its own, ratios to bare SimPy events counted side by side in one run, and memory. `python -m benchmarks --help` says more;
other measurements, too long for the tests, are run by name: `python -m benchmarks.faster_is_slower`.
"""
