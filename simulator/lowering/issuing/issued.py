"""How kernels of a sort are issued: what follows for all of them from one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain


@dataclass(frozen=True, slots=True)
class Group:
    """A task of each chunk: the simulated chips that it joins, its queues, and the number of its shape."""

    chips: tuple[int, ...]
    queues: tuple[int, ...]
    shape: int


@dataclass(frozen=True, slots=True)
class Issued:
    """The groups of a kernel, the place of the group that a chip is in, and chunks. The task of place p and chunk c is the
    p * chunks + c-th of its kernel. `closes`: its tasks are those of the other end of its transfers, to which it adds what
    it waits for, its places in its queues, and the cost of the whole."""

    groups: tuple[Group, ...]
    chunks: int = 1
    priority: int = 0
    closes: bool = False
    place: Mapping[int, int] = field(init=False)

    def __post_init__(self) -> None:
        place = {chip: at for at, group in enumerate(self.groups) for chip in group.chips}
        object.__setattr__(self, "place", place)

    @property
    def tasks(self) -> int:
        """How many tasks it appends to a program."""
        return 0 if self.closes else len(self.groups) * self.chunks

    def all_of(self, place: int) -> range:
        """The numbers of the tasks of a place."""
        return range(place * self.chunks, (place + 1) * self.chunks)

    def waits(self, maker: Issued) -> list[tuple[int, int]]:
        """What waits for what where a kernel reads what another one made: (number of its task, number of a task of the
        maker). A task waits for its chunk of what is made in as many, else for all."""
        found: list[tuple[int, int]] = []
        for at, group in enumerate(self.groups):
            places = [maker.place[chip] for chip in group.chips if chip in maker.place]
            for chunk in range(self.chunks):
                own = at * self.chunks + chunk
                for place in places:
                    same = self.chunks == maker.chunks
                    made = (place * maker.chunks + chunk,) if same else maker.all_of(place)
                    found += [(own, each) for each in made]
        return found

    def waits_by_name(self, ran: Issued) -> list[tuple[int, int]]:
        """The same where a kernel is to come after another one: where that did not run on a chip, it has to be over
        wherever it ran."""
        found: list[tuple[int, int]] = []
        for at, group in enumerate(self.groups):
            numbers = list(chain.from_iterable(_on(chip, ran) for chip in group.chips))
            for own in self.all_of(at):
                found += [(own, each) for each in numbers]
        return found


def _on(chip: int, ran: Issued) -> Iterator[int]:
    places: Sequence[int] = (ran.place[chip],) if chip in ran.place else tuple(map(ran.place.__getitem__, ran.place))
    for place in places:
        yield from ran.all_of(place)
