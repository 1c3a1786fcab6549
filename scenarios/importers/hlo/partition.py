"""An instruction of an annotated module as one chip runs it: with its part of each loop, and what is sent before and after.

Model: each digit of a chip's number cuts one loop of an instruction, or none: the one along which the result is wanted; else
a summed one that all operands with that loop agree on (sums are then added up, or scattered where the result is wanted cut
by it); else one of the operands'. Operands are moved to that first, and the result is moved from that to how it lies. A chip
takes its part of what it has whole; digits that move from one dim to another are an exchange; all others are gathered.
Source: GSPMD (Xu and others, 2021), section 4; "How to Scale Your Model", the four cases of a sharded matmul.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from scenarios.importers.exchanges import in_size, letters_of, over_groups
from scenarios.importers.hlo.lowering import Lowering, Tree
from scenarios.importers.hlo.module import Instruction, Shape, Type
from scenarios.importers.hlo.replica_groups import Piece, groups_along
from scenarios.importers.hlo.sharding.annotations import SAID
from scenarios.importers.hlo.sharding.cells import Cell, Cells, Scope, flat_cells, fresh, parts_of
from scenarios.importers.hlo.sharding.layouts import Pieces
from scenarios.importers.hlo.sharding.loops import Loops
from scenarios.importers.hlo.sharding.spreading import Spreading
from scenarios.importers.op_lines import Value


class Partition:
    """A module's shardings while it is lowered. `scopes`: where the lowering is, from the entry on; None within what no
    sharding reaches. `axes`: the groups of chips along each digit that cuts anything."""

    def __init__(self, spreading: Spreading, world: int) -> None:
        self.world = world
        self.axes = [groups_along([(low, high // low)], range(world)) for low, high in pairwise(spreading.digits)]
        self.entry = spreading.entry
        self.scopes: list[Scope | None] = [self.entry]
        self.known: dict[int, dict[tuple[Any, ...], Value]] = {}

    def shown(self, run: Lowering) -> list[str]:
        """Each argument of the entry that is cut, with the axes that cut its dims."""
        entry = run.module.computations[run.module.entry]
        found = []
        for each in entry.parameters:
            cell = self.entry.find(each.name)
            if isinstance(cell, Cell) and any(cell.cuts):
                dims = [f"{size}{self._letters(run, cuts)}" for size, cuts in zip(cell.sizes, cell.cuts, strict=True)]
                found.append(f"{each.name}[{','.join(dims)}]")
        return found

    def _letters(self, run: Lowering, cuts: Pieces) -> str:
        groups = [groups_along([piece], range(self.world)) for piece in cuts]
        return "_" + "".join(f"<{letters_of(run, each)}>" for each in groups) if groups else ""

    def enter(self, each: Instruction, computation: str) -> None:
        """Go into what an instruction calls."""
        scope = self.scopes[-1]
        self.scopes.append(scope.inner.get((each.name, computation)) if scope is not None else None)
        self.known.pop(len(self.scopes), None)

    def type_of(self, name: str, kind: Type) -> Type:
        """The type of what one chip has of an array."""
        scope = self.scopes[-1]
        return kind if scope is None else _local(kind, scope.find(name))

    def before(self, run: Lowering, each: Instruction, given: list[Tree]) -> tuple[Instruction, list[Tree]]:
        """An instruction in the shapes of one chip, and its operands as it takes them."""
        scope = self.scopes[-1]
        if scope is None:
            return each, given
        cells = [scope.find(name) for name in each.operands]
        made = scope.find(each.name)
        loops = scope.loops.get(each.name)
        if loops is not None:
            chosen = _chosen(loops, cells, _first(made))
            inputs = iter(loops.given)
            taken: list[Cells] = [_map(tree, lambda cell: _along(cell, next(inputs, ()), chosen)) for tree in cells]
            computed = _map(made, lambda cell: _along(cell, _made_dims(loops, cell), chosen))
            each = replace(each, type=_local(each.type, computed))
        elif each.name in scope.given:
            taken = scope.given[each.name]
        else:
            return each, given
        run.given_types = [_local(kind, cell) for kind, cell in zip(run.given_types, taken, strict=False)]
        return each, [self._to(run, *each_) for each_ in zip(given, cells, taken, strict=False)]

    def after(self, run: Lowering, each: Instruction, made: Tree) -> Tree:
        """What an instruction made, as its array lies: sums added up, parts put together."""
        scope = self.scopes[-1]
        if scope is None:
            return made
        loops, wanted = scope.loops.get(each.name), scope.find(each.name)
        if each.name in scope.taken:
            return self._to(run, made, scope.taken[each.name], wanted)
        cells = [scope.find(name) for name in each.operands]
        if loops is None:
            target = each.attributes.get("custom_call_target", "")
            only_says = each.opcode == "sharding-constraint" or target.strip('"') in SAID
            return self._to(run, made, cells[0], wanted) if only_says else made
        chosen = _chosen(loops, cells, _first(wanted))
        sums = tuple(piece for piece, loop in chosen.items() if loop in loops.summed)
        computed = _map(wanted, lambda cell: _along(cell, _made_dims(loops, cell), chosen))
        return self._to(run, made, computed, wanted, sums)

    def result(self, run: Lowering, name: str, made: Tree) -> Tree:
        """The result of a computation, as whoever called it wants it."""
        scope = self.scopes[-1]
        if scope is None or scope.wanted is None:
            return made
        return self._to(run, made, scope.find(name), scope.wanted)

    def _to(self, run: Lowering, made: Tree, here: Cells, wanted: Cells, sums: Pieces = ()) -> Tree:
        if isinstance(made, tuple) and isinstance(here, tuple):
            parts = zip(made, here, wanted, strict=False)
            return tuple(self._to(run, part, cell, want, sums) for part, cell, want in parts)
        if isinstance(made, Value) and isinstance(here, Cell) and isinstance(wanted, Cell):
            return self.moved(run, made, here, wanted, sums)
        return made

    def moved(self, run: Lowering, value: Value, here: Cell, wanted: Cell, sums: Pieces = ()) -> Value:
        """An array that lies one way in another; who wants it in the same way a second time has what the first got."""
        if here.manual or wanted.manual or (here.cuts == wanted.cuts and not sums):
            return value
        known = self.known.setdefault(len(self.scopes), {})
        # a square that is turned goes by its old name, so that the name alone does not say which way it lies
        key = value.name, wanted.sizes, tuple(here.cuts), tuple(wanted.cuts)
        if key not in known:
            known[key] = self._moved(run, value, here, wanted, sums)
        return known[key]

    def _moved(self, run: Lowering, value: Value, here: Cell, wanted: Cell, sums: Pieces) -> Value:
        """What it has whole is cut, sums are added up, digits exchanged, the rest gathered."""
        is_written = value.elements >= math.prod(here.local)
        there = [size > 1 or local == 1 for size, local in zip(value.dims, here.local, strict=False)]
        if not is_written and len(value.dims) == len(here.sizes) and not all(there):
            # broadcast, and not written yet: what was there before lies in its own dims
            return self._moved(run, value, _only(here, there), _only(wanted, there), sums)
        cuts = [list(pieces) for pieces in here.cuts]
        left = list(sums)
        for dim, pieces in enumerate(wanted.cuts):
            scattered = [piece for piece in pieces if piece in left]
            if scattered and is_written and not value.elements % parts_of(tuple(scattered)):
                cuts[dim] += scattered
                value = self._sent(run, "reduce_scatter", value, _sized(here, cuts), scattered)
                left = [piece for piece in left if piece not in scattered]
        if left:
            value = self._sent(run, "all_reduce", value, value.dims, left)
        for dim, pieces in enumerate(wanted.cuts):
            whole = [piece for piece in pieces if not any(piece in each for each in cuts)]
            # behind digits that go, a part would be another one: such a dim is gathered before it is cut
            if whole and is_written and all(piece in pieces for piece in cuts[dim]):
                cuts[dim] += whole
                value = in_size(run, value, _sized(here, cuts))
        if not is_written:
            return value  # it was broadcast: each chip has all that it reads
        value = self._exchanged(run, value, here, cuts, wanted)
        gathered = [piece for dim, pieces in enumerate(cuts) for piece in pieces if piece not in wanted.cuts[dim]]
        if gathered:
            kept = [[piece for piece in pieces if piece not in gathered] for pieces in cuts]
            value = self._sent(run, "all_gather", value, _sized(here, kept), gathered)
        return in_size(run, value, wanted.local)

    def _exchanged(self, run: Lowering, value: Value, here: Cell, cuts: list[list[Piece]], wanted: Cell) -> Value:
        for dim, pieces in enumerate(wanted.cuts):
            for source, others in enumerate(cuts):
                turned = [piece for piece in others if piece in pieces] if source != dim else []
                if turned:
                    cuts[source] = [piece for piece in others if piece not in turned]
                    if value.elements % parts_of(tuple(turned)):  # what cannot be shared evenly is gathered and cut
                        value = self._sent(run, "all_gather", value, _sized(here, cuts), turned)
                        cuts[dim] += turned
                        value = in_size(run, value, _sized(here, cuts))
                        continue
                    cuts[dim] += turned
                    value = self._sent(run, "all_to_all", value, _sized(here, cuts), turned)
        return value

    def _sent(self, run: Lowering, kind: str, value: Value, out: Sequence[int], pieces: Iterable[Piece]) -> Value:
        groups = groups_along(sorted(pieces, reverse=True), range(self.world))
        label = f"{value.name}_{_LABELS[kind]}"
        return over_groups(run, (kind, label), value, out, groups)


_LABELS = {"all_reduce": "summed", "reduce_scatter": "scattered", "all_to_all": "turned", "all_gather": "whole"}


def _only(cell: Cell, there: Sequence[bool]) -> Cell:
    """An array of which some dims are not there yet."""
    made = fresh([size if is_there else 1 for size, is_there in zip(cell.sizes, there, strict=True)])
    made.cuts[:] = [cuts if is_there else () for cuts, is_there in zip(cell.cuts, there, strict=True)]
    return made


def _sized(cell: Cell, cuts: Sequence[Sequence[Piece]]) -> tuple[int, ...]:
    """What a chip has of an array that is cut in a way."""
    return tuple(-(-size // parts_of(tuple(pieces))) for size, pieces in zip(cell.sizes, cuts, strict=True))


def _first(tree: Cells) -> Cell | None:
    return tree if isinstance(tree, Cell) else next((_first(part) for part in tree), None)


def _map(tree: Cells, make: Any) -> Cells:
    return make(tree) if isinstance(tree, Cell) else tuple(_map(part, make) for part in tree)


def _local(kind: Type, cells: Cells) -> Type:
    """A type in the sizes of one chip."""
    if isinstance(kind, Shape):
        return Shape(kind.dtype, cells.local) if isinstance(cells, Cell) and kind.dtype else kind
    if not isinstance(cells, tuple):
        return kind
    return tuple(_local(part, cell) for part, cell in zip(kind, cells, strict=False))


def _made_dims(loops: Loops, cell: Cell) -> Sequence[int]:
    return loops.made if len(loops.made) == len(cell.sizes) else (-1,) * len(cell.sizes)


def _along(cell: Cell, dims: Sequence[int], chosen: dict[Piece, int]) -> Cell:
    """How an array lies for an instruction whose loops are cut so."""
    if cell.manual:
        return cell
    made = fresh(cell.sizes)
    for at, loop in enumerate(dims):
        made.cuts[at] = tuple(piece for piece, cut in chosen.items() if cut == loop)
    return made


def _chosen(loops: Loops, cells: Sequence[Cells], made: Cell | None) -> dict[Piece, int]:
    """The loop that each digit cuts, the digits of one loop in their order."""
    used: dict[Piece, dict[int, int]] = {}
    owners: dict[int, set[int]] = {}
    arrays = [cell for tree in cells for cell in flat_cells(tree)]
    for at, (cell, dims) in enumerate(zip(arrays, loops.given, strict=False)):
        for dim, loop in enumerate(dims):
            owners.setdefault(loop, set()).add(at)
            for piece in cell.cuts[dim] if loop >= 0 else ():
                used.setdefault(piece, {})[at] = loop
    wanted = {}
    if made is not None and len(made.sizes) == len(loops.made):
        wanted = {piece: loop for cuts, loop in zip(made.cuts, loops.made, strict=True) for piece in cuts if loop >= 0}
    chosen: dict[Piece, int] = {}
    for piece in [*wanted, *(piece for piece in used if piece not in wanted)]:
        free = {at: loop for at, loop in used.get(piece, {}).items() if loop not in wanted.values()}
        found = _loop_for(loops, used.get(piece, {}) if piece in wanted else free, wanted.get(piece), owners)
        if found is not None and _divides(found, (*chosen_on(chosen, found), piece), loops, (*arrays, made)):
            chosen[piece] = found
    return chosen


def chosen_on(chosen: dict[Piece, int], loop: int) -> Pieces:
    """The digits that cut a loop."""
    return tuple(piece for piece, cut in chosen.items() if cut == loop)


def _divides(loop: int, pieces: Pieces, loops: Loops, arrays: Sequence[Cell | None]) -> bool:
    """Whether a loop can be cut so: where dims of several sizes are one loop, as in a reshape, each must divide."""
    sizes = {
        size
        for cell, dims in zip(arrays, (*loops.given[: len(arrays) - 1], loops.made), strict=False)
        if cell is not None and len(cell.sizes) == len(dims)
        for size, at in zip(cell.sizes, dims, strict=True)
        if at == loop
    }
    return len(sizes) < 2 or not any(size % parts_of(pieces) for size in sizes)


def _loop_for(loops: Loops, used: dict[int, int], wanted: int | None, owners: dict[int, set[int]]) -> int | None:
    """The loop that one digit cuts, by how operands have it (`used`) and how the result wants it."""
    alike = [
        loop
        for loop in dict.fromkeys(used.values())
        if loop in loops.summed and all(used.get(at, loop) == loop for at in owners[loop])
    ]
    whole = [loop for loop in alike if all(at in used for at in owners[loop])]
    if wanted is not None and not (whole and set(used.values()) == set(whole)):
        return wanted
    free = [loop for loop in used.values() if loop not in loops.summed]
    return next(iter((*alike, *free)), None)
