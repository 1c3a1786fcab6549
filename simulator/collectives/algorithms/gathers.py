"""The textbook's gathers: all-gather, reduce-scatter, all-reduce, along one axis or several.

Model: along one axis as `simulator.collectives.axes` has it for its kind; over several axes and levels as
`simulator.collectives.algorithms.several_axes`: several wrapped axes of one torus V / sum(W_both), levels as a pipeline in
which the slowest decides. A reduce-scatter is a gather backwards, an all-reduce the two in sequence. Unequal shards go the
way of the axis, or straight to everyone.
Source: DESIGN section 3; "How to Scale Your Model", chapters on sharding and GPUs.
"""

from __future__ import annotations

from hw.network import WIRINGS
from simulator.collectives.algorithms.several_axes import gather_stages, gathered, pipelined
from simulator.collectives.axis_forms import AxisForms, forms_of
from simulator.collectives.composed import rounds_in_halves
from simulator.collectives.form import GATHERS, Form
from simulator.collectives.group import Group
from simulator.collectives.registry import CANONICAL
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds
from simulator.collectives.transfer import Transfer


def _transfer(group: Group, request: CollectiveRequest) -> Transfer:
    if request.parts:
        return _axis(group).unequal.transfer(group, request)
    if request.kind != "all_reduce":
        return _half(group, request.nbytes, request.scatters)
    once = _half(group, request.nbytes, False)
    symmetric = all(forms_of(piece.kind).symmetric for piece in group.pieces)
    return (once if symmetric else _half(group, request.nbytes, True)).then(once)


def _half(group: Group, nbytes: float, scatter: bool) -> Transfer:
    return gathered(group, gather_stages(group, nbytes), scatter)


def _half_rounds(group: Group, nbytes: float, scatter: bool) -> Rounds:
    return pipelined(group, gather_stages(group, nbytes), scatter)


def _rounds(group: Group, request: CollectiveRequest) -> Rounds:
    if request.parts:
        rounds = _axis(group).unequal.rounds
        assert rounds is not None
        return rounds(group, request)
    return rounds_in_halves(_half_rounds)(group, request)


def _axis(group: Group) -> AxisForms:
    return forms_of(group.as_one.axis.kind)


def textbook_label(group: Group) -> str:
    """What the textbook's way is called on a group's wiring."""
    if len({piece.level for piece in group.pieces}) > 1:
        return "hierarchical"
    if len(group.pieces) == 1:
        return forms_of(group.pieces[0].kind).label
    wrapped = all(WIRINGS[piece.kind].wraps for piece in group.pieces)
    return "all axes at once" if wrapped else "split over the axes"


for _kind in GATHERS:
    CANONICAL[_kind] = Form(_transfer, _rounds)
