"""Shards passed on along an axis over its own wires: how long that takes beyond the busiest wire, and its messages.

Model: what is latency of a time in which messages pass so many hops is all but the bytes of the busiest wire; where all
wires are alike that is a latency for each hop, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hw.rows import distinct, largest, largest_quotient
from simulator.collectives.flight import passed_on
from simulator.collectives.group import AxisGroup
from simulator.collectives.transfer import Message


def passed_s(along: AxisGroup, wires: Sequence[int], shard: float, hops: int) -> float:
    """Seconds until the last of so many shards has been passed on round a ring of wires."""
    return passed_on(
        [along.way(wire).latency_s for wire in wires], [shard / along.group.bytes_per_s(wire) for wire in wires], hops
    )


def beyond(along: AxisGroup, loads: Mapping[int, float], ends: float, hops: int) -> float:
    """What is latency of a time in which messages pass so many hops: all but the bytes of the busiest wire."""
    latencies = distinct(along.way(wire).latency_s for wire in loads)
    if len(latencies) == 1 and len(distinct(along.group.bytes_per_s(wire) for wire in loads)) == 1:
        return hops * latencies[0]  # exactly
    busiest = largest_quotient((nbytes, along.group.bytes_per_s(wire)) for wire, nbytes in loads.items())
    return largest([0.0, ends - busiest])


def over_wires(along: AxisGroup, nbytes: float, wires: Sequence[int]) -> list[Message]:
    """A message over each of the wires, from the chip at its one end to that at its other."""
    topology = along.topology
    numbers = topology.chip_numbers
    ends = [(numbers[topology.wires[wire].source], numbers[topology.wires[wire].target], wire) for wire in wires]
    return [Message(here, there, nbytes, along.way(wire)) for here, there, wire in ends]
