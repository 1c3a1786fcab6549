"""Collectives of several ranks: which kernels belong together, and that none of them goes on before all are there.

Model: the n-th collective of a group on one rank is the n-th on every other. Its kernels wait in a `meet` for whatever any
of them waits for; from when the last one had begun, each takes what was measured on its rank. So what was waiting in a
measured kernel is waiting in the replay, too, and goes away with its reason.
Where clocks of ranks differ, collectives show it: their kernels end together. Ranks are shifted by the median difference.
Assumes: a group whose ranks are not all among the files is left to each rank alone, as long as it was measured to be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from scenarios.importers.kineto.events import RankTrace
from scenarios.importers.kineto.nodes import Node

PAIRS = ("send", "recv", "coalesced")
"""Kinds that pair two ranks, which of their arguments do not tell."""

Key = tuple[str, tuple[int, ...], int]


def is_collective(node: Node) -> bool:
    """Whether a kernel belongs to a collective of a whole group."""
    said = node.collective
    return said is not None and said.size > 1 and not said.kind.strip("_").lower().startswith(PAIRS)


def keys_of(nodes: Sequence[Node]) -> dict[Key, Node]:
    """The collectives of one rank: the name and the ranks of its group, and its number there."""
    counts: Counter[tuple[str, tuple[int, ...]]] = Counter()
    found: dict[Key, Node] = {}
    for node in nodes:
        said = node.collective
        if said is None or not is_collective(node):
            continue
        group = said.group, said.ranks or tuple(range(said.size))
        found[*group, counts[group]] = node
        counts[group] += 1
    return found


def shifts_ps(ranks: Mapping[int, RankTrace]) -> dict[int, int]:
    """By how much the times of each rank are to be moved so that collectives end together; of the first rank by nothing."""
    ends = {rank: _ends(trace) for rank, trace in ranks.items()}
    first = next(iter(ends))
    result = {first: 0}
    for rank, own in ends.items():
        apart = [ends[first][key] - end for key, end in own.items() if key in ends[first]]
        result[rank] = round(median(apart)) if rank != first and apart else 0
    return result


def _ends(trace: RankTrace) -> dict[Key, int]:
    nodes = [Node("", 0, "", work.begin_ps, work.end_ps, work=work) for work in trace.work if work.collective]
    return {key: node.end_ps for key, node in keys_of(nodes).items()}


def meetings(nodes_of: Mapping[int, Sequence[Node]]) -> list[tuple[Key, list[Node]]]:
    """The kernels of every collective whose ranks are all there, in the order of the group. `nodes_of`: work by rank."""
    found: dict[Key, dict[int, Node]] = defaultdict(dict)
    for rank, nodes in nodes_of.items():
        for key, node in keys_of(nodes).items():
            found[key][rank] = node
    whole = {key: by_rank for key, by_rank in found.items() if all(rank in by_rank for rank in key[1])}
    return [(key, [by_rank[rank] for rank in key[1]]) for key, by_rank in whole.items()]


def meet(members: Sequence[Node], before: Mapping[int, Node], number: int) -> Node:
    """The node at which kernels of a collective meet, after all that any of them waits for; `before`: what stands before
    each in its queue, by identity."""
    begin = max(each.begin_ps for each in members)
    after = list(_awaited(members, before))
    node = Node(f"{members[0].title}_meet", members[0].chip, f"meet{number}", begin, begin, after, meets=True)
    for each in members:
        each.after = [node]
        each.begin_ps = begin  # up to here it waited for others
    return node


def _awaited(members: Sequence[Node], before: Mapping[int, Node]) -> Iterator[Node]:
    seen: set[int] = set()
    for member in members:
        own = before.get(id(member))
        for each in [*member.after, *([own] if own is not None else [])]:
            if id(each) not in seen:
                seen.add(id(each))
                yield each
