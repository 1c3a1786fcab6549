"""Shardings spread from where they are annotated over a whole module, through loops, calls and branches.

Model: every array has a cell that says how its dims are cut. Arrays that are the same in all but name share one; those of an
instruction are tied by its loops: a loop that is cut in one array is cut so in all that may still be cut (where no other dim
of an array is cut by the same digits, and sizes divide), that of the larger array first. What only changes shapes passes on
before the rest, until nothing changes. Where two cuts of a loop disagree, both stay, and data moves.
Source: Shardy, "Sharding propagation": op priorities, and its strategies for conflicts.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from scenarios.importers.hlo.costs import branches_of, called_by, numbers
from scenarios.importers.hlo.module import Computation, Instruction, Module, Shape, Type, leaves
from scenarios.importers.hlo.sharding.annotations import SAID, TO_GLOBAL, TO_LOCAL, annotation_of, texts_of
from scenarios.importers.hlo.sharding.cells import Cell, Cells, Scope, flat_cells, fresh, like, shaped
from scenarios.importers.hlo.sharding.layouts import Layout, Pieces, common_cuts, layouts_in, plain, split_at
from scenarios.importers.hlo.sharding.loops import Loops, loops_of
from scenarios.importers.hlo.sharding.ties import Doorway, Tie

_MOST_TURNS = 30
_SAYS_ITSELF = ("custom-call", "manual", "sharding-constraint")
"""What reads its annotation by itself; on others it is about their result."""
_CONSTANT = frozenset(["constant", "iota", "broadcast", "reshape", "transpose", "convert"])
"""What is as good as a constant where all that it reads is one."""


class Spreading:
    """The scopes of a module, from its entry on. Raises SpecError for a sharding that cannot be read, ValueError and
    KeyError for a module that does not fit together."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.ties: list[Tie | Doorway] = []
        read = {text: self._read(line, text) for line, text in texts_of(module)}
        self.digits = common_cuts(layout for found in read.values() for layout in found)
        self.layouts = {text: [split_at(each, self.digits) for each in found] for text, found in read.items()}
        entry = module.computations[module.entry]
        self.entry = self._scope(entry, [self._parameter(each) for each in entry.parameters], None)
        self._want(entry)
        self._spread()

    def _read(self, line: int, text: str) -> list[Layout]:
        try:
            return layouts_in(text, self.module.meshes)
        except ValueError as error:
            raise self.module.refusal(line, f"a sharding cannot be read: {error}") from None

    @property
    def says_anything(self) -> bool:
        """Whether any array is cut, or in the shapes of one chip."""
        every = [each for found in self.layouts.values() for each in found]
        return any(each.manual or any(each.cuts) for each in every)

    def _spread(self) -> None:
        """Pass on in the order of the program and back, until nothing changes."""
        for ties in ([tie for tie in self.ties if tie.plain], list(self.ties)):
            for _ in range(_MOST_TURNS):
                changed = [tie.pass_on() for tie in ties]
                ties.reverse()
                if not any(changed):
                    break

    def _tie(self, cells: Sequence[Cell], loops: Sequence[Sequence[int]], plain: bool) -> None:
        places: dict[int, list[tuple[Cell, int]]] = defaultdict(list)
        for cell, dims in zip(cells, loops, strict=True):
            for dim, loop in enumerate(dims):
                if loop >= 0 and dim < len(cell.sizes):
                    places[loop].append((cell, dim))
        several = tuple(tuple(found) for found in places.values() if len(found) > 1)
        if several:
            self.ties.append(Tie(several, plain))

    def same(self, one: Cells, other: Cells) -> None:
        """Tie two trees of arrays that are the same."""
        for a, b in zip(flat_cells(one), flat_cells(other), strict=False):
            if a is not b and a.sizes == b.sizes and not (a.manual or b.manual):
                dims = range(len(a.sizes))
                self._tie((a, b), (dims, dims), plain=True)

    def _parameter(self, each: Instruction) -> Cells:
        return self._typed(each.type, iter(self.layouts.get(annotation_of(each), ())))

    def _typed(self, kind: Type, said: Iterator[Layout]) -> Cells:
        """Cells of a type, as they are annotated in order."""
        if isinstance(kind, Shape):
            return fresh(kind.dims, next(said, None))
        return tuple(self._typed(part, said) for part in kind)

    def _want(self, entry: Computation) -> None:
        """How the results of the entry are wanted, where it says that."""
        made = self.entry.find(entry.root)
        said = [self.layouts.get(text, [None])[:1] or [None] for text in entry.results]
        found = list(flat_cells(made))
        if any(each[0] for each in said) and len(said) == len(found):
            cells = tuple(fresh(cell.sizes, layout[0]) for cell, layout in zip(found, said, strict=True))
            self.entry.wanted = cells if isinstance(made, tuple) else cells[0]
            self.same(made, self.entry.wanted)

    def _scope(self, computation: Computation, inputs: Sequence[Cells], outer: Scope | None) -> Scope:
        scope = Scope(outer=outer if computation.captures else None)
        for each in computation.instructions:
            if each.opcode == "parameter":
                at = int(each.literal) if each.literal.isdigit() else 0
                scope.cells[each.name] = inputs[at]
                continue
            # what is constant lies for each of its readers as that one likes, and ties none of them to the others
            given = [like(scope.find(name)) if scope.is_constant(name) else scope.find(name) for name in each.operands]
            if each.opcode in _STRUCTURE:
                scope.given[each.name] = given
            elif each.opcode in _CONSTANT and all(scope.is_constant(name) for name in each.operands):
                scope.constants.add(each.name)
            made = self._made(scope, each, given)
            said = self.layouts.get(annotation_of(each)) if each.opcode not in _SAYS_ITSELF else None
            if said and not any(cell.manual for cell in flat_cells(made)):
                made = self._annotated(scope, each, made, said)
            scope.cells[each.name] = made
        return scope

    def _annotated(self, scope: Scope, each: Instruction, made: Cells, said: Sequence[Layout]) -> Cells:
        """What an instruction makes, cut as it says: its own array is, what it takes from others is moved."""
        rest = iter(said)
        cells = list(flat_cells(made))
        if each.name in scope.loops:
            for cell, layout in zip(cells, rest, strict=False):
                asked = fresh(cell.sizes, layout)
                cell.cuts[:], cell.open[:], cell.manual = asked.cuts, asked.open, asked.manual
            return made
        asked_for = shaped(made, [fresh(cell.sizes, next(rest, None)) for cell in cells])
        scope.taken[each.name] = made
        self.same(made, asked_for)
        return asked_for

    def _made(self, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
        if each.opcode in _STRUCTURE:
            return _STRUCTURE[each.opcode](self, scope, each, given)
        target = each.attributes.get("custom_call_target", "").strip('"')
        if target in TO_LOCAL:
            return self._to_local(scope, each, given)
        if target in TO_GLOBAL or target in SAID or each.opcode == "sharding-constraint":
            asked = self._typed(each.type, iter(self.layouts.get(annotation_of(each), ())))
            left_open = numbers(each.attributes.get("backend_config", "").partition("unspecified_dims=")[2])
            for cell, dim in ((cell, dim) for cell in flat_cells(asked) for dim in left_open if dim < len(cell.open)):
                cell.open[dim] = True
            if target in SAID and any(cell.manual for cell in flat_cells(given[0])):
                return given[0]
            if target in TO_GLOBAL:
                self.doorways(each, asked, tuple(given))
            else:
                self.same(given[0], asked)
            return asked
        if any(cell.manual for tree in given for cell in flat_cells(tree)):
            return shaped(each.type, [fresh(shape.dims, manual=True) for shape in leaves(each.type)])
        return self._computed(scope, each, given)

    def _computed(self, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
        """What an instruction works out: its arrays are tied by its loops."""
        made = shaped(each.type, [fresh(shape.dims) for shape in leaves(each.type)])
        inputs = [cell for tree in given for cell in flat_cells(tree)]
        results = list(flat_cells(made))
        if not results:
            return made
        loops = loops_of(each, [Shape(None, cell.sizes) for cell in inputs], Shape(None, results[0].sizes))
        if len(loops.given) < len(inputs):
            more = tuple((-1,) * len(cell.sizes) for cell in inputs[len(loops.given) :])
            loops = Loops((*loops.given, *more), loops.made, loops.summed, loops.plain)
        scope.loops[each.name] = loops
        alike = [cell for cell in results if len(cell.sizes) == len(loops.made)]
        self._tie((*inputs, *alike), (*loops.given, *(loops.made for _ in alike)), loops.plain)
        return made

    def _to_local(self, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
        """Arrays in the shapes of one chip; where an annotation says how they are cut, they are so before."""
        said = iter(self.layouts.get(annotation_of(each), ()))
        asked = []
        for cell in flat_cells(tuple(given)):
            layout = next(said, None)
            asked.append(cell if layout is None or layout.manual else fresh(cell.sizes, layout))
            self.same(cell, asked[-1])
        scope.given[each.name] = asked
        is_whole = self.manual_digits(each)[1]
        within = shaped(each.type, [fresh(shape.dims, manual=is_whole) for shape in leaves(each.type)])
        self.doorways(each, tuple(asked), within)
        return within

    def doorways(self, each: Instruction, outside: Cells, inside: Cells) -> None:
        """Tie arrays on both sides of a shard_map over some axes; over all of them they have nothing in common."""
        manual, is_whole = self.manual_digits(each)
        if not is_whole:
            pairs = zip(flat_cells(outside), flat_cells(inside), strict=False)
            self.ties += [Doorway(one, other, manual) for one, other in pairs]

    def manual_digits(self, each: Instruction) -> tuple[Pieces, bool]:
        """The digits of the axes that a shard_map is over, and whether these are all that there are."""
        text = plain(annotation_of(each))
        axes = re.findall(r'"([^"]*)"', text.rpartition("manual_axes")[2].partition("}")[0])
        named = re.search(r"<@([\w.\-]+)", text)
        mesh = self.module.meshes.get(named[1] if named else "", {})
        if all(axis in axes for axis, size in mesh.items() if size > 1):
            return (), True
        said = ", ".join(f'"{axis}"' for axis in axes)
        whole = layouts_in(f"<@{named[1] if named else ''}, [{{{said}}}]>", self.module.meshes)[0]
        return split_at(whole, self.digits).cuts[0], False

    def enter(self, scope: Scope, each: Instruction, name: str, inputs: Sequence[Cells]) -> Scope | None:
        """The scope of a computation that an instruction calls."""
        called = self.module.computations.get(name)
        if called is None:
            return None
        inner = self._scope(called, inputs, scope)
        scope.inner[each.name, called.name] = inner
        return inner


def _tuple(_all: Spreading, _scope: Scope, _each: Instruction, given: list[Cells]) -> Cells:
    return tuple(given)


def _barrier(_all: Spreading, _scope: Scope, _each: Instruction, given: list[Cells]) -> Cells:
    return given[0] if len(given) == 1 else tuple(given)


def _element(_all: Spreading, _scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
    at = int(each.attributes.get("index", "0"))
    if isinstance(given[0], Cell) and not at:
        return given[0]
    return given[0][at]


def _call(every: Spreading, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
    name = called_by(each)
    inner = every.enter(scope, each, name, given)
    if inner is None:
        raise ValueError(f"{each.name} calls no computation of this module")
    return inner.find(every.module.computations[name].root)


def _while(every: Spreading, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
    """What a loop carries is cut alike before it, in every turn, and behind it."""
    carried = like(given[0])
    every.same(given[0], carried)
    scope.given[each.name] = [carried]
    name = called_by(each, "body")
    inner = every.enter(scope, each, name, [carried])
    if inner is not None:
        every.same(inner.find(every.module.computations[name].root), carried)
        inner.wanted = carried
    return carried


def _conditional(every: Spreading, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
    made: Cells = None
    for at, name in enumerate(branches_of(each)):
        called = every.module.computations.get(name)
        inputs = [given[min(at + 1, len(given) - 1)]] if called is not None and called.parameters else []
        inner = every.enter(scope, each, name, inputs)
        if inner is None or called is None:
            continue
        result = inner.find(called.root)
        made = like(result) if made is None else made
        every.same(result, made)
        inner.wanted = made
    if made is None:
        raise ValueError(f"{each.name} has no branches in this module")
    return made


def _manual(every: Spreading, scope: Scope, each: Instruction, given: list[Cells]) -> Cells:
    """The body of a shard_map: what goes in and comes out is cut as it says, between them are the shapes of one chip."""
    said = every.layouts.get(annotation_of(each), [])
    inputs = list(flat_cells(tuple(given)))
    asked = [fresh(cell.sizes, layout) for cell, layout in zip(inputs, said, strict=False)]
    every.same(tuple(inputs), tuple(asked))
    scope.given[each.name] = list(asked)
    body = every.module.computations[each.attributes["body"]]
    made = every._typed(each.type, iter(said[len(inputs) :]))
    is_whole = every.manual_digits(each)[1]
    within = [fresh(leaves(one.type)[0].dims, manual=is_whole) for one in body.parameters]
    inner = every.enter(scope, each, body.name, within)
    every.doorways(each, tuple(asked), tuple(within))
    if inner is not None:
        every.doorways(each, made, inner.find(body.root))
    return made


_STRUCTURE: dict[str, Any] = {
    "tuple": _tuple,
    "opt-barrier": _barrier,
    "optimization-barrier": _barrier,
    "return": _tuple,
    "get-tuple-element": _element,
    "call": _call,
    "async-start": _call,
    "while": _while,
    "conditional": _conditional,
    "manual": _manual,
}
