"""Halving-doubling: log2 n rounds a phase with partners 1, 2, 4, ... places away; n a power of two.

Model: partners exchange all they have so far; a reduce-scatter goes backwards. A round begins when the one before is over
everywhere: where some partners are nearer, their next messages would hold up the last ones of those that are farther.
Source: Thakur, Rabenseifner, Gropp 2005.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from simulator.collectives.composed import rounds_in_halves
from simulator.collectives.flight import at_once
from simulator.collectives.form import GATHERS, Form
from simulator.collectives.group import Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds
from simulator.collectives.transfer import Message, Transfer


def _doublings(group: Group, nbytes: float) -> Iterator[list[Message]]:
    """The rounds of a gather: everyone's message to its partner."""
    for power in range(group.size.bit_length() - 1):
        held = nbytes / group.size * 2**power
        yield [Message(chip, group.chips[at ^ (1 << power)], held) for at, chip in enumerate(group.chips)]


def _transfer(group: Group, request: CollectiveRequest) -> Transfer:
    phases, latency = [], 0.0
    for messages in _doublings(group, request.nbytes):
        loads, hop = at_once(group, messages)
        phases.append(loads)
        latency += hop
    sent = request.nbytes * (group.size - 1) / group.size
    if request.kind != "all_reduce":
        return Transfer(tuple(phases), latency, sent)
    return Transfer((*phases[::-1], *phases), 2 * latency, 2 * sent)


def _rounds(group: Group, nbytes: float, scatter: bool) -> Rounds:
    steps = [tuple(each) for each in _doublings(group, nbytes)]
    return [
        MessageRound(messages, 0, (at - 1,) if at else (), gate=at > 0)
        for at, messages in enumerate(steps[::-1] if scatter else steps)
    ]


HALVING_DOUBLING = add_algorithm(
    Algorithm(
        name="halving_doubling",
        kinds=GATHERS,
        form=Form(_transfer, rounds_in_halves(_rounds)),
        fits=lambda group: group.size & (group.size - 1) == 0,
        routes=lambda group: group.size * math.log2(group.size),
    )
)
