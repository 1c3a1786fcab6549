"""Ring one way: whole shards from each chip to the next, all the way round the group.

Model: n-1 hops a phase, 2 (n-1) (alpha + V / (n W)) for an all-reduce; a message takes one way where two lead there.
Source: Thakur, Rabenseifner, Gropp 2005.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.collectives.algorithms.lattice_ring import goes_round, ring_through
from simulator.collectives.axes.routed import to_next
from simulator.collectives.composed import rounds_in_halves
from simulator.collectives.flight import Lane, passed_round
from simulator.collectives.form import GATHERS, Form
from simulator.collectives.group import Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds, chain
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import ONE_WAY


def _one_round(group: Group, nbytes: float) -> list[Message]:
    """One round, over one way each even where two lead there: on a ring of two, over the first link."""
    return group.unsplit(to_next(ring_through(group), nbytes))


def _transfer(group: Group, request: CollectiveRequest) -> Transfer:
    size, nbytes = group.size, request.nbytes
    once = passed_round(group, [Lane(_one_round(group, nbytes / size), size - 1)])
    once = replace(once, sent_bytes=nbytes * (size - 1) / size)
    return once.then(once) if request.kind == "all_reduce" else once


def _rounds(group: Group, nbytes: float, _scatter: bool) -> Rounds:
    rounds: Rounds = []
    chain(rounds, [tuple(_one_round(group, nbytes / group.size))] * (group.size - 1), 0)
    return rounds


RING_ONE_WAY = add_algorithm(
    Algorithm(
        name="ring_one_way",
        kinds=GATHERS,
        form=Form(_transfer, rounds_in_halves(_rounds)),
        unequal=ONE_WAY,
        fits=goes_round,
    )
)
