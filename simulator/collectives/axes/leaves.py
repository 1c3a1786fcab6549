"""Gathers in trees whose trunks are too narrow for everyone to send to everyone.

Model: chips behind the same crowded trunks are a leaf. A gather has two stages, in slices that follow each other: every
shard crosses to each other leaf once, to one chip there, which passes it on inside; a scatter goes backwards. So what comes
into a leaf is what it lacks, and what leaves it is its shards once for each other leaf: V (D-1)/D with D alike leaves.
Which chip of a leaf takes a shard goes by turns over the places of the shards that the leaf lacks; in alike leaves that is
the chip of like place.
Source: hierarchical all-gather, e.g. NCCL's per-rail rings; Thakur, Rabenseifner, Gropp 2005, for the parts.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.rows import smallest
from simulator.collectives.flight import at_once
from simulator.collectives.group import AxisGroup, once
from simulator.collectives.transfer import Message, Transfer, added

Leaves = Sequence[Sequence[int]]


@once
def leaves_of(along: AxisGroup) -> Leaves | None:
    """The chips behind each crowded trunk; None where everyone can send to everyone at the pace of the ports."""
    topology, level, here = along.topology, along.axis.level, set(along.chips)
    trunks = [trunk for trunk in topology.trunks(level) if 0 < len(here.intersection(trunk.chips)) < along.size]
    if not trunks:
        return None
    port = smallest(along.group.bytes_per_s(topology.port_out(chip, level)) for chip in along.chips)
    crowded = []
    for trunk in trunks:
        behind = len(here.intersection(trunk.chips))
        rate = sum(along.group.bytes_per_s(wire) for wire in trunk.up)
        if behind * (along.size - behind) * port > (along.size - 1) * rate * (1 + 1e-9):
            crowded.append(frozenset(trunk.chips))
    by_trunk: dict[tuple[bool, ...], list[int]] = {}
    for chip in along.chips:
        by_trunk.setdefault(tuple(chip in trunk for trunk in crowded), []).append(chip)
    leaves = list(by_trunk.values())
    # single chips have nobody to pass a shard on to: then everyone sends to everyone after all
    return leaves if len(leaves) > 1 and any(len(leaf) > 1 for leaf in leaves) else None


def stages(leaves: Leaves, shard: float, scatter: bool) -> tuple[list[Message], list[Message]]:
    """The messages of the two stages, in the order in which they are carried out."""
    across: list[Message] = []
    inside: list[Message] = []
    for leaf in leaves:
        takes = dict.fromkeys(leaf, 1)  # its own shard
        others = [leaf_chips for leaf_chips in leaves if leaf_chips is not leaf]
        turn = 0
        for other in others:
            for chip in other:
                taker = leaf[turn % len(leaf)]
                across.append(Message(chip, taker, shard))
                takes[taker] += 1
                turn += 1
        inside += [Message(a, b, takes[a] * shard) for a in leaf for b in leaf if a != b]
    if scatter:
        across, inside = ([Message(b, a, nbytes) for a, b, nbytes, _ in each] for each in (across, inside))
        return inside, across
    return across, inside


def crossing(along: AxisGroup, leaves: Leaves, nbytes: float, scatter: bool) -> Transfer:
    """Both stages, pipelined: their bytes side by side, their latencies one after the other."""
    found = [at_once(along.group, messages) for messages in stages(leaves, nbytes / along.size, scatter)]
    loads = added(*(each for each, _ in found))
    return Transfer((loads,), sum(latency for _, latency in found), nbytes * (along.size - 1) / along.size)
