"""Kernels of a graph's ops as columns, and what they are called.

Ops are bound once for all that are alike (`simulator.passes.stamping.making`), and what their kernels read and make is
worked out over columns (`simulator.passes.stamping.columns`). A kernel as an object is made when somebody asks for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from hw.rows import equal_lines
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op, Tensor
from simulator.ops.kernel import Kernel
from simulator.ops.views import seen_through
from simulator.passes.kernels import Called, Kernels, Standing, called, called_once
from simulator.passes.stamping.columns import Stamped, fill
from simulator.passes.stamping.making import Failed, Groups
from simulator.passes.stamping.stamp import OUT, Stamp, renamed, stamp_of
from simulator.passes.stamping.views import Beside, Views, places_of


class Stamps:
    """The kernels of ops, bound with `bind`, as columns; `failed` is told of each op that cannot be bound. `nbytes`: of a
    tensor on a chip."""

    def __init__(
        self,
        flat: FlatOps,
        bind: Callable[[Op], list[Kernel]],
        failed: Failed,
        nbytes: Callable[[Tensor], float],
    ) -> None:
        self._flat = flat
        self._nbytes, self._known_bytes = nbytes, dict[Hashable, float]()
        self.kernels = Kernels(self)
        groups = Groups(flat, bind, failed)
        rests = [each.rests for each in groups.bound]
        count = np.asarray([len(each) for each in rests], dtype=np.int64)[groups.of]
        # by op, the first value that it made beside its output
        first = len(flat) + np.cumsum(count) - count
        self._made_up = Beside(rests, groups.of.copy(), first)
        self._views = Views(flat, self._made_up)
        groups.part(self._views)
        self._stamps: list[Stamp] = []
        self._alone: dict[int, Kernel] = {}
        reads = np.asarray([len(each.beside) for each in groups.bound], dtype=np.int64)[groups.of]
        self._beside_first = np.concatenate([[0], np.cumsum(reads)])
        self._beside = self._read_beside(groups)
        self._stamp_out(groups, first)

    def _read_beside(self, groups: Groups) -> Any:
        """By op, the values that its kernels read and that were made beside its inputs."""
        found = np.zeros(self._beside_first[-1], dtype=np.int64)
        since, reads = (np.asarray(column, dtype=np.int64) for column in (self._flat.first, self._flat.reads))
        places = places_of(groups.of, len(groups.bound))
        for group, bound in enumerate(groups.bound):
            at = places(group)
            for number, shown in enumerate(bound.beside.values() if len(at) else ()):
                found[self._beside_first[at] + number] = self._made_up.shown(reads, since[at], shown)
        return found

    def _stamp_out(self, groups: Groups, made_first: Any) -> None:
        """Fill in the kernels. `made_first`: by op, the first value that it made beside its output."""
        since, count = np.zeros((2, len(groups.bound)), dtype=np.int64)
        alone: dict[int, list[Kernel]] = {}
        for group, bound in enumerate(groups.bound):
            if groups.of[bound.at] != group or not bound.kernels:
                continue
            values = self._flat.values_of(bound.at)
            behind, sizes = self._names_behind(values), self._sizes_behind(values)
            if not bound.usual:
                alone[bound.at] = []
            since[group], count[group] = len(self._stamps), len(bound.kernels)
            inputs = [*(tensor.name for tensor in bound.op.inputs), *bound.beside]
            called = inputs, bound.op.name, bound.made_up
            for kernel in bound.kernels:
                seen = seen_through(kernel, behind, sizes)
                self._stamps.append(stamp_of(kernel, self.kernels.template(seen), called))
                if not bound.usual:
                    alone[bound.at].append(seen)
        each = count[groups.of]
        op = np.repeat(np.arange(len(each)), each)
        stamp = np.arange(len(op)) + np.repeat(since[groups.of] - np.cumsum(each) + each, each)
        # by kernel: its op, and its stamp
        self._op, self._stamp = (array("i", each.astype("i").tobytes()) for each in (op, stamp))
        stamped = Stamped(op, stamp, made_first, self._beside, self._beside_first)
        fill(self.kernels, self._flat, self._stamps, stamped, self._views)
        starts = np.cumsum(each) - each
        self.kernels.add_waits(*self._waits(starts, each))
        for at, kernels in alone.items():
            self._alone.update(enumerate(kernels, start=int(starts[at])))

    def _waits(self, starts: Any, count: Any) -> tuple[Any, Any]:
        """The kernels that are to come after others, and after which values: all kernels of an op, and what lies behind
        views. `starts` and `count`: of the kernels of each op."""
        op, awaited = (np.asarray(each, dtype=np.int64) for each in (self._flat.waiting, self._flat.awaited))
        behind = [self._views.behind(value) for value in awaited.tolist()]
        of = np.repeat(op, [len(each) for each in behind])
        values = np.asarray(list(chain.from_iterable(behind)), dtype=np.int64)
        line = np.repeat(np.arange(len(of)), count[of])
        kernel = starts[of[line]] + np.arange(len(line)) - np.searchsorted(line, line)
        order = np.argsort(kernel, kind="stable")
        return kernel[order], values[line[order]]

    def _behind(self, view: int) -> tuple[str, ...]:
        """The names of what lies behind a view."""
        return tuple(map(self.value_name, self._views.behind(view)))

    def _names_behind(self, values: Iterable[int]) -> dict[str, tuple[str, ...]]:
        """The same of the views among some values, by name."""
        return {self._flat.name(each): self._behind(each) for each in values if self._views.behind(each) != (each,)}

    def _sizes_behind(self, values: Iterable[int]) -> dict[str, float]:
        """Bytes of what the first of those names are, by name."""
        first = [self._views.behind(each)[0] for each in values if self._views.behind(each) != (each,)]
        return {self.value_name(each): self._size(each) for each in first if each < len(self._flat)}

    def _size(self, value: int) -> float:
        """Bytes of what an op makes, or of what is given."""
        flat = self._flat
        tensor = flat.sites[flat.site[value]].output if value >= 0 else flat.tensors[flat.given[-1 - value]]
        alike = tensor.dtype, tensor.dims
        if alike not in self._known_bytes:
            self._known_bytes[alike] = self._nbytes(tensor)
        return self._known_bytes[alike]

    def standing(self, written: Sequence[str]) -> Standing | None:
        """Where the kernels stand whose first op is written with one of some names; None where one of them does not begin
        with its op."""
        flat, names = self._flat, {name: number for number, name in enumerate(written)}
        of_site = np.asarray([names.get(site.output.name, -1) for site in flat.sites], dtype=np.int64)
        op, stamp, site, copy, turn = (
            np.asarray(column, dtype=np.int64) for column in (self._op, self._stamp, flat.site, flat.copy, flat.turn)
        )
        name = of_site[site[op]]
        odd = np.asarray([not _is_plain(each) for each in self._stamps], dtype=bool)
        if odd[stamp[name >= 0]].any():
            return None
        copies = {ending: number for number, ending in enumerate(flat.endings)}
        return Standing(names, copies, name, copy[op], turn[op])

    def _values(self, at: int) -> list[int]:
        """The values that an op reads, and those that were made beside them."""
        first, last = self._beside_first[at : at + 2].tolist()
        return [*self._flat.values_of(at), *self._beside[first:last].tolist()]

    def value_name(self, value: int) -> str:
        """The name of a value."""
        count = len(self._flat)
        if value < count:
            return self._flat.name(value)
        op, rest = self._made_up.by_value(value)
        return self._flat.name(op) + rest

    def bases(self) -> Called:
        """The names of all kernels without the numbers of rounds: what their op is called as written, with what it made
        up behind that."""
        op, stamp = (np.asarray(column, dtype=np.int64) for column in (self._op, self._stamp))
        site = np.asarray(self._flat.site, dtype=np.int64)[op]
        written = called(each.output.base for each in self._flat.sites)
        rests = called(map(_rest, self._stamps))
        pair = written.of[site], rests.of[stamp]
        of, first = equal_lines(*pair)
        names = [
            written.names[each] + rests.names[rest]
            for each, rest in zip(*(column[first] for column in pair), strict=True)
        ]
        # of others, the first one of a sort has the name for all
        odd = np.asarray([not _is_plain(each) for each in self._stamps], dtype=bool)
        others = np.flatnonzero(odd[stamp])
        sort, first = equal_lines(site[others], stamp[others])
        of[others] = len(names) + sort
        for number in others[first].tolist():
            own, written_as, _ = self.op(number)
            names.append(written_as + self.kernel_name(number).removeprefix(own))
        return called_once(names, of)

    def kernel_name(self, number: int) -> str:
        """The name of a kernel."""
        if number in self._alone:
            return self._alone[number].name
        stamp, flat, at = self._stamps[self._stamp[number]], self._flat, self._op[number]
        place = stamp.places[stamp.kernel.name]
        if place >= 0:
            return self.value_name(self._values(at)[place])
        return flat.name(at) + (stamp.rests[-2 - place] if place != OUT else "")

    def op(self, number: int) -> tuple[str, str, tuple[int, ...]]:
        """The first op of a kernel: its name, the one with which it is written, and the numbers of its rounds."""
        if number in self._alone:
            kernel = self._alone[number]
            return kernel.ops[0], kernel.base_ops[0], kernel.turn
        flat, at = self._flat, self._op[number]
        own = self.value_name(self._first_op(number))
        return own, flat.written(at).base if flat.is_renamed(at) else own, flat.turns[flat.turn[at]]

    def _first_op(self, number: int) -> int:
        """The value of the first op of a kernel: it stands behind what the kernel writes."""
        written = len(self._stamps[self._stamp[number]].kernel.writes)
        return self.kernels.makes[self.kernels.made_at[number] + written]

    def kernel(self, number: int) -> Kernel:
        """A kernel as an object, under its own names."""
        after = tuple(map(self.value_name, self.kernels.awaited_by(number)))
        kernel = self._alone[number] if number in self._alone else self._stamped(number)
        return replace(kernel, schedule=replace(kernel.schedule, after=after)) if after else kernel

    def _stamped(self, number: int) -> Kernel:
        """A kernel under the names of its op; nothing of what it is to come after."""
        flat, at, stamp = self._flat, self._op[number], self._stamps[self._stamp[number]]
        values, own = self._values(at), flat.name(at)
        named = {
            name: self.value_name(values[place])
            if place >= 0
            else own + (stamp.rests[-2 - place] if place != OUT else "")
            for name, place in stamp.places.items()
        }
        path = flat.turns[flat.turn[at]]
        written = (flat.written(at).base,) if flat.is_renamed(at) else ()
        mine = renamed(stamp.kernel, named, written, path)
        return seen_through(mine, self._names_behind(values), self._sizes_behind(values))

    def may_be(self, begins: Collection[str], written: Collection[str]) -> Sequence[int]:
        """The kernels whose first op may have one of some names without its rounds, or is written as one of others."""
        outputs = (site.output for site in self._flat.sites)
        sites = np.asarray([each.name in begins or each.base in written for each in outputs], dtype=bool)
        odd = np.asarray([not _is_plain(each) for each in self._stamps], dtype=bool)
        op, stamp = (np.asarray(column, dtype=np.int64) for column in (self._op, self._stamp))
        site = np.asarray(self._flat.site, dtype=np.int64)[op]
        found: list[int] = np.flatnonzero(sites[site] | odd[stamp]).tolist()
        return found


def _is_plain(stamp: Stamp) -> bool:
    """Whether a kernel has the name of its op, or one that begins with it, and carries out that op first."""
    return stamp.places[stamp.kernel.name] < 0 and stamp.makes[len(stamp.kernel.writes)] == OUT


def _rest(stamp: Stamp) -> str:
    """What follows the name of the op in that of a kernel."""
    place = stamp.places[stamp.kernel.name]
    return stamp.rests[-2 - place] if place < OUT else ""
