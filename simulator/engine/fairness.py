"""Max-min fair rates of coupled demands: the one place where tasks compete.

Model: flow i progresses at rate p_i <= cap_i and uses p_i * use_ir of every resource r (capacity 1). Fairness is in
x_i = p_i * weight_i, the bytes/s of its largest demand: raise one common level of x for all flows; a flow stops when it
reaches its own cap or when a resource it uses is full (progressive filling). The result is the unique max-min
allocation. Flows of one shape get one rate, so the solver works on shapes and multiplies by their counts.
Source: Bertsekas & Gallager, Data Networks, 6.5.2; parallel tasks of SimGrid for the coupling.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol

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
    users, state = _users(shapes, counts, tight)
    levels: list[float | None] = [None] * len(shapes)
    rising = sorted([(shape.top, index) for index, shape in enumerate(shapes)], reverse=True)
    while rising:
        full, lowest = None, _INFINITE
        for resource, (room, pressure) in state.items():
            if pressure > 0.0 and room < pressure * lowest:  # without users it has no level
                full, lowest = resource, room / pressure
        stopped: list[int] = []
        # who stops at its cap takes less than the level, so what fills first can only fill later: stop all such at once
        while rising and (rising[-1][0] <= lowest or levels[rising[-1][1]] is not None):
            top, index = rising.pop()
            if levels[index] is None:
                levels[index] = top
                stopped.append(index)
        if not stopped and full is not None:
            stopped = [index for index in users[full] if levels[index] is None]
            for index in stopped:
                levels[index] = lowest if lowest > 0.0 else 0.0
            del state[full]
        for index in stopped:
            count, level = counts[index], levels[index] or 0.0
            for resource, amount in shapes[index].per_level:
                if resource in state:
                    here = state[resource]
                    here[0] -= amount * count * level
                    here[1] -= amount * count
    return [
        shape.cap if level is None or level >= shape.top else level / shape.weight
        for shape, level in zip(shapes, levels, strict=True)
    ]


def _users(
    shapes: Sequence[FlowShape], counts: Sequence[int], tight: Container[int]
) -> tuple[dict[int, list[int]], dict[int, list[float]]]:
    """By resource: which shapes use it; and its room left with how much of it a unit of level of them all takes."""
    users: dict[int, list[int]] = {}
    state: dict[int, list[float]] = {}
    for index, shape in enumerate(shapes):
        for resource, amount in shape.per_level:
            if resource in users:
                users[resource].append(index)
                state[resource][1] += amount * counts[index]
            elif resource in tight:
                users[resource] = [index]
                state[resource] = [1.0, amount * counts[index]]
    return users, state
