"""Options of ops that say `round`: the number of the round of the block around the op, such as `on=round+1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat, rounds_of

_NUMBERED = ("on", "from", "to", "root", "shift", "priority")
"""Options in which `round` stands for the number of the round."""

_SAID = re.compile(r"\bround\b(?:\s*([+-]\s*\d{1,6}))?")


def says_round(op: Op) -> bool:
    """Whether an option of the op is another one in each round."""
    return any(key in _NUMBERED and "round" in raw for key, raw in op.options)


def at_round(op: Op, number: int) -> Op:
    """The op as it stands in a round of the block around it: options that say `round` (`on=round+1`) have its number."""
    if not says_round(op):
        return op
    told = tuple((key, _told(raw, number) if key in _NUMBERED else raw) for key, raw in op.options)
    return replace(op, options=told)


def samples(items: Items, dims: Mapping[str, int], rounds: int | None = None) -> Iterator[Op]:
    """Each op as written, blocks entered once; one whose options say `round` as it stands in the first and in the last."""
    for item in items:
        if isinstance(item, Repeat):
            yield from samples(item.items, dims, rounds_of(item, dims))
        elif rounds is None or not says_round(item):
            yield item
        else:
            yield from dict.fromkeys(at_round(item, turn) for turn in (0, rounds - 1))


def _told(raw: str, number: int) -> str:
    return _SAID.sub(lambda said: str(number + int((said[1] or "").replace(" ", "") or 0)), raw)
