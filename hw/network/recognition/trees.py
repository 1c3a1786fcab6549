"""Switches and trees recognised in a graph: what the chips behind each branch share on the way to the others.

Model: chips are leaves, each behind one switch by one link. The switches form a tree of any depth; or two tiers, in which
each leaf switch is joined to each spine. What lies behind a branch is the smaller side of it: what leaves it or comes to
it passes the branch's links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw.network.recognition.net import Net


@dataclass(frozen=True, slots=True)
class Branch:
    """Chips, and their links to all others: the wires up and down, by their place in the network's list."""

    up: tuple[int, ...]
    down: tuple[int, ...]
    chips: frozenset[int]


def branches(net: Net) -> list[Branch] | None:
    """The branches of a tree; none at all if there is just one switch. None if the graph is no tree of switches."""
    switches = range(net.chips, net.size)
    for chip in range(net.chips):
        (leaf, *others), links = net.out[chip].keys(), net.out[chip].values()
        if others or leaf < net.chips or len(next(iter(links))) > 1:
            return None
    between = [(here, there) for here in switches for there in net.out[here] if there >= net.chips and here < there]
    if len(between) == len(switches) - 1:
        found = [_branch(net, here, there) for here, there in between]
        return [branch for branch in found if branch.chips]  # a switch without chips behind it is on nobody's way
    return _two_tiers(net, switches)


def _branch(net: Net, here: int, there: int) -> Branch:
    """One link of a tree: the smaller side is the branch, of two halves the one with the first chip."""
    near, far = _side(net, here, there), _side(net, there, here)
    if (len(far), min(far, default=0)) < (len(near), min(near, default=0)):
        here, there, near = there, here, far
    return Branch(tuple(net.out[here][there]), tuple(net.out[there][here]), frozenset(near))


def _side(net: Net, here: int, without: int) -> set[int]:
    """The chips that are reached from a node without passing another."""
    seen, front = {here, without}, [here]
    while front:
        front = [after for node in front for after in net.out[node] if after not in seen]
        seen.update(front)
    return {node for node in seen if node < net.chips}


def _two_tiers(net: Net, switches: Sequence[int]) -> list[Branch] | None:
    leaves = [node for node in switches if min(net.out[node]) < net.chips]
    spines = [node for node in switches if min(net.out[node]) >= net.chips]
    for leaf in leaves:
        if {there for there in net.out[leaf] if there >= net.chips} != set(spines):
            return None
    if any(set(net.out[spine]) != set(leaves) for spine in spines):
        return None
    return [
        Branch(
            tuple(wire for spine in spines for wire in net.out[leaf][spine]),
            tuple(wire for spine in spines for wire in net.out[spine][leaf]),
            frozenset(there for there in net.out[leaf] if there < net.chips),
        )
        for leaf in leaves
    ]
