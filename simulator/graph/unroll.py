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

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from hw import Problems
from simulator.graph.asked_rounds import Asked, RoundError, RoundsAsked
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Items, Op, Repeat, Round, Tensor, every_op, rounds_of
from simulator.graph.op_line import LineError, read_reference
from simulator.graph.rounds import at_round, says_round
from simulator.graph.scopes import Home, Place, Turn, TurnScope


def unrolled(items: Items, dims: Mapping[str, int]) -> FlatOps:
    """All ops in program order, names numbered. Raises SpecError for a round that does not exist or has not been yet."""
    return Unroller(tuple(items), dims).flat


def asks_for_rounds(items: Items) -> bool:
    """Whether any op speaks of a round by its number."""
    return any(
        any(tensor.rounds for tensor in op.inputs) or "@" in (op.option("after") or "") for op in every_op(items)
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """An op as written, ready to be entered once a round. `names` are what it reads, `given` by place the numbers of those
    tensors that nobody makes, as far as that has been seen. `asked`: by place, what those say that are of other rounds
    (None where that can be of no turn); `told`: it says other things in each round; `awaited`: what it comes after."""

    op: Op
    site: int
    names: tuple[str, ...]
    given: dict[int, int]
    asked: Mapping[int, Asked | None]
    told: bool
    awaited: tuple[tuple[str, tuple[Round, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Lines that are entered together: none but the last is told. `makes`: their names; `sites`: of each line; `ends`: how
    many inputs there are up to the end of each."""

    lines: tuple[_Line, ...]
    makes: tuple[str, ...]
    sites: array[int]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, lines: Iterable[_Line]) -> _Stretch:
        """Some lines."""
        every = tuple(lines)
        ends = tuple(accumulate(len(line.names) for line in every))
        return cls(every, tuple([line.op.name for line in every]), array("i", [line.site for line in every]), ends)


class Unroller:
    """Walks the blocks of one graph into `flat`. Raises SpecError for a round that does not exist or has not been yet."""

    def __init__(self, items: Items, dims: Mapping[str, int]) -> None:
        self.dims = dims
        self.problems = Problems()
        self.flat = FlatOps()
        self.keeps = asks_for_rounds(items)  # scopes of past rounds are for who asks for them
        self.blocks: dict[Place, Repeat] = {}
        self.homes: dict[str, Home] = {}
        self.rounds = RoundsAsked(self.blocks, self.homes, dims)
        self._lines: dict[Place, list[tuple[int, _Stretch | Repeat]]] = {}
        if self.keeps:
            self._settle(items, ())
        self.ops(items, TurnScope(), Turn())
        self.problems.raise_if_any()

    def ops(self, items: Items, scope: TurnScope, turn: Turn) -> None:
        """Enter the ops of `items`; `scope` maps names as written to values, and is filled on the way."""
        for at, each in self._prepared(items, turn.place):
            if isinstance(each, Repeat):
                self._block(each, scope, turn, at)
            else:
                self._enter(each, scope, turn)

    def _enter(self, stretch: _Stretch, scope: TurnScope, turn: Turn) -> None:
        """Enter some lines; what nobody makes is given in this turn."""
        number, own = self.flat.number_of_turn(turn.path), scope.own
        made, values = len(self.flat), list[int]()
        for line, name in zip(stretch.lines, stretch.makes, strict=True):
            asked = line.asked
            for place, read in enumerate(line.names):
                if place in asked:
                    values.append(self._of_round(line, place, turn))
                    continue
                # most of what is read was made in this turn
                value = own.get(read)
                values.append(self._found(line, place, scope, number) if value is None else value)
            own[name] = made
            made += 1
        self.flat.add_all(stretch.sites, number, values, stretch.ends)
        if stretch.lines[-1].told:
            self._tell(made - 1, stretch.lines[-1], scope, turn)

    def _found(self, line: _Line, place: int, scope: TurnScope, turn: int) -> int:
        """What an input means; what nobody makes is given in the turn of that number."""
        name = line.names[place]
        found = scope.find(name)
        if found is None:
            found = scope.own[name] = self._given_to(line, place, turn)
        return found

    def _of_round(self, line: _Line, place: int, turn: Turn) -> int:
        """The value of an input of another round."""
        tensor, asked = line.op.inputs[place], line.asked[place]
        try:
            if asked is None:
                asked = self.rounds.asked(tensor.name, tensor.rounds, turn.place)
            return self.rounds.value(asked, turn)
        except RoundError as error:
            self.problems.add(line.op.source.at(f"in{place}"), str(error))
            return self._given(replace(tensor, rounds=()), Turn())

    def _tell(self, made: int, line: _Line, scope: TurnScope, turn: Turn) -> None:
        """Give an op the options that it has in this turn, and what it is to come after."""
        op = line.op
        options = (at_round(op, turn.path[-1]) if turn.path else op).options
        if options != op.options:
            self.flat.site[made] = self.flat.number_of_site(line.site, options)
        for name, rounds in line.awaited:
            value = self._awaited(op, name, rounds, scope, turn)
            if value is not None:
                self.flat.waiting.append(made)
                self.flat.awaited.append(value)

    def _prepared(self, items: Items, place: Place) -> list[tuple[int, _Stretch | Repeat]]:
        """The items of a block with their numbers, lines in stretches, worked out when it is first entered."""
        if place not in self._lines:
            self._lines[place] = list(self._stretches(items, place))
        return self._lines[place]

    def _stretches(self, items: Items, place: Place) -> Iterator[tuple[int, _Stretch | Repeat]]:
        lines: list[_Line] = []
        for at, item in enumerate(items):
            if isinstance(item, Op):
                lines.append(self._line(item, place))
                if not lines[-1].told:
                    continue
            if lines:
                yield at, _Stretch.of(lines)
                lines = []
            if isinstance(item, Repeat):
                yield at, item
        if lines:
            yield len(items), _Stretch.of(lines)

    def _line(self, op: Op, place: Place) -> _Line:
        asked = {at: self._asked(each, place) for at, each in enumerate(op.inputs) if each.rounds}
        awaited = tuple(_awaited(op))
        names = tuple([tensor.name for tensor in op.inputs])
        return _Line(op, self.flat.add_site(op), names, {}, asked, says_round(op) or bool(awaited), awaited)

    def _given_to(self, line: _Line, place: int, turn: int) -> int:
        """The value of an input that nobody makes, given in the turn of that number."""
        if place not in line.given:
            line.given[place] = self.flat.add_tensor(line.op.inputs[place])
        return self.flat.add_given(line.given[place], turn)

    def _asked(self, tensor: Tensor, place: Place) -> Asked | None:
        try:
            return self.rounds.asked(tensor.name, tensor.rounds, place)
        except RoundError:  # told where it is asked for
            return None

    def _block(self, block: Repeat, scope: TurnScope, turn: Turn, at: int) -> None:
        before: dict[str, int] = {}
        inner = TurnScope()
        count = rounds_of(block, self.dims)
        turns = range(count - 1, -1, -1) if block.reverse else range(count)
        for number in turns:
            first = number == turns[0]
            # (an op that is wrong makes nothing to carry)
            carried = {start: before[end] for start, end in block.carry if end in before}
            if first:
                carried = dict(self._taken_in(block, scope, turn))
            inner = TurnScope(carried, scope)
            before = inner.own
            here = turn.into(at, number)
            if self.keeps:
                self.rounds.scopes[here.place, here.path] = inner
            self.ops(block.items, inner, here)
        scope.own.update({name: value for name, value in inner.own.items() if scope.find(name) is None})

    def _taken_in(self, block: Repeat, scope: TurnScope, turn: Turn) -> Iterator[tuple[str, int]]:
        """What the first turn of a block knows under the names that are carried."""
        for start, _ in block.carry:
            known = scope.find(start)
            if known is not None:
                yield start, known
            elif (typed := _typed_inside(block, start)) is not None:
                yield start, self._given(typed, turn)

    def _given(self, tensor: Tensor, turn: Turn) -> int:
        return self.flat.add_given(self.flat.add_tensor(tensor), self.flat.number_of_turn(turn.path))

    def _awaited(self, op: Op, name: str, rounds: tuple[Round, ...], scope: TurnScope, turn: Turn) -> int | None:
        """The value of what an op is to come after; None where there is none to wait for."""
        if not rounds:
            return scope.find(name)
        try:
            return self.rounds.value(self.rounds.asked(name, rounds, turn.place), turn)
        except RoundError as error:
            if not error.outside:
                self.problems.add(op.source.at("after"), str(error))
            return None

    def _settle(self, items: Items, place: Place) -> None:
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

    def _lives(self, name: str, place: Place, carried: bool = False) -> None:
        known = self.homes.get(name)
        if known is None:
            self.homes[name] = Home([place])
        elif carried and place not in known.blocks:
            known.blocks.append(place)


def _typed_inside(block: Repeat, name: str) -> Tensor | None:
    tensors = (tensor for op in every_op(block.items) for tensor in op.inputs)
    return next((tensor for tensor in tensors if tensor.name == name), None)


def _awaited(op: Op) -> Iterator[tuple[str, tuple[Round, ...]]]:
    """What an op is to come after, as written: names, and of which rounds they are meant."""
    for each in (op.option("after") or "").strip("[]").split(","):
        try:
            yield read_reference(each.strip())
        except LineError:  # no name at all, which `simulator.passes.soundness` tells
            continue
