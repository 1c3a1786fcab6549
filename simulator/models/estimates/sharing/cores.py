"""The rows of passes whose kernels run beside collectives that hold cores of their chip.

Model: a pass has K seconds of kernels, C of collectives in other queues, and takes D, as long as nothing is shared: so
K + C - D of that go on at once. A kernel beside a collective has the cores that this leaves: s times as long, by its waves
or its blocks (`simulator.measured.held_by`). In H seconds beside collectives H / s of a pass's kernels are done; all of its
kernels are slowed by that part alike, and its longest paths are gone through once more, so that what waits anyway is no
later. The last microbatch has the reductions behind it, too, and the first one the gathers before it.
Collectives of two queues that share wires are at work at the same time, since the end of a block begins both: they slow
each other, and hold the cores of both until the bytes of both are there.
Where passes go on in turns, collectives lie behind the kernels of another pass: as many of them as there are seconds of
kernels are beside some, and two passes have what one has of each, twice.
Assumes: collectives lie evenly over the kernels of their pass; those in the queue of kernels are beside nothing. That a
collective waits until a kernel gives cores back is not counted: it comes within a few thousandths of a run as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from simulator.models.estimates.prices import Price, Prices
from simulator.models.estimates.rows import COMPUTE, FIRST, Rows, Sections, Stretch
from simulator.models.estimates.stages import ChunkPasses, Paths
from simulator.ops.kernel import Kernel


def beside_collectives(rows: Sections, passes: ChunkPasses, prices: Prices, in_turns: bool) -> Sections | None:
    """Rows with kernels as slow as collectives beside them make them; None where none holds cores. `passes`: how long they
    take as long as nothing is shared; `in_turns`: each beside another one."""
    if not any(price.cores for each in rows.values() for _, price, _ in _sent(each)):
        return None
    found = dict(rows)
    for name, each in passes.passes.items():
        over_s = 0.0 if in_turns else _latest(each.from_input, each.from_queue)
        found[name, False] = _slowed(rows[name, False], (), over_s, prices)
    for name, each in passes.last.items():
        behind = rows["end", False] if name == list(passes.last)[-1] else ()
        over_s = _latest(each.from_input, each.from_queue)
        found[name, True] = _slowed(rows[name, True], behind, over_s, prices)
    begins = rows["begin", False]
    found[FIRST] = _slowed(rows["forward", False], begins, _latest(passes.first), prices)
    return found


def _latest(*paths: Paths) -> float:
    """Until kernels, and all that is known to follow them, are over."""
    return max(each for path in paths for each in (path.queue, path.end))


@dataclass(frozen=True, slots=True)
class _Beside:
    """Collectives beside kernels: seconds, the cores that they hold in the mean of these, and the wires that they use."""

    seconds: float = 0.0
    cores: float = 0.0
    wires: frozenset[int] = frozenset()

    def beside(self, other: _Beside) -> _Beside:
        """With those of another queue: on wires of both each is slower for the other, and all go on, and hold their cores,
        until the bytes of both are there; else one after the other is as good as any other way."""
        seconds = self.seconds + other.seconds
        if not seconds:
            return self
        held = self.seconds * self.cores + other.seconds * other.cores
        if self.wires & other.wires:
            held += min(self.seconds, other.seconds) * (self.cores + other.cores)
        return _Beside(seconds, held / seconds, self.wires | other.wires)


def _slowed(rows: Rows, others: Rows, over_s: float, prices: Prices) -> Rows:
    """The rows of a pass; `others`: those before or behind it whose collectives may go on beside it, too."""
    beside = _collectives((*rows, *others))
    more = {price: prices.slower_s(kernel, beside.cores) for kernel, price, _ in _computed(rows)}
    kernels_s = sum(times * price.least for _, price, times in _computed(rows))
    slowed_s = kernels_s + sum(times * more[price] for _, price, times in _computed(rows))
    others_s = sum(times * price.least for _, price, times in _computed(others))
    alone_s = max(over_s, beside.seconds, kernels_s)
    together_s = min(kernels_s + others_s + beside.seconds - alone_s, kernels_s, beside.seconds)
    if together_s <= 0.0 or slowed_s <= kernels_s:
        return rows
    share = min(1.0, together_s / slowed_s)
    slower = {price: replace(price, least=price.least + share * seconds) for price, seconds in more.items()}
    return tuple(
        replace(stretch, prices=tuple(slower.get(price, price) for price in stretch.prices)) for stretch in rows
    )


def _collectives(rows: Iterable[Stretch]) -> _Beside:
    queues: dict[str, tuple[float, float, set[int]]] = {}
    for _, price, times in _sent(rows):
        if price.queue != COMPUTE and price.cores:
            seconds, held, wires = queues.get(price.queue, (0.0, 0.0, set()))
            busy_s = times * price.least
            queues[price.queue] = seconds + busy_s, held + busy_s * price.cores, wires | price.wires.used
    found = _Beside()
    for seconds, held, wires in queues.values():
        found = found.beside(_Beside(seconds, held / seconds, frozenset(wires)))
    return found


def _sent(rows: Iterable[Stretch]) -> Iterator[tuple[Kernel, Price, int]]:
    """What sends something, its price, and how often it does."""
    for stretch in rows:
        for at in stretch.sends:
            yield stretch.kernels[at], stretch.prices[at], stretch.count


def _computed(rows: Iterable[Stretch]) -> Iterator[tuple[Kernel, Price, int]]:
    """The kernels of the compute queue, their prices, and how often each runs."""
    for stretch in rows:
        for kernel, price in zip(stretch.kernels, stretch.prices, strict=True):
            if price.queue == COMPUTE and kernel.communication is None:
                yield kernel, price, stretch.count
