"""The rows of passes whose collectives of different queues share wires.

Model: gathers and reductions begin together, since the end of a block begins both, and have a wire in equal parts for as
long as both are at work: what a queue asks of it takes as much longer as others ask of it, or as it asks itself, if that is
less. Where weights are gathered ahead kernels hide that, if they last longer than all that goes over the wire beside them,
and what stands at the ends of a pass meets nobody: so that is counted for stretches whose wires are busy for longer than
their kernels. Where they are not, each gather stands between kernels, and meets what the block before has left.
Assumes: collectives in the queue of kernels come between these, and what is beside them is not slowed by so little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.models.estimates.prices import Price
from simulator.models.estimates.rows import COMPUTE, Rows, Sections, Stretch


def on_shared_wires(rows: Sections, ahead: bool) -> Sections | None:
    """Rows with collectives as slow as those of other queues make them; None where that makes no difference. `ahead`:
    whether weights are gathered before the kernels begin that wait for them."""
    known: dict[int, Rows] = {}
    found = {key: known.setdefault(id(each), tuple(_slowed(one, ahead) for one in each)) for key, each in rows.items()}
    alike = (new is old for key, each in rows.items() for new, old in zip(found[key], each, strict=True))
    return None if all(alike) else found


def _slowed(stretch: Stretch, ahead: bool) -> Stretch:
    if len({stretch.prices[at].queue for at in stretch.sends} - {COMPUTE}) < 2:
        return stretch
    asked = _asked(stretch)
    hides_s = sum(price.least for price in stretch.prices if price.queue == COMPUTE) if ahead else 0.0
    longer = {queue: _longer(queue, asked, hides_s) for queue in asked}
    if not any(longer.values()):
        return stretch
    prices = list(stretch.prices)
    for at in stretch.sends:
        prices[at] = _slower(prices[at], longer.get(prices[at].queue, 0.0))
    return replace(stretch, prices=tuple(prices))


def _slower(price: Price, share: float) -> Price:
    return replace(price, least=price.least + share * float(price.wires.seconds.max(initial=0.0))) if share else price


def _asked(stretch: Stretch) -> dict[str, Any]:
    """Seconds of each wire that each queue beside compute asks for in a round, as columns."""
    found: dict[str, Any] = {}
    for at in stretch.sends:
        price = stretch.prices[at]
        if price.queue != COMPUTE and price.wires.used:
            found[price.queue] = _sum(found.get(price.queue, np.zeros(0)), price.wires.seconds)
    return found


def _longer(queue: str, asked: Mapping[str, Any], hides_s: float) -> float:
    """The part by which what a queue asks of wires takes longer beside the others."""
    mine, total = asked[queue], np.zeros(0)
    for seconds in asked.values():
        total = _sum(total, seconds)
    mine = np.pad(mine, (0, len(total) - len(mine)))
    taken = np.where(total > hides_s, np.minimum(2.0 * mine, total), mine)
    return float(taken.max()) / float(mine.max()) - 1.0


def _sum(some: Any, more: Any) -> Any:
    if len(some) < len(more):
        some, more = more, some
    total = some.copy()
    total[: len(more)] += more
    return total
