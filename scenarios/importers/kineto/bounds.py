"""Between which times a changed run must lie, whatever waited for what in the one that was measured.

Model: a trace does not say all that was waited for, so that a replay with something changed may be wrong in either
direction. But what ended last had a chain of work behind it, one piece after the other, back to the begin. What is saved is
at most what is saved on such a chain, and no chain can have two pieces in it that ran at one time: so it is at most that of
the pieces, none beside another, that are saved most together. What is added is bounded in the same way. A queue's work
takes its time besides. Where no host issues anything, pauses that nothing explains may have been the host's, and may go.
Law: `least <= replay <= most`, and with nothing changed all three are equal.
Source: weighted interval scheduling (Kleinberg and Tardos, Algorithm Design, 6.1).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from scenarios.importers.kineto.changes import Run
from scenarios.importers.kineto.nodes import Node

Piece = tuple[int, int, int]
"""When something began and ended, and what it weighs."""


def between_ps(run: Run, ordered: Sequence[Node], start_ps: int) -> tuple[int, int]:
    """The least and the most that a changed run takes. `ordered`: its nodes, each behind what it waits for."""
    measured = max(node.end_ps for node in run.measured if node.work is not None) - start_ps
    kept = {id(node) for node in run.nodes}
    busiest = max(_busy_ps(ordered).values(), default=0)
    added = ((node, node.took.most_ps - node.measured_ps) for node in run.measured if id(node) in kept)
    least = max(busiest, measured - heaviest(_saved(run)))
    most = measured + heaviest(_piece(node, more) for node, more in added)
    known = [end_ps(ordered, pick) for pick in (lambda node: node.took.least_ps, lambda node: node.took.most_ps)]
    return min(least, known[0]), max(most, known[1])


def _saved(run: Run) -> Iterator[Piece]:
    """What is saved of nodes, and of pauses before them where these go, too."""
    for node in run.measured:
        freed = id(node) in run.freed
        yield _piece(node, node.measured_ps if freed else node.measured_ps - node.took.least_ps)
        if freed or run.without_hosts:
            begin = node.end_ps - node.measured_ps
            yield begin - node.delay_ps, begin, node.delay_ps


def _piece(node: Node, weight: int) -> Piece:
    return node.end_ps - node.measured_ps, node.end_ps, weight


def end_ps(ordered: Iterable[Node], pick: Callable[[Node], int]) -> int:
    """When the last work of devices ends, counted from the start, where each node takes what `pick` says."""
    ends: dict[int, int] = {}
    free: dict[tuple[int, str], int] = defaultdict(int)
    last = 0
    for node in ordered:
        queue = node.chip, node.queue
        ready = max([free[queue], *(ends[id(each)] for each in node.after)])
        ends[id(node)] = free[queue] = ready + node.delay_ps + pick(node)
        last = max(last, ends[id(node)])
    return last


def heaviest(pieces: Iterable[Piece]) -> int:
    """The most that pieces weigh together of which none was beside another."""
    ends: list[int] = []
    best: list[int] = []
    for end, begin, weight in sorted((end, begin, weight) for begin, end, weight in pieces if weight > 0):
        before = bisect_right(ends, begin)
        with_it = weight + (best[before - 1] if before else 0)
        ends.append(end)
        best.append(max(with_it, best[-1] if best else 0))
    return best[-1] if best else 0


def _busy_ps(nodes: Iterable[Node]) -> dict[tuple[int, str], int]:
    """The least time of all work of each queue."""
    found: dict[tuple[int, str], int] = defaultdict(int)
    for node in nodes:
        found[node.chip, node.queue] += node.took.least_ps
    return found
