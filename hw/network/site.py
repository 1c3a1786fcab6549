"""What a builder of wirings works with: the shape that was written, and the site where its wires are laid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hw.chips.chip import Link
from hw.network.topology import Trunk, Wire

MAX_OPTION = 1_000_000


class Hop(NamedTuple):
    """What a message waits for on a wire, whatever its size: seconds a hop and seconds a message."""

    latency_s: float
    message_s: float = 0.0


class Shape:
    """The numbers and options that a wiring was written with: 'torus(4,8,wrap=[yes,no])'."""

    def __init__(self, sizes: Sequence[int], options: Mapping[str, str]) -> None:
        self.sizes = tuple(sizes)
        self.options = dict(options)

    @property
    def count(self) -> int:
        """How many children it joins."""
        return math.prod(self.sizes)

    def number(self, name: str, default: int) -> int:
        """An option that is a whole number of at least 1. Raises ValueError."""
        raw = self.options.get(name)
        if raw is None:
            return default
        if not (raw.isascii() and raw.isdecimal() and len(raw) < 9 and 1 <= int(raw) <= MAX_OPTION):
            raise ValueError(f"{name}={raw[:20]} will not do: it wants a whole number of at least 1")
        return int(raw)

    def ratio(self, name: str, default: float) -> float:
        """An option that is a number above 0, decimals allowed. Raises ValueError."""
        raw = self.options.get(name)
        try:
            number = default if raw is None else float(raw)
        except ValueError:
            number = math.nan
        if not 1 / MAX_OPTION <= number <= MAX_OPTION:
            raise ValueError(f"{name}={str(raw)[:20]} will not do: it wants a number above 0, as {name}=2")
        return number

    def flag(self, name: str, default: bool) -> bool:
        """An option that is yes or no. Raises ValueError."""
        return self.flags(name, 1, default)[0]

    def flags(self, name: str, count: int, default: bool) -> tuple[bool, ...]:
        """An option that is a list of yes and no, one for each axis. Raises ValueError."""
        raw = self.options.get(name)
        if raw is None:
            return (default,) * count
        words = [word.strip() for word in raw.strip("[]").split(",")]
        if len(words) != count or any(word not in ("yes", "no") for word in words):
            example = "yes" if count == 1 else f"[{','.join(['yes'] * count)}]"
            each = "yes or no" if count == 1 else "a yes or no for each axis"
            raise ValueError(f"{name}={raw[:40]} will not do: it wants {each}, as {name}={example}")
        return tuple(word == "yes" for word in words)


@dataclass
class Site:
    """Where a level is built: the chips of its children (`inner` of each, child by child), and the wires so far.

    `link_of` gives the link by which a chip takes part, `ports_of` how many of its ports this level has; `prefix` begins
    the names of the nodes that are not chips; `first` is the number of the next wire; `pcie_of` is a chip's way to a NIC.
    """

    chips: range
    inner: int
    level: int
    link_name: str
    link_of: Callable[[int], Link]
    ports_of: Callable[[Link], float]
    pcie_of: Callable[[int], Link | None] = lambda _chip: None
    prefix: str = ""
    first: int = 0
    wires: list[Wire] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)

    def alike(self) -> Iterator[range]:
        """The chips of like place in each child, place by place."""
        for place in range(self.inner):
            yield self.chips[place :: self.inner]

    def children(self) -> Iterator[range]:
        """The chips of each child."""
        for start in range(0, len(self.chips), self.inner):
            yield self.chips[start : start + self.inner]

    def egress(self, chip: int) -> float:
        """All ports that a chip has for this level together, one way."""
        link = self.link_of(chip)
        return link.bytes_per_s * self.ports_of(link)

    def join(self, here: int, there: int, ports: float = 1.0, name: str = "") -> None:
        """A link between two chips, both ways, `ports` ports wide, at the slower end's pace."""
        one, two = self.link_of(here), self.link_of(there)
        slow = one if one is two or one.latency_s >= two.latency_s else two
        rate = min(one.bytes_per_s, two.bytes_per_s) * ports
        source, target, word = f"chip{here}", f"chip{there}", f"{self.link_name}{name}:"
        rest = (rate, slow.latency_s, slow.message_s, self.link_name, self.level)
        self.wires.append(Wire(f"{word}{source}>{target}", source, target, *rest))
        self.wires.append(Wire(f"{word}{target}>{source}", target, source, *rest))

    def wire(self, source: str, target: str, bytes_per_s: float, hop: Link | Hop | None = None, name: str = "") -> int:
        """One direction of a link, and its number; without `hop` it is a part of the next hop or the last."""
        latency, message = (hop.latency_s, hop.message_s) if hop else (0.0, 0.0)
        word = f"{self.link_name}{name}:{source}>{target}"
        rest = (bytes_per_s, latency, message, self.link_name, self.level, hop is not None)
        self.wires.append(Wire(word, source, target, *rest))
        return self.first + len(self.wires) - 1
