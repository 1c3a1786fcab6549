"""Blocks unrolled: every round's ops one after the other, names numbered, references to other rounds looked up.

Model: round r of a block gives its names the suffix `.r`; blocks within blocks add one each. Every turn of a block has a
scope, what each name means there at its end. A name without rounds is looked up in the scope in which it stands: what was
made before in this round, else what the last turn of an earlier block made. A name with rounds (`h@round`, `h@3`) is looked
up in the scopes of the block that makes (or carries) it: the rounds are those of the innermost blocks around it. `round`
is the round of that block where the op that asks stands in it too, else that of the innermost block around the op (of
several, of so many innermost ones). Blocks further out are in the same round as the op, or, where it does not stand in
them, in their last turn.
In options that are numbers (`on=round+1`) `round` is the number of the round of the block around the op.
An `after=` that asks for a round before the first or after the last has nothing to wait for; an input must exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hw import Problem, Problems
from simulator.graph.items import Items, Op, Repeat, Round, Tensor, every_op, reference, rounds_of
from simulator.graph.op_line import LineError, read_reference

_NUMBERED = ("on", "from", "to", "root", "shift", "priority")
"""Options in which `round` stands for the number of the round."""

_SAID = re.compile(r"\bround\b(?:\s*([+-]\s*\d{1,6}))?")

_Place = tuple[int, ...]
"""A block by its place: that of its item in the graph, then in the block around it, and so on; () is no block."""

_Scope = dict[str, Tensor]


def unrolled(items: Items, dims: Mapping[str, int]) -> tuple[Op, ...]:
    """All ops in program order, names numbered. Raises SpecError for a round that does not exist or has not been yet."""
    problems = Problems()
    ops = tuple(_Unroller(items, dims, problems).ops(items, {}, _Turn()))
    problems.raise_if_any()
    return ops


def round_problems(items: Items, dims: Mapping[str, int]) -> list[Problem]:
    """Every reference to a round that cannot be; empty where none is referred to."""
    if not _asks_for_rounds(items):
        return []
    problems = Problems()
    for _ in _Unroller(items, dims, problems).ops(items, {}, _Turn()):
        pass
    return list(dict.fromkeys(problems.found))


def at_round(op: Op, number: int) -> Op:
    """The op as it stands in a round of the block around it: options that say `round` (`on=round+1`) have its number."""
    if not any(key in _NUMBERED and "round" in raw for key, raw in op.options):
        return op
    told = tuple((key, _told(raw, number) if key in _NUMBERED else raw) for key, raw in op.options)
    return replace(op, options=told)


def samples(items: Items, dims: Mapping[str, int], rounds: int | None = None) -> Iterator[Op]:
    """Each op as written, blocks entered once; one whose options say `round` as it stands in the first and in the last."""
    for item in items:
        if isinstance(item, Repeat):
            yield from samples(item.items, dims, rounds_of(item, dims))
        else:
            turns = () if rounds is None else (0, rounds - 1)
            yield from dict.fromkeys(at_round(item, turn) for turn in turns) if turns else (item,)


def _told(raw: str, number: int) -> str:
    return _SAID.sub(lambda said: str(number + int((said[1] or "").replace(" ", "") or 0)), raw)


def _asks_for_rounds(items: Items) -> bool:
    return any(
        any(tensor.rounds for tensor in op.inputs) or "@" in (op.option("after") or "") for op in every_op(items)
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """Where the unrolling is: in which block, and in which round of it and of those around it."""

    place: _Place = ()
    path: tuple[int, ...] = ()

    @property
    def suffix(self) -> str:
        return "".join(f".{number}" for number in self.path)

    def into(self, item: int, number: int) -> _Turn:
        """A round of a block that stands here."""
        return _Turn((*self.place, item), (*self.path, number))


class _RoundError(Exception):
    """A reference to a round that does not exist; `outside`: only because it lies before the first or after the last."""

    def __init__(self, message: str, outside: bool = False) -> None:
        super().__init__(message)
        self.outside = outside


@dataclass(slots=True)
class _Home:
    """The blocks in which a name lives."""

    blocks: list[_Place] = field(default_factory=list)

    def nearest(self, place: _Place) -> _Place:
        """The one that shares most with a place; the first of equals."""
        return max(self.blocks, key=lambda block: (_shared(block, place), bool(block)))


class _Unroller:
    """Walks the blocks of one graph; what cannot be goes to `problems`."""

    def __init__(self, items: Items, dims: Mapping[str, int], problems: Problems) -> None:
        self.dims = dims
        self.problems = problems
        self.keeps = _asks_for_rounds(items)  # scopes of past rounds are for who asks for them
        self.blocks: dict[_Place, Repeat] = {}
        self.homes: dict[str, _Home] = {}
        self.scopes: dict[tuple[_Place, tuple[int, ...]], _Scope] = {}
        if self.keeps:
            self._settle(items, ())

    def ops(self, items: Items, scope: _Scope, turn: _Turn) -> Iterator[Op]:
        """The ops of `items`; `scope` maps names as written to tensors as numbered, and is filled on the way."""
        for at, item in enumerate(items):
            if isinstance(item, Repeat):
                yield from self._block(item, scope, turn, at)
                continue
            inputs = tuple(self._input(item, place, tensor, scope, turn) for place, tensor in enumerate(item.inputs))
            output = _numbered(item.output, turn)
            scope[item.name] = output
            options = (at_round(item, turn.path[-1]) if turn.path else item).options
            if any(key == "after" for key, _ in options):
                options = tuple(self._waiting(item, options, scope, turn))
            yield replace(item, output=output, inputs=inputs, options=options, turn=turn.path)

    def _block(self, block: Repeat, scope: _Scope, turn: _Turn, at: int) -> Iterator[Op]:
        outside = dict(scope)
        inner: _Scope = {}
        count = rounds_of(block, self.dims)
        turns = range(count - 1, -1, -1) if block.reverse else range(count)
        for number in turns:
            first = number == turns[0]
            carried = {} if first else {start: inner[end] for start, end in block.carry if end in inner}
            inner = {**outside, **carried}  # (an op that is wrong makes nothing to carry)
            for start, _ in block.carry if first else ():
                typed = _typed_inside(block, start)
                if start not in inner and typed is not None:
                    inner[start] = _numbered(typed, turn)
            here = turn.into(at, number)
            if self.keeps:
                self.scopes[here.place, here.path] = inner
            yield from self.ops(block.items, inner, here)
        scope.update({name: tensor for name, tensor in inner.items() if name not in outside})

    def _input(self, op: Op, place: int, tensor: Tensor, scope: _Scope, turn: _Turn) -> Tensor:
        if tensor.rounds:
            try:
                return self._of_round(tensor.name, tensor.rounds, turn)
            except _RoundError as error:
                self.problems.add(op.source.at(f"in{place}"), str(error))
                return replace(tensor, rounds=())
        if tensor.name not in scope:
            scope[tensor.name] = _numbered(tensor, turn)
        return scope[tensor.name]

    def _waiting(
        self, op: Op, options: Iterable[tuple[str, str]], scope: _Scope, turn: _Turn
    ) -> Iterator[tuple[str, str]]:
        """The options of an op, the names inside `after=` numbered."""
        for key, raw in options:
            if key != "after":
                yield key, raw
                continue
            found = [self._awaited(op, each.strip(), scope, turn) for each in raw.strip("[]").split(",")]
            names = [name for name in found if name is not None]
            if names:
                yield key, f"[{', '.join(names)}]" if raw.startswith("[") else ", ".join(names)

    def _awaited(self, op: Op, written: str, scope: Mapping[str, Tensor], turn: _Turn) -> str | None:
        try:
            name, rounds = read_reference(written)
        except LineError:  # no name at all, which `simulator.passes.binding` tells
            return written
        if not rounds:
            return scope[name].name if name in scope else name
        try:
            return self._of_round(name, rounds, turn).name
        except _RoundError as error:
            if not error.outside:
                self.problems.add(op.source.at("after"), str(error))
            return None

    def _of_round(self, name: str, rounds: Sequence[Round], turn: _Turn) -> Tensor:
        """What a name means in other rounds. Raises _RoundError."""
        asked = reference(name, rounds)
        home = self.homes[name].nearest(turn.place) if name in self.homes else ()
        if not home:
            raise _RoundError(f"{asked}: '{name}' stands in no block, so it has no rounds")
        if len(rounds) > len(home):
            raise _RoundError(
                f"{asked}: '{name}' stands in {len(home)} block{'s' * (len(home) > 1)}, not in {len(rounds)}"
            )
        outer = len(home) - len(rounds)
        path = [*turn.path[: min(outer, _shared(home, turn.place))]]
        path += [self._last(home[: depth + 1]) for depth in range(len(path), outer)]
        shared = _shared(home, turn.place)
        beyond = sum(each.relative for depth, each in enumerate(rounds, start=outer) if depth >= shared)
        for depth, each in enumerate(rounds, start=outer):
            number = self._number(each, depth if depth < shared else -beyond, turn, asked)
            beyond -= each.relative and depth >= shared
            count = rounds_of(self.blocks[home[: depth + 1]], self.dims)
            if not 0 <= number < count:
                message = f"{asked}: there is no round {number} of '{name}', its rounds are 0 to {count - 1}"
                raise _RoundError(message, outside=each.relative)
            path.append(number)
        found = self.scopes.get((home, tuple(path)), {}).get(name)
        if found is None:
            numbers = ".".join(map(str, path))
            raise _RoundError(
                f"{asked}: '{name}' of round {numbers} is made later than {self._where(turn)} asks for it"
            )
        return found

    @staticmethod
    def _number(each: Round, depth: int, turn: _Turn, asked: str) -> int:
        """The number of a round; `depth`: of which block around the op that asks, from outside or (negative) inside."""
        if not each.relative:
            return each.at
        if -depth > len(turn.path):
            raise _RoundError(f"{asked}: 'round' is that of a block around the op, and there is none; write a number")
        return turn.path[depth] + each.at

    def _last(self, place: _Place) -> int:
        """The number of a block's last turn."""
        block = self.blocks[place]
        return 0 if block.reverse else rounds_of(block, self.dims) - 1

    @staticmethod
    def _where(turn: _Turn) -> str:
        return f"round {'.'.join(map(str, turn.path))}" if turn.path else "this op"

    def _settle(self, items: Items, place: _Place) -> None:
        """Find every block, and where every name lives: where it is made, first typed, or carried."""
        for at, item in enumerate(items):
            if isinstance(item, Repeat):
                inside = (*place, at)
                self.blocks[inside] = item
                for start, _ in item.carry:
                    self._lives(start, inside, carried=True)
                self._settle(item.items, inside)
                continue
            for tensor in (*item.inputs, item.output):
                self._lives(tensor.name, place)

    def _lives(self, name: str, place: _Place, carried: bool = False) -> None:
        known = self.homes.get(name)
        if known is None:
            self.homes[name] = _Home([place])
        elif carried and place not in known.blocks:
            known.blocks.append(place)


def _numbered(tensor: Tensor, turn: _Turn) -> Tensor:
    """A tensor under the name that it has in a round."""
    return replace(tensor, name=tensor.name + turn.suffix, written=tensor.base) if turn.path else tensor


def _shared(one: _Place, other: _Place) -> int:
    """How many blocks two places have around them in common."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _typed_inside(block: Repeat, name: str) -> Tensor | None:
    tensors = (tensor for op in every_op(block.items) for tensor in op.inputs)
    return next((tensor for tensor in tensors if tensor.name == name), None)
