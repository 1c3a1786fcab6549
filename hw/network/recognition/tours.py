"""The way a ring takes through the chips of any graph: over its widest links from chip to chip where that closes, else as
a walk around a tree goes.

Model: a ring is as fast as its narrowest link, so of all rings over direct links the one whose narrowest link is widest
is looked for, width by width (a Hamiltonian cycle: hard in general, so only so many steps are tried). Otherwise chips are
visited depth first, along the widest links first: on a tree that crosses each link once each way, which is the least.
Both go by the network's canonical order, so that the names of nodes decide nothing.
Source: Warnsdorff's rule (visit next what has the fewest ways on).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hw.network.recognition.net import Net

_STEPS = 50_000
"""Steps tried for a ring of one width."""

_MOST_CHIPS = 512
_MOST_WIDTHS = 16

Neighbours = Sequence[Sequence[int]]


def wide_ring(net: Net) -> tuple[float, list[int]] | None:
    """The widest ring over links from chip to chip: bytes/s of its narrowest link, and the chips in order."""
    if not 3 <= net.chips <= _MOST_CHIPS:
        return None
    widths: dict[tuple[int, int], float] = {}
    for here in range(net.chips):
        for there in net.out[here]:
            back = net.width(there, here)
            if here < there < net.chips and back:
                widths[here, there] = min(net.width(here, there), back)
    for least in sorted(set(widths.values()), reverse=True)[:_MOST_WIDTHS]:
        near: list[list[int]] = [[] for _ in range(net.chips)]
        for (here, there), width in widths.items():
            if width >= least:
                near[here].append(there)
                near[there].append(here)
        if min(map(len, near)) >= 2 and (found := _closed(near, net.rank)):
            return least, found
    return None


def one_way_ring(net: Net) -> list[int] | None:
    """The chips in order, if there is nothing but one ring of links that lead one way."""
    if net.chips != net.size or net.chips < 3 or any(len(others) != 1 for others in net.out):
        return None
    start = min(range(net.chips), key=net.rank.__getitem__) if not net.alike else 0
    way = [start]
    while (after := next(iter(net.out[way[-1]]))) != start and len(way) <= net.chips:
        way.append(after)
    return way if len(set(way)) == len(way) == net.chips else None


def around(net: Net, rank: Sequence[int] = ()) -> list[int]:
    """The chips in the order in which a walk along the widest links first comes to them; of equals the first in `rank`,
    which is the network's own canonical order without one."""
    rank = rank or net.rank
    first = min(range(net.chips), key=rank.__getitem__)
    seen, order, stack = {first}, [first], [first]
    while stack:
        here = stack[-1]
        ahead = [(-net.width(here, there), rank[there], there) for there in net.out[here] if there not in seen]
        if not ahead:
            stack.pop()
            continue
        after = min(ahead)[2]
        seen.add(after)
        stack.append(after)
        if after < net.chips:
            order.append(after)
    return order


def _closed(near: Neighbours, rank: Sequence[int]) -> list[int] | None:
    """A way through all nodes and back to the first, or None if there is none or it is not found in time."""
    size = len(near)
    start = min(range(size), key=rank.__getitem__)
    path, used = [start], {start}
    choices = [_onwards(near, rank, used, start)]
    for _ in range(_STEPS):
        if len(path) == size and start in near[path[-1]]:
            return path
        if choices[-1]:
            after = choices[-1].pop()
            path.append(after)
            used.add(after)
            choices.append(_onwards(near, rank, used, after))
            continue
        choices.pop()
        used.discard(path.pop())
        if not path:
            return None
    return None


def _onwards(near: Neighbours, rank: Sequence[int], used: set[int], here: int) -> list[int]:
    """Where a way can go on, the best last: to what has the fewest ways on, then by rank."""
    ahead = [there for there in near[here] if there not in used]
    left: Mapping[int, int] = {there: sum(1 for each in near[there] if each not in used) for there in ahead}
    return sorted(ahead, key=lambda there: (left[there], rank[there]), reverse=True)
