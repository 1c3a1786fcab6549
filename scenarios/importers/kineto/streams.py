"""Work on the streams of devices: nodes, and waits between streams that only times show.

Model: work of a stream runs in the order in which it began. Where a stream that was told to wait (or one of a captured
graph) stood still, and work on another stream of its device ended meanwhile, the last such work is taken for what it waited
for: its own delay is then what was left. A stream that was told nothing, but went on as soon as work of another stream had
ended, had no room on the chip before. Waits that cost nothing leave no such sign.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import count, pairwise

from scenarios.importers.kineto.events import DeviceWork, RankTrace
from scenarios.importers.kineto.nodes import Node

_TOLD_PS = 2_000_000
"""Standing still for longer (2 us) than kernels of one stream follow each other."""

_AT_ONCE_PS = 5_000_000
"""How soon (5 us) after room was made on a chip the next kernel begins."""

_MOST_APART = 8
"""How many that ended before are looked at for one of another stream."""

Stream = tuple[int, str]


def queue_of(stream: str) -> str:
    """The queue that a stream is."""
    return "s" + "".join(each if each.isalnum() else "_" for each in stream)


def work_nodes(rank: RankTrace, chips: Mapping[int, int]) -> list[Node]:
    """A node for all work of a file, in order of time; `chips`: the chip of each of its devices."""
    return [
        Node(
            title_of(rank, work),
            chips[work.device],
            queue_of(work.stream),
            work.begin_ps,
            work.end_ps,
            work=work,
            line=rank.shaped.get(work.external, ""),
        )
        for work in rank.work
    ]


def title_of(rank: RankTrace, work: DeviceWork) -> str:
    """What work is called: a collective's kind, the op that launched it, else its own name without templates."""
    if work.collective is not None:
        return work.collective.kind.strip("_")
    if op := rank.op_of(work):
        return op
    plain = work.name.removeprefix("void ").replace("(anonymous namespace)::", "")
    return plain.partition("<")[0].partition("(")[0].rpartition("::")[2] or plain


def by_stream(nodes: Sequence[Node]) -> dict[tuple[int, str], list[Node]]:
    """Nodes by chip and queue, in order."""
    found: dict[tuple[int, str], list[Node]] = defaultdict(list)
    for node in nodes:
        found[node.chip, node.queue].append(node)
    return found


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """Nodes by when they began."""
    return sorted(nodes, key=lambda node: (node.begin_ps, node.end_ps))


def infer_waits(nodes: Sequence[Node], flagged: Collection[int]) -> tuple[int, int]:
    """Add the waits between streams that only times show: how many for work of another stream, and how many for room on the
    chip, which another stream's work filled. `nodes`: all work of one file."""
    told = room = 0
    ended: dict[int, list[Node]] = defaultdict(list)
    for node in sorted(nodes, key=lambda each: each.end_ps):
        ended[node.chip].append(node)
    ends = {chip: [each.end_ps for each in those] for chip, those in ended.items()}
    for queue in by_stream(nodes).values():
        for before, node in zip([None, *queue], queue, strict=False):
            ready = max([before.end_ps if before else 0, *(each.end_ps for each in node.after)])
            if node.begin_ps - ready <= _TOLD_PS:
                continue
            place = bisect_right(ends[node.chip], node.begin_ps)
            last = ended[node.chip][max(0, place - _MOST_APART) : place]
            cause = next((each for each in reversed(last) if each.queue != node.queue and each.end_ps > ready), None)
            if cause is None:
                continue
            if id(node.work) in flagged:
                told += 1
            elif node.begin_ps - cause.end_ps <= _AT_ONCE_PS:
                room += 1
            else:
                continue
            node.after.append(cause)
    return told, room


def ordered(nodes: Sequence[Node]) -> list[Node]:
    """Nodes by when they begin, each behind what it waits for and behind what stands before it in its queue."""
    earlier: dict[int, list[Node]] = {id(node): list(node.after) for node in nodes}
    for queue in by_stream(in_order(nodes)).values():
        for before, node in pairwise(queue):
            earlier[id(node)].append(before)
    left = {at: len(those) for at, those in earlier.items()}
    later: dict[int, list[Node]] = {}
    for node in nodes:
        for each in earlier[id(node)]:
            later.setdefault(id(each), []).append(node)
    numbers = count()
    ready = [(node.begin_ps, next(numbers), node) for node in nodes if not left[id(node)]]
    heapq.heapify(ready)
    found: list[Node] = []
    while ready:
        node = heapq.heappop(ready)[2]
        found.append(node)
        for each in later.get(id(node), ()):
            left[id(each)] -= 1
            if not left[id(each)]:
                heapq.heappush(ready, (each.begin_ps, next(numbers), each))
    assert len(found) == len(nodes), "nodes wait for each other in a circle"
    return found
