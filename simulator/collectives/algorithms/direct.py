"""Direct: every chip sends its shard to every other at once, one hop a phase.

Model: along one fabric or full mesh that is the axis's own gather; elsewhere each message goes over its own route.
Source: DESIGN section 3.
"""

from __future__ import annotations

from simulator.collectives.algorithms.several_axes import gather_stages, pipelined
from simulator.collectives.axis_forms import forms_of
from simulator.collectives.composed import in_halves, rounds_in_halves
from simulator.collectives.flight import by_routes
from simulator.collectives.form import GATHERS, Form
from simulator.collectives.group import Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import DIRECT as UNEQUAL

MOST_CHIPS = 1024
"""Chips up to which everyone may send to everyone."""


def _in_one_hop(group: Group) -> bool:
    """Whether a group lies along one axis of which everyone reaches everyone in one hop."""
    return len(group.pieces) == 1 and forms_of(group.pieces[0].kind).one_hop


def _everyone(group: Group, nbytes: float) -> list[Message]:
    return [Message(here, there, nbytes) for here in group.chips for there in group.chips if here != there]


def _transfer(group: Group, request: CollectiveRequest) -> Transfer:
    if _in_one_hop(group):
        return _own(group, request)
    once = by_routes(group, _everyone(group, request.nbytes / group.size))
    return once.then(once) if request.kind == "all_reduce" else once


def _half(group: Group, nbytes: float, scatter: bool) -> Transfer:
    return forms_of(group.pieces[0].kind).gather(group.as_one, nbytes, scatter)


_own = in_halves(_half)


def _half_rounds(group: Group, nbytes: float, scatter: bool) -> Rounds:
    if _in_one_hop(group):
        return pipelined(group, gather_stages(group, nbytes), scatter)
    return [MessageRound(tuple(_everyone(group, nbytes / group.size)))]


DIRECT = add_algorithm(
    Algorithm(
        name="direct",
        kinds=GATHERS,
        form=Form(_transfer, rounds_in_halves(_half_rounds)),
        unequal=UNEQUAL,
        fits=lambda group: group.size <= MOST_CHIPS,
        routes=lambda group: 0 if _in_one_hop(group) else group.size**2,
    )
)
