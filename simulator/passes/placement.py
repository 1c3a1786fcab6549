"""Which chips run a kernel: those that have all of its inputs.

Graph inputs are everywhere. `send` runs on its source and `recv` on its target, and so what a recv brings is on that chip
only; whatever needs it runs there. `on=` restricts an op to some chips: the first stage of a pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw import RunError
from hw.input import chips_named
from simulator.ops.kernel import Communication, Kernel

"""Chips that a message names."""


def end_of(communication: Communication) -> int:
    """The chip on which one end of a send or recv runs."""
    return communication.source if communication.kind == "send" else communication.target


@dataclass(frozen=True, eq=False)
class Placement:
    """Chips on which kernels run, in order: one object for all kernels that run on the same, so that what follows from it
    is worked out once."""

    chips: tuple[int, ...]
    members: frozenset[int]


def placements(kernels: Sequence[Kernel], chips: int) -> list[Placement]:
    """The placement of each kernel. Raises RunError for one that can run nowhere."""
    where: dict[str, frozenset[int]] = {}
    everywhere = frozenset(range(chips))
    known: dict[frozenset[int], Placement] = {}
    result: list[Placement] = []
    for kernel in kernels:
        asked = _asked(kernel)
        here = everywhere if asked is None else everywhere & asked
        for access in kernel.reads:
            there = where.get(access.tensor, everywhere)
            if there is not here and there is not everywhere:
                here &= there
        if not here:
            raise RunError(f"{kernel.name} ({kernel.kind}) can run nowhere: {_why(kernel, asked, where)}")
        if here not in known:
            known[here] = Placement(tuple(sorted(here)), here)
        placement = known[here]
        for access in kernel.writes:
            where[access.tensor] = placement.members
        for name in kernel.ops:
            where[name] = placement.members
        result.append(placement)
    return result


def _asked(kernel: Kernel) -> frozenset[int] | None:
    """The chips that a kernel is written for, by `on=` or as one end of a transfer; None for any."""
    asked = frozenset(kernel.schedule.on) if kernel.schedule.on else None
    if kernel.communication is not None and not kernel.communication.axes:
        end = frozenset({end_of(kernel.communication)})
        asked = end if asked is None else asked & end
    return asked


def _why(kernel: Kernel, asked: frozenset[int] | None, where: Mapping[str, frozenset[int]]) -> str:
    """What asks for which chips."""
    parts = {access.tensor: where[access.tensor] for access in kernel.reads if access.tensor in where}
    said = [f"{name} is on {chips_named(chips)}" for name, chips in parts.items()]
    if asked is not None:
        said.append(f"it is written for {chips_named(asked)}")
    return ", ".join(said)
