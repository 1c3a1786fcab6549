"""Tensors of other rounds: what a name with rounds (`h@round`, `h@3`) says, worked out once for all turns.

Model: as `simulator.graph.unroll` has it. The block in which a name lives, and which of its blocks are those around whoever
asks, follow from where that stands; only the numbers of the rounds are another one in each turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulator.graph.items import Repeat, Round, reference, rounds_of
from simulator.graph.scopes import Home, Place, Turn, TurnScope, in_common


class RoundError(Exception):
    """A reference to a round that does not exist; `outside`: only because it lies before the first or after the last."""

    def __init__(self, message: str, outside: bool = False) -> None:
        super().__init__(message)
        self.outside = outside


@dataclass(frozen=True, slots=True)
class _Number:
    """The number of a round: `at`, or so many after that of the block at `depth` around whoever asks (from outside, or,
    negative, from inside). `count`: how many rounds there are, 0 where the number is certain."""

    at: int
    depth: int | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A name with rounds where it stands: as they are written, the block in which it lives, the numbers of rounds."""

    name: str
    rounds: tuple[Round, ...]
    home: Place
    numbers: tuple[_Number, ...]

    @property
    def text(self) -> str:
        """As it is written."""
        return reference(self.name, self.rounds)


class RoundsAsked:
    """Looks up names of other rounds among the scopes of all turns so far."""

    def __init__(self, blocks: Mapping[Place, Repeat], homes: Mapping[str, Home], dims: Mapping[str, int]) -> None:
        self.scopes: dict[tuple[Place, tuple[int, ...]], TurnScope] = {}
        self._blocks, self._homes, self._dims = blocks, homes, dims
        self._numbers: dict[tuple[Place, Place, tuple[Round, ...]], tuple[_Number, ...]] = {}

    def asked(self, name: str, rounds: tuple[Round, ...], place: Place) -> Asked:
        """A name with rounds that stands in a block. Raises RoundError for what can be of no turn."""
        home = self._homes[name].nearest(place) if name in self._homes else ()
        if not home:
            raise RoundError(f"{reference(name, rounds)}: '{name}' stands in no block, so it has no rounds")
        if len(rounds) > len(home):
            blocks = f"{len(home)} block{'s' * (len(home) > 1)}"
            raise RoundError(f"{reference(name, rounds)}: '{name}' stands in {blocks}, not in {len(rounds)}")
        key = home, place, rounds
        if key not in self._numbers:
            self._numbers[key] = self._numbered(name, home, place, rounds)
        return Asked(name, rounds, home, self._numbers[key])

    def _numbered(self, name: str, home: Place, place: Place, rounds: Sequence[Round]) -> tuple[_Number, ...]:
        """The numbers of the rounds of a name that lives in one block and is asked for in another. Raises RoundError."""
        outer, shared = len(home) - len(rounds), in_common(home, place)
        numbers = [_Number(0, depth) for depth in range(min(outer, shared))]
        numbers += [_Number(self._last(home[: depth + 1])) for depth in range(len(numbers), outer)]
        beyond = sum(each.relative for depth, each in enumerate(rounds, start=outer) if depth >= shared)
        for depth, each in enumerate(rounds, start=outer):
            around = depth if depth < shared else -beyond
            beyond -= each.relative and depth >= shared
            if each.relative and -around > len(place):
                text = reference(name, rounds)
                raise RoundError(f"{text}: 'round' is that of a block around the op, and there is none; write a number")
            count = rounds_of(self._blocks[home[: depth + 1]], self._dims)
            numbers.append(_Number(each.at, around if each.relative else None, count))
        return tuple(numbers)

    def value(self, asked: Asked, turn: Turn) -> int:
        """The value that it means in a turn. Raises RoundError."""
        around = turn.path
        path = tuple([each.at if each.depth is None else around[each.depth] + each.at for each in asked.numbers])
        scope = self.scopes.get((asked.home, path))
        found = scope.own.get(asked.name) if scope is not None else None
        if found is None:
            raise self._missing(asked, path, turn)
        return found

    @staticmethod
    def _missing(asked: Asked, path: Sequence[int], turn: Turn) -> RoundError:
        for number, each in zip(path, asked.numbers, strict=True):
            if each.count and not 0 <= number < each.count:
                rounds = f"its rounds are 0 to {each.count - 1}"
                message = f"{asked.text}: there is no round {number} of '{asked.name}', {rounds}"
                return RoundError(message, outside=each.depth is not None)
        numbers = ".".join(map(str, path))
        where = f"round {'.'.join(map(str, turn.path))}" if turn.path else "this op"
        return RoundError(f"{asked.text}: '{asked.name}' of round {numbers} is made later than {where} asks for it")

    def _last(self, place: Place) -> int:
        """The number of a block's last turn."""
        block = self._blocks[place]
        return 0 if block.reverse else rounds_of(block, self._dims) - 1
