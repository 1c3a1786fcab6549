"""A graph with its blocks unrolled, as columns: an op of a round is made as an object only when somebody asks for it.

Model: an op is a site (an op as written, with its options as they are in that round) in a turn (the numbers of the rounds
around it), and the values that it reads. Value v of 0 or more is what op v makes, value -1 - g is given from outside, the
g-th that is. So what reads what is told by numbers, and a name is made up when it is read: what it is called as written,
what the copy in which it stands puts behind that (`.s1.m2`; nothing outside of copies), and the numbers of the rounds.
What an op is to come after is told by values, too; its site has `after=` as it was written.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, overload

from simulator.graph.items import Op, Tensor

Path = tuple[int, ...]
"""The numbers of the rounds in which something stands, the outermost block's first."""

Options = tuple[tuple[str, str], ...]
"""The options of an op, as written."""


def suffix(path: Path) -> str:
    """What a name gets in a round."""
    return "".join(f".{number}" for number in path)


def without_waits(options: Options) -> Options:
    """Options of an op without what it is to come after."""
    return tuple(each for each in options if each[0] != "after") if options else options


def names_listed(names: Sequence[str], listed: bool) -> str:
    """Names as `after=` has them: one alone stands without brackets, unless it was written in some."""
    return f"[{', '.join(names)}]" if listed or len(names) > 1 else names[0]


