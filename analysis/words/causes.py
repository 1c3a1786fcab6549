"""What a run can be bound by: one row for each cause, with its word, its colour and what it means.

Model: the work on a resource counts as one cause (`simulator.resource_cause`); fixed times and waiting for other chips are
causes without a resource. A cause has one word (`t_math`), whose value is the time that counts for it, and one colour, in
every picture, on light and on dark ground.
Colours: the palette of Okabe and Ito, chosen so that people with any common colour blindness tell its members apart.
Source: Okabe and Ito, "Color Universal Design", 2008; the grey of waiting is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator import PlannedKernel, resource_cause

DOES = ("arithmetic", "network", "memory", "other")
"""What a task does: arithmetic, communication, pure data movement, or nothing but a fixed time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause: its name, its word, what its resources are counted as in the simulator ("": it has none), the one of `DOES`
    that a task with such work does ("": none), its colour, and what its word means.

    `of_ops`: an op has it, too; waiting is of a chip.
    """

    name: str
    word: str
    resource: str
    does: str
    colour: str
    meaning: str
    of_ops: bool = True

    def __repr__(self) -> str:
        return f"Cause({self.name}: {self.word}, {self.colour})"


COMPUTE = Cause(
    name="compute",
    word="t_math",
    resource="math",
    does="arithmetic",
    colour="#009e73",
    meaning="work of the matrix unit over its peak, busiest chip",
)
VECTOR = Cause(
    name="vector",
    word="t_vector",
    resource="vector",
    does="arithmetic",
    colour="#56b4e9",
    meaning="work of the vector unit over its peak, busiest chip",
)
MEMORY = Cause(
    name="memory",
    word="t_memory",
    resource="memory",
    does="memory",
    colour="#e69f00",
    meaning="traffic of HBM or on-chip memory over its bandwidth, busiest chip",
)
NETWORK = Cause(
    name="network",
    word="t_network",
    resource="network",
    does="network",
    colour="#cc79a7",
    meaning="bytes over bandwidth of the busiest link direction",
)
HOST = Cause(
    name="host",
    word="t_host",
    resource="host",
    does="memory",
    colour="#0072b2",
    meaning="bytes over bandwidth of PCIe, host memory or disk, busiest chip",
)
OVERHEAD = Cause(
    name="overhead",
    word="t_overhead",
    resource="",
    does="other",
    colour="#d55e00",
    meaning="time in which tasks are in their fixed times (launches, latencies of hops and memories), busiest chip",
)
WAITING = Cause(
    name="waiting",
    word="t_waiting",
    resource="",
    does="",
    colour="#6b7280",
    meaning="time in which a chip runs nothing and waits for other chips, longest",
    of_ops=False,
)

CAUSES: Mapping[str, Cause] = {each.name: each for each in (COMPUTE, VECTOR, MEMORY, NETWORK, HOST, OVERHEAD, WAITING)}
"""The causes by name; the first of equal ones wins."""

OF_RESOURCES: Mapping[str, Cause] = {each.resource: each for each in CAUSES.values() if each.resource}
"""The causes that resources stand for, by what the simulator counts them as."""


def cause_of(resource: str) -> Cause:
    """The cause that the work on one of a chip's resources counts for."""
    return OF_RESOURCES[resource_cause(resource)]


def what_it_does(planned: PlannedKernel) -> str:
    """One of `DOES`: what a kernel's tasks count as."""
    if planned.kernel.communication is not None:
        return NETWORK.does
    found = {cause_of(resource).does for resource in planned.times_s}
    return next((each for each in (COMPUTE.does, MEMORY.does) if each in found), OVERHEAD.does)
