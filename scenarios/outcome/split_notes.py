"""What is told of dims that unlike chips share in proportion to their speed: who got less, for its memory is full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hw import System
from hw.input import chips_named
from simulator import Plan


def split_notes(plan: Plan) -> Iterator[str]:
    """A line for each mesh axis along which memory, not speed, decided."""
    for axis, chips in plan.split.full.items():
        verb = "gets" if len(chips) == 1 else "get"
        who = _who(plan.system, chips)
        yield f"{who} {verb} less along {axis} than the speed would give: more does not fit into the memory"


def _who(system: System, numbers: Sequence[int]) -> str:
    kinds = ", ".join(dict.fromkeys(system.chip_at(chip).name for chip in numbers))
    return f"{chips_named(numbers)} ({kinds})"