def beginnings(name: str) -> Iterator[str]:
    """What a name may be without the numbers of rounds, of which it may have any: a, a.b and a.b.1 of a.b.1."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        yield ".".join(parts[:end])


NO_COPY = 0
"""The number of what stands in no copy."""


class FlatOps(Sequence[Op]):
    """All ops of a graph in program order: `site`, `turn`, `copy` and what they read, by number.

    `sites`, `turns` and `endings` (of the names in a copy) are what those numbers mean; op i reads
    `reads[first[i]:first[i + 1]]`. `given`, `given_turn` and `given_copy` are what is given from outside, by number of
    `tensors`, of `turns` and of copies. Op `waiting[i]` is to come after who makes value `awaited[i]`, in program order.
    """

    def __init__(self) -> None:
        self.sites: list[Op] = []
        self.turns: list[Path] = []
        self.site = array("i")
        self.endings: list[str] = [""]
        self.turn, self.copy = array("i"), array("i")
        self.first = array("q", [0])
        self.reads = array("i")
        self.tensors: list[Tensor] = []
        self.given, self.given_turn, self.given_copy = array("i"), array("i"), array("i")
        self.waiting, self.awaited = array("i"), array("i")
        self._site_of: dict[tuple[int, Options], int] = {}
        self._suffixes: list[str] = []
        self._turn_of: dict[Path, int] = {}

    def add_site(self, op: Op) -> int:
        """Append an op as written; returns its number."""
        self.sites.append(op)
        return len(self.sites) - 1

    def number_of_site(self, site: int, options: Options) -> int:
        """The number of a site with other options."""
        number = self._site_of.get((site, options))
        if number is None:
            number = self._site_of[site, options] = self.add_site(replace(self.sites[site], options=options))
        return number

    def number_of_turn(self, path: Path) -> int:
        """The number of a turn."""
        number = self._turn_of.setdefault(path, len(self.turns))
        if number == len(self.turns):
            self.turns.append(path)
            self._suffixes.append(suffix(path))
        return number

    def add_tensor(self, tensor: Tensor) -> int:
        """Append a tensor as written that no op makes; returns its number."""
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def add_copy(self, ending: str) -> int:
        """Append a copy, by what names get in it; returns its number."""
        self.endings.append(ending)
        return len(self.endings) - 1

    def add_given(self, tensor: int, turn: int, copy: int = NO_COPY) -> int:
        """Append a tensor that is given in a turn; returns its value."""
        self.given.append(tensor)
        self.given_turn.append(turn)
        self.given_copy.append(copy)
        return -len(self.given)

    def add_all(self, sites: array[int], turn: int, values: Iterable[int], ends: Iterable[int]) -> None:
        """Append ops of one turn; `values`: what all of them read, `ends`: how many of those come up to each op's end."""
        first = len(self.reads)
        self.site.extend(sites)
        self.turn.extend(repeat(turn, len(sites)))
        self.copy.extend(repeat(NO_COPY, len(sites)))
        self.reads.extend(values)
        self.first.extend([first + end for end in ends])

    def add(self, site: int, turn: int, copy: int, values: Sequence[int]) -> int:
        """Append an op; returns its number."""
        self.site.append(site)
        self.turn.append(turn)
        self.copy.append(copy)
        self.reads.extend(values)
        self.first.append(len(self.reads))
        return len(self.site) - 1

    def add_columns(self, sites: Any, turns: Any, copy: int, values: Any, ends: Any) -> None:
        """Append ops of one copy, as arrays. `turns`: of each op; `values` and `ends` as in `add_all`."""
        first = len(self.reads)
        self.site.frombytes(sites.astype("i").tobytes())
        self.turn.frombytes(turns.astype("i").tobytes())
        self.copy.extend(repeat(copy, len(sites)))
        self.reads.frombytes(values.astype("i").tobytes())
        self.first.frombytes((first + ends).astype("q").tobytes())

    def add_waits(self, ops: Any, values: Any) -> None:
        """Let ops come after who makes values, as arrays; they stand no earlier than those of which that is known."""
        self.waiting.frombytes(ops.astype("i").tobytes())
        self.awaited.frombytes(values.astype("i").tobytes())

    def awaited_by(self, at: int) -> array[int]:
        """The values that an op is to come after."""
        return self.awaited[bisect_left(self.waiting, at) : bisect_right(self.waiting, at)]

    def values_of(self, at: int) -> array[int]:
        """The values that an op reads."""
        return self.reads[self.first[at] : self.first[at + 1]]

    def written(self, value: int) -> Tensor:
        """A value as it is written."""
        if value >= 0:
            return self.sites[self.site[value]].output
        return self.tensors[self.given[-1 - value]]

    def tensor(self, value: int) -> Tensor:
        """A value as a tensor, under the name that it has in its copy and round."""
        written = self.written(value)
        ending = self._ending(value)
        return replace(written, name=written.name + ending, written=written.base) if ending else written

    def name(self, value: int) -> str:
        """The name of a value."""
        return self.written(value).name + self._ending(value)

    def is_renamed(self, at: int) -> bool:
        """Whether an op is called otherwise than it is written."""
        return bool(self._ending(at) or self.written(at).written)

    def _ending(self, value: int) -> str:
        """What follows the name of a value as it is written: that of its copy, and the numbers of the rounds."""
        if value >= 0:
            return self.endings[self.copy[value]] + self._suffixes[self.turn[value]]
        return self.endings[self.given_copy[-1 - value]] + self._suffixes[self.given_turn[-1 - value]]

    def names(self) -> Iterator[str]:
        """What every op is called, in program order; none is made for that."""
        return map(self.name, range(len(self)))

    def taken(self) -> list[Tensor]:
        """What ops read and none of them makes, each once."""
        return [self.tensor(value) for value in sorted(set(self.reads)) if value < 0]

    def __len__(self) -> int:
        return len(self.site)

    @overload
    def __getitem__(self, at: int) -> Op: ...
    @overload
    def __getitem__(self, at: slice) -> list[Op]: ...
    def __getitem__(self, at: int | slice) -> Op | list[Op]:
        if isinstance(at, slice):
            return [self._op(each) for each in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        return self._op(at % len(self))

    def __iter__(self) -> Iterator[Op]:
        return map(self._op, range(len(self)))

    def _op(self, at: int) -> Op:
        return replace(self.unawaiting(at), options=self._options(self.sites[self.site[at]], at))

    def unawaiting(self, at: int) -> Op:
        """An op without what it is to come after."""
        site = self.sites[self.site[at]]
        inputs = tuple(self.tensor(value) for value in self.values_of(at))
        turn = self.turns[self.turn[at]]
        return replace(site, output=self.tensor(at), inputs=inputs, options=without_waits(site.options), turn=turn)

    def _options(self, site: Op, at: int) -> Options:
        """The options of an op, with the names of what it is to come after here; without `after=` where that is nothing."""
        raw = site.option("after")
        names = [self.name(value) for value in self.awaited_by(at)]
        if not names:
            return without_waits(site.options)
        told = "after", names_listed(names, (raw or "").startswith("["))
        if raw is None:
            return (*site.options, told)
        return tuple(told if each[0] == "after" else each for each in site.options)
