"""A job of many steps, and what happens to it: failures, slow machines, machines that are taken away.

`live(job, seed)` is one life of a job as SimPy processes on the engine's clock; `Job` says what it is made of.
"""

from simulator.faults.failures import Fault, Poisson, Replay, Trace
from simulator.faults.job import Away, Checkpoints, Failures, Job, Slowdown, Strike
from simulator.faults.ledger import Life
from simulator.faults.life import live

__all__ = [
    # What a job is, and what may happen to it.
    "Away",
    "Checkpoints",
    "Failures",
    "Job",
    "Slowdown",
    "Strike",
    # Failures by chance, or as they were recorded.
    "Fault",
    "Poisson",
    "Replay",
    "Trace",
    # One life of a job.
    "Life",
    "live",
]
