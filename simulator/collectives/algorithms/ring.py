"""Ring: whole shards both ways round the group.

Model: floor(n/2) hops a phase. Along an axis whose chips pass shards on to neighbours that is the axis's own gather;
around a lattice over links between neighbours, if there is such a way; elsewhere over the routes from each chip to the next.
Source: Thakur, Rabenseifner, Gropp 2005.
"""

from __future__ import annotations

from simulator.collectives.algorithms.lattice_ring import goes_round, ring_through
from simulator.collectives.axes.routed import ROUTED
from simulator.collectives.axis_forms import AxisForms, forms_of
from simulator.collectives.composed import gathering
from simulator.collectives.form import GATHERS
from simulator.collectives.group import AxisGroup, Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.rounds import Rounds
from simulator.collectives.transfer import Transfer
from simulator.collectives.unequal import PASSED_ON


def _forms(along: AxisGroup) -> AxisForms:
    own = forms_of(along.axis.kind)
    return own if own.passes_on else ROUTED


def _transfer(group: Group, nbytes: float, scatter: bool) -> Transfer:
    along = ring_through(group)
    return _forms(along).gather(along, nbytes, scatter)


def _rounds(group: Group, nbytes: float, scatter: bool) -> Rounds:
    along = ring_through(group)
    return _forms(along).gather_rounds(along, nbytes, scatter)


RING = add_algorithm(
    Algorithm(name="ring", kinds=GATHERS, form=gathering(_transfer, _rounds), unequal=PASSED_ON, fits=goes_round)
)
