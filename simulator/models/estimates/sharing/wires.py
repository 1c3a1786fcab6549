"""The rows of passes whose collectives of different queues share wires.

Model: two collectives at work on a wire have it in equal parts for as long as both are: each takes as much longer as the
other takes alone, or as it takes itself, if that is less.
Where weights are gathered ahead, gathers and reductions are at work at the same time, and kernels hide that if they last
longer than all that goes over the wire beside them; what stands at the ends of a pass meets nobody. So that is counted for
stretches whose wires are busy for longer than their kernels.
Where they are not, a gather stands between kernels. It meets what is left of reductions that have begun before it, by then:
less by what kernels and gathers have lasted since.
Assumes: collectives in the queue of kernels come between these, and what is beside them is not slowed by so little; a pass
begins with nothing left of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.models.estimates.prices import Price
from simulator.models.estimates.rows import COMPUTE, Rows, Sections, Stretch
from simulator.models.steps.buffers import GATHER_QUEUE


def on_shared_wires(rows: Sections, ahead: bool) -> Sections | None:
    """Rows with collectives as slow as those of other queues make them; None where that makes no difference. `ahead`:
    whether weights are gathered before the kernels begin that wait for them."""
    slow = _hidden if ahead else _between
    # most passes are the same for the last microbatch: those are gone through once
    known = {number: slow(each) for number, each in {id(each): each for each in rows.values()}.items()}
    found = {key: known[id(each)] for key, each in rows.items()}
    alike = (new is old for key, each in rows.items() for new, old in zip(found[key], each, strict=True))
    return None if all(alike) else found


def _hidden(rows: Rows) -> Rows:
    """Rows whose weights are gathered ahead."""
    found = []
    for stretch in rows:
        longer: Mapping[str, float] = {}
        if len({stretch.prices[at].queue for at in stretch.sends} - {COMPUTE}) > 1:
            asked = _asked(stretch)
            kernels_s = sum(price.least for price in stretch.prices if price.queue == COMPUTE)
            longer = {queue: _longer(queue, asked, kernels_s) for queue in asked}
        found.append(_slowed(stretch, longer))
    return tuple(found)


def _between(rows: Rows) -> Rows:
    """Rows whose gathers stand between kernels."""
    left: dict[str, float] = {}
    found = []
    for stretch in rows:
        met = _round(stretch, left)
        if stretch.count > 1:  # what the rounds before have left
            met = _round(stretch, left)
        asked = {queue: float(seconds.max(initial=0.0)) for queue, seconds in _asked(stretch).items()}
        found.append(_slowed(stretch, {queue: met.get(queue, 0.0) / total for queue, total in asked.items() if total}))
    return tuple(found)


def _round(stretch: Stretch, left: dict[str, float]) -> dict[str, float]:
    """Seconds that collectives of each queue take longer in a round; `left`: of reductions, when it begins and then when it
    ends."""
    met: dict[str, float] = {}
    asked = _asked(stretch)
    gathers = np.flatnonzero(asked[GATHER_QUEUE]) if GATHER_QUEUE in asked else np.zeros(0, dtype=np.int64)
    shared = {queue for queue, seconds in asked.items() if np.intersect1d(np.flatnonzero(seconds), gathers).size}

    def go_on(seconds: float) -> None:
        for queue, still in left.items():
            left[queue] = max(0.0, still - seconds)

    for price in stretch.prices:
        seconds = _wired(price)
        if price.queue == COMPUTE:
            go_on(price.least)
        elif price.queue == GATHER_QUEUE:
            for queue, still in left.items():
                met[queue] = met.get(queue, 0.0) + min(still, seconds)
            met[GATHER_QUEUE] = met.get(GATHER_QUEUE, 0.0) + sum(min(still, seconds) for still in left.values())
            go_on(seconds)
        elif price.queue in shared:
            left[price.queue] = left.get(price.queue, 0.0) + seconds
    return met


def _wired(price: Price) -> float:
    """Seconds of the wire that a collective keeps busiest."""
    return float(price.wires.seconds.max(initial=0.0))


def _slowed(stretch: Stretch, longer: Mapping[str, float]) -> Stretch:
    """The stretch with what queues ask of wires longer by a part."""
    if not any(longer.values()):
        return stretch
    prices = list(stretch.prices)
    for at in stretch.sends:
        share = longer.get(prices[at].queue, 0.0)
        if share:
            prices[at] = replace(prices[at], least=prices[at].least + share * _wired(prices[at]))
    return replace(stretch, prices=tuple(prices))


def _asked(stretch: Stretch) -> dict[str, Any]:
    """Seconds of each wire that each queue beside compute asks for in a round, as columns."""
    found: dict[str, Any] = {}
    for at in stretch.sends:
        price = stretch.prices[at]
        if price.queue != COMPUTE and price.wires.used:
            found[price.queue] = _sum(found.get(price.queue, np.zeros(0)), price.wires.seconds)
    return found


def _longer(queue: str, asked: Mapping[str, Any], kernels_s: float) -> float:
    """The part by which what a queue asks of wires takes longer beside the others."""
    mine, total = asked[queue], np.zeros(0)
    for seconds in asked.values():
        total = _sum(total, seconds)
    mine = np.pad(mine, (0, len(total) - len(mine)))
    taken = np.where(total > kernels_s, np.minimum(2.0 * mine, total), mine)
    return float(taken.max()) / float(mine.max()) - 1.0


def _sum(some: Any, more: Any) -> Any:
    if len(some) < len(more):
        some, more = more, some
    total = some.copy()
    total[: len(more)] += more
    return total
