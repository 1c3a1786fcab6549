"""The memories of a chip: what each holds, how fast it delivers, how long it takes to answer.

Model: a level holds `capacity` bytes and delivers `bandwidth` bytes/s, reads and writes together, of the whole chip; its
`latency` is the time from asking to the first byte, 0 where it is not known. `on_chip` is where tiles live unless a run
says otherwise (of a GPU its L2); a chip may name further levels between the units and HBM (registers, l1), nearest first.
Invariant: away from the chip, over the levels and HBM and over on_chip and HBM, bandwidth does not rise, and latency,
where both are known, does not fall.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from pydantic import Field

from hw.input.document import Key
from hw.input.units import Dimension, show
from hw.input.validation import Bytes, BytesPerSecond, Seconds, Spec
from hw.input.wording import nearest

COMMON_MEMORIES = ("on_chip", "hbm", "host", "disk")
"""Memories that have a name of their own in every chip file, nearest first."""

_LEVEL_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Memory(Spec):
    """A memory level: bytes it holds, bytes/s it delivers (reads and writes together), seconds until it answers."""

    capacity_bytes: Bytes = Field(alias="capacity")
    bytes_per_s: BytesPerSecond = Field(alias="bandwidth")
    latency_s: Seconds = Field(alias="latency", default=0.0)

    def __repr__(self) -> str:
        return f"Memory({self})"

    def __str__(self) -> str:
        return f"{show(self.capacity_bytes, Dimension.DATA)} at {show(self.bytes_per_s, Dimension.BANDWIDTH)}"


Placed = tuple[tuple[Key, ...], str]
"""The keys that may be to blame, likeliest first, and the message."""


def hierarchy_problems(levels: Mapping[str, Memory], memories: Mapping[str, Memory]) -> Iterator[Placed]:
    """What is wrong with a chip's own levels beside the `memories` that every chip may have, nearest first."""
    outer = {name: memory for name, memory in memories.items() if name != "on_chip"}
    own: list[tuple[Key, Memory]] = [(("levels", name), level) for name, level in levels.items()]
    rest: list[tuple[Key, Memory]] = [((name,), memory) for name, memory in outer.items()]
    yield from _not_slower([*own, *rest])
    if "on_chip" in memories and rest:
        yield from _not_slower([(("on_chip",), memories["on_chip"]), rest[0]])


def name_problems(levels: Mapping[str, Memory], taken: Mapping[str, object]) -> Iterator[Placed]:
    """Levels whose names mean something else: a common memory, a unit, a link."""
    for name in levels:
        if not _LEVEL_NAME.fullmatch(name):
            yield (("levels", name),), f"'{name}' is no name of a level: small letters, digits and _, as in l2"
        elif nearest(name, COMMON_MEMORIES):
            yield (("levels", name),), f"'{name}' is too much like '{nearest(name, COMMON_MEMORIES)}' to name a level"
        elif name in taken:
            yield (("levels", name),), f"'{name}' is the name of something else of the chip; a level needs its own"


def _not_slower(levels: list[tuple[Key, Memory]]) -> Iterator[Placed]:
    for (near, fast), (far, slow) in pairwise(levels):
        names = [".".join(map(str, key)) for key in (near, far)]
        if slow.bytes_per_s > fast.bytes_per_s:
            inner, outer = (show(each.bytes_per_s, Dimension.BANDWIDTH, 6) for each in (fast, slow))
            message = (
                f"memory must not get faster away from the chip: {names[1]} has {outer}, "
                f"{names[0]}, which is nearer, only {inner}"
            )
            yield ((*far, "bandwidth"), (*near, "bandwidth")), message
        if slow.latency_s and fast.latency_s > slow.latency_s:
            inner, outer = (show(each.latency_s, Dimension.TIME, 6) for each in (fast, slow))
            message = (
                f"memory must not answer sooner away from the chip: {names[1]} takes {outer}, "
                f"{names[0]}, which is nearer, {inner}"
            )
            yield ((*far, "latency"), (*near, "latency")), message
