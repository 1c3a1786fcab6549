"""Max-min fair rates of coupled demands: the one place where tasks compete.

Model: flow i progresses at rate p_i <= cap_i and uses p_i * use_ir of every resource r (capacity 1). Fairness is in
x_i = p_i * weight_i, the bytes/s of its largest demand: raise one common level of x for all flows; a flow stops when it
reaches its own cap or when a resource it uses is full (progressive filling). The result is the unique max-min
allocation. Flows of one shape get one rate, so the solver works on shapes and multiplies by their counts.
Source: Bertsekas & Gallager, Data Networks, 6.5.2; parallel tasks of SimGrid for the coupling.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

_INFINITE = float("inf")


class FlowShape(Protocol):
    """What the solver reads of a flow. A level is a value of x = rate x weight."""

    @property
    def cap(self) -> float:
        """Highest rate, progress per ps."""
        ...

    @property
    def top(self) -> float:
        """The level at which the cap is reached."""
        ...

    @property
    def weight(self) -> float:
        """Fairness weight."""
        ...

    @property
    def per_level(self) -> tuple[tuple[int, float], ...]:
        """(resource, share of its capacity that one unit of level takes)."""
        ...


def fair_rates(shapes: Sequence[FlowShape], counts: Sequence[int], tight: Container[int]) -> list[float]:
    """The rate of each shape, `counts[i]` flows of which run; only resources in `tight` can bind."""
    state = _asked(shapes, counts, tight)
    levels: list[float | None] = [None] * len(shapes)
    tops = [shape.top for shape in shapes]
    rising = sorted(range(len(tops)), key=tops.__getitem__)
    at, left = 0, len(rising)
    while left:
        full, lowest = -1, _INFINITE
        for resource, here in state.items():
            pressure = here[1]
            if pressure > 0.0 and here[0] < pressure * lowest:  # without users it has no level
                full, lowest = resource, here[0] / pressure
        before = left
        # who stops at its cap takes less than the level, so what fills first can only fill later: stop all such at once
        while at < len(rising) and ((top := tops[rising[at]]) <= lowest or levels[rising[at]] is not None):
            index, at = rising[at], at + 1
            if levels[index] is None:
                levels[index] = top
                left -= 1
                _take(shapes[index].per_level, counts[index], top, state)
        if left < before:
            continue
        level = lowest if lowest > 0.0 else 0.0
        for index in state.pop(full)[2]:
            if levels[index] is None:
                levels[index] = level
                left -= 1
                _take(shapes[index].per_level, counts[index], level, state)
    return [
        shape.cap if level is None or level >= shape.top else level / shape.weight
        for shape, level in zip(shapes, levels, strict=True)
    ]


_Open = list[Any]
"""Of a resource that is not full: the room left, how much of it a unit of level of its users takes, and who they are."""


def _asked(shapes: Sequence[FlowShape], counts: Sequence[int], tight: Container[int]) -> dict[int, _Open]:
    """The resources that can bind, before anything is taken of them."""
    state: dict[int, _Open] = {}
    for index, shape in enumerate(shapes):
        count = counts[index]
        for resource, amount in shape.per_level:
            here = state.get(resource)
            if here is not None:
                here[1] += amount * count
                here[2].append(index)
            elif resource in tight:
                state[resource] = [1.0, amount * count, [index]]
    return state


def _take(demands: Iterable[tuple[int, float]], count: int, level: float, state: Mapping[int, _Open]) -> None:
    """What the flows of a shape take that stop at a level: room, and their share of what presses on it."""
    for resource, amount in demands:
        here = state.get(resource)
        if here is not None:
            share = amount * count
            here[0] -= share * level
            here[1] -= share
