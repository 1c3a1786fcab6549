"""Per axis: one axis after the other, outside in, not pipelined; a reduce-scatter goes back the same way.

Source: DESIGN section 3.
"""

from __future__ import annotations

from simulator.collectives.algorithms.several_axes import leg_transfer, one_by_one, pipelined
from simulator.collectives.composed import gathering
from simulator.collectives.form import GATHERS
from simulator.collectives.group import Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.rounds import Rounds, append, ends
from simulator.collectives.transfer import Transfer


def _transfer(group: Group, nbytes: float, scatter: bool) -> Transfer:
    stages = one_by_one(group, nbytes)
    whole = Transfer()
    for stage in reversed(stages) if scatter else stages:
        for branch in stage.branches:
            for leg in branch:
                whole = whole.then(leg_transfer(group, leg, scatter))
    return whole


def _rounds(group: Group, nbytes: float, scatter: bool) -> Rounds:
    """Each axis when the one before is over everywhere."""
    stages = one_by_one(group, nbytes)
    rounds: Rounds = []
    after: tuple[int, ...] = ()
    lane = 0
    for stage in reversed(stages) if scatter else stages:
        append(rounds, pipelined(group, [stage], scatter), after, lane, gate=True)
        after, lane = ends(rounds), 1 + max(each.lane for each in rounds)
    return rounds


PER_AXIS = add_algorithm(
    Algorithm(
        name="per_axis",
        kinds=GATHERS,
        form=gathering(_transfer, _rounds),
        fits=lambda group: len(group.pieces) > 1,
    )
)
