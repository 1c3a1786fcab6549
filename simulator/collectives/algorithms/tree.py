"""Tree: sums go up two binary trees, half of V each, and come down again, streaming.

Model: 2 (ceil(log2(n+1)) - 1) hops; a chip that is inside one tree is a leaf of the other. On a fabric neighbours in a tree
share a switch where they can.
Source: NCCL 2.4 (double binary trees); Sanders, Speck, Traff 2009.
"""

from __future__ import annotations

from simulator.collectives.axes.fabric import FABRIC
from simulator.collectives.axes.fabric_lines import by_leaf
from simulator.collectives.axis_forms import Stream, Streams, forms_of
from simulator.collectives.group import Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.streams import backwards, streaming, tree_levels


def _at_most_one_lattice_axis(group: Group) -> bool:
    """Trees between far chips of a lattice crowd its links in ways that no closed form tells."""
    return sum(forms_of(piece.kind).lattice for piece in group.pieces) <= 1


def double_tree(group: Group) -> Streams:
    """The two binary trees over all chips of a group, half of V along each."""
    fabric = len(group.pieces) == 1 and group.pieces[0].kind in FABRIC.kinds
    chips = by_leaf(group.as_one, group.chips[0]) if fabric else group.chips
    return [Stream(0.5, tuple(tree_levels(chips, offset)[1])) for offset in (0, 1)]


def _up_and_down(group: Group, _request: CollectiveRequest) -> list[Streams]:
    down = double_tree(group)
    return [backwards(group, down), down]


TREE = add_algorithm(
    Algorithm(
        name="tree",
        kinds=("all_reduce",),
        form=streaming(_up_and_down),
        fits=_at_most_one_lattice_axis,
        routes=lambda group: 4 * group.size,
    )
)
