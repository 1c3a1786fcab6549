"""Collectives of a replay as ops that go over the links of a system, instead of kernels of measured length.

Model: what kernels say of a collective (its kind, size, format and group) is all that its op needs. The trace of one rank
stands for all ranks; with the traces of all ranks of a group, a collective is one op, which begins when the last of its
ranks is there, and ends on all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from hw import Mark, Problem, SpecError
from scenarios.importers.groups import Groups
from scenarios.importers.kineto.changes import Run
from scenarios.importers.kineto.events import CollectiveSaid
from scenarios.importers.kineto.meetings import is_collective
from scenarios.importers.kineto.nodes import Node
from scenarios.importers.kineto.streams import by_stream, in_order
from scenarios.importers.kineto.writing import model_of


@dataclass(slots=True)
class OnLinks:
    """What collectives go over: groups of chips by the identity of their node, and how many chips there are. `alone`:
    whether one rank stands for all, so that ops run on all chips alike."""

    world: int
    groups: dict[int, Groups] = field(default_factory=dict)
    alone: bool = False


def model(run: Run, links: OnLinks, several: bool) -> None:
    """Make ops of the collectives of a run. Raises SpecError where none says what it is."""
    left = _of_all(run, links) if several else _of_one(run, links)
    if not links.groups:
        raise SpecError([Problem(Mark("--collectives"), "no kernel of the trace says what collective it is")])
    if left:
        run.notes.append(f"{left:,} collectives lack a type, a size or ranks, and are replayed as measured")


def _of_one(run: Run, links: OnLinks) -> int:
    """Collectives of one rank's trace as ops of its whole group; how many are left as they were."""
    left = unsaid = 0
    for node in run.nodes:
        said = node.collective
        if said is None or not is_collective(node):
            continue
        unsaid += said.ranks is None
        node.modelled = model_of(node)
        if node.modelled is None:
            left += 1
            continue
        links.groups[id(node)] = (_group(said),)
        links.world = max(links.world, max(_group(said)) + 1)
    links.alone = True
    if unsaid:
        run.notes.append(f"{unsaid:,} collectives do not say which ranks are in their group: taken for the first ones")
    return left


def _of_all(run: Run, links: OnLinks) -> int:
    """Collectives whose ranks are all there as one op each, in the place of the node in which they met."""
    members: dict[int, list[Node]] = {}
    meets: dict[int, Node] = {}
    left = 0
    for node in run.nodes:
        if node.collective is None or not is_collective(node):
            continue
        meet = next((each for each in node.after if each.meets), None)
        if meet is None or model_of(node) is None:
            left += 1
            continue
        meets[id(meet)] = meet
        members.setdefault(id(meet), []).append(node)
    gone: dict[int, Node] = {}
    for at, kernels in members.items():
        meet = meets[at]
        meet.modelled, meet.title = model_of(kernels[0]), kernels[0].title
        links.groups[at] = (tuple(node.chip for node in kernels),)
        gone |= {id(node): meet for node in kernels}
    _stand_in(run, gone)
    return left


def _stand_in(run: Run, gone: Mapping[int, Node]) -> None:
    """Ops in the place of kernels: what waited for these, or stood behind them in their queue, waits for the op."""
    for queue in by_stream(in_order(run.nodes)).values():
        for before, node in pairwise(queue):
            if id(before) in gone and id(node) not in gone:
                node.after = [*node.after, before]
    run.nodes = [node for node in run.nodes if id(node) not in gone]
    for node in run.nodes:
        after = (gone.get(id(each), each) for each in node.after)
        node.after = list({id(each): each for each in after if each is not node}.values())


def _group(said: CollectiveSaid) -> tuple[int, ...]:
    """The ranks of a group; the first ones, where it does not say which."""
    return said.ranks or tuple(range(said.size))
