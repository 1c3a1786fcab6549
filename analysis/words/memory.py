"""HBM over time: which tensors are alive, and the most that they take.

Model: inputs of the graph (weights, activations given) are there for the whole run, on the chips that read them; what an op
makes is there from its begin to the end of the last op that reads it, or to the end of the run if nothing reads it. What a
fused kernel keeps on chip is never there. Tensors in other memories do not count. What an op writes into the memory of one
of its inputs (a grown cache, a buffer that is reduced where it is) counts with what was added, and that input stays as long
as it does. A cache stays to the end of the run.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analysis.words.columns.lives import LastReads, Spans, Writes, last_reads, let_go, writes_of
from hw.rows import array_of, by_rows, largest, repeated, stable_order
from simulator import PS_PER_S, Plan, Result, Tensor, tensor_bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """A tensor on a chip: bytes, from when to when, and whether it was there before the run."""

    tensor: str
    chip: int
    nbytes: float
    begin_s: float
    end_s: float
    given: bool


class _Sizes:
    """Bytes of values on simulated chips, worked out once for all of the same type."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._flat = plan.graph.unrolled
        self.types: list[Tensor] = []
        self._known: dict[Hashable, int] = {}
        self._of_site = np.asarray([self._type(site.output) for site in self._flat.sites], dtype=np.int64)
        of_given = [self._type(self._flat.tensors[each]) for each in self._flat.given]
        self._of_given = np.asarray(of_given, dtype=np.int64)
        self._bytes: dict[int, Any] = {}

    def _type(self, tensor: Tensor) -> int:
        key = tensor.dtype, tensor.dims, tensor.partial, tensor.memory
        if key not in self._known:
            self._known[key] = len(self.types)
            self.types.append(tensor)
        return self._known[key]

    def type_of(self, values: Any) -> Any:
        """The type of each value; -1 of what only kernels know."""
        site = np.asarray(self._flat.site, dtype=np.int64)
        found = np.full(len(values), -1)
        given, made = values < 0, (values >= 0) & (values < len(site))
        found[given] = self._of_given[-1 - values[given]]
        found[made] = self._of_site[site[values[made]]]
        return found

    def by_type(self, chip: int) -> tuple[Any, Any]:
        """Bytes of each type on a chip, at its number, and whether it has a part in it; none in type -1."""
        plan, variant = self._plan, self._plan.split.variant_of[chip]
        if variant not in self._bytes:
            cut = plan.split.cuts[variant]
            sizes = [tensor_bytes(each, plan.graph, plan.system, cut) for each in self.types]
            self._bytes[variant] = array_of([*sizes, 0.0], np.float64)
        here = np.ones(len(self.types) + 1, dtype=bool)
        here[-1] = False
        for number, chips in self._placed:
            here[number] = chip in chips
        return np.where(here, self._bytes[variant], 0.0), here

    @cached_property
    def _placed(self) -> list[tuple[int, Container[int]]]:
        """The types of which not every chip has a part, and the chips that have."""
        mesh = self._plan.system.mesh
        members = ((number, mesh.members(each.axes + each.partial)) for number, each in enumerate(self.types))
        return [(number, chips) for number, chips in members if chips is not None]

    def on(self, value: Any, chip: Any) -> tuple[Any, Any]:
        """What values take on chips, and whether that is known; 0 where it is not."""
        types = self.type_of(value)
        known = np.zeros(len(value), dtype=bool)
        found: Any = np.zeros(len(value))
        for each in np.flatnonzero(np.bincount(chip)).tolist():
            here = chip == each
            nbytes, has = self.by_type(each)
            found = found.astype(np.result_type(found, nbytes))
            found[here], known[here] = nbytes[types[here]], has[types[here]]
        return found, known

    def given(self) -> Any:
        """The values that the graph takes in, in the order in which they are first read."""
        read = np.asarray(self._flat.reads, dtype=np.int64)
        return np.asarray([*dict.fromkeys(read[read < 0].tolist())], dtype=np.int64)

    def in_memory(self, values: Any, memory: str) -> Any:
        """Those of some values that are held in a memory."""
        held = np.asarray([*(each.memory == memory for each in self.types), False], dtype=bool)
        return values[held[self.type_of(values)]]


@dataclass(frozen=True, slots=True)
class _Held:
    """Tensors on chips as columns: value, chip, bytes, begin and end (s)."""

    value: Any
    chip: Any
    nbytes: Any
    begin_s: Any
    end_s: Any

    @classmethod
    def joined(cls, parts: Sequence[_Held]) -> _Held:
        """Several, one after the other."""
        return cls(*(np.concatenate([getattr(each, name) for each in parts]) for name in cls.__slots__))


def holdings(result: Result) -> Iterator[Holding]:
    """Every tensor on every simulated chip, with its life span."""
    name = result.plan.kernels.kernels.names.value_name
    held = _held(result)
    columns = (getattr(held, each).tolist() for each in held.__slots__)
    for value, chip, nbytes, begin_s, end_s in zip(*columns, strict=True):
        yield Holding(name(value), chip, nbytes, begin_s, end_s, value < 0)


def _held(result: Result) -> _Held:
    sizes, spans = _Sizes(result.plan), Spans(result)
    writes = writes_of(result.plan.kernels.kernels)
    last = last_reads(result.plan, spans, writes)
    return _Held.joined([*_given(result, sizes, last), _made(result, sizes, spans, writes, last)])


def _given(result: Result, sizes: _Sizes, last: LastReads) -> Iterator[_Held]:
    """What is there before the run on the chips that read it, and stays."""
    values = sizes.in_memory(sizes.given(), "hbm")
    types = sizes.type_of(values)
    for chip in result.plan.simulated:
        nbytes, known = (column[types] for column in sizes.by_type(chip))
        here = known & (last.of(values, np.full(len(values), chip)) >= 0)
        begin = np.zeros(int(here.sum()))
        end = repeated(result.time_s, len(begin))
        yield _Held(values[here], np.full(len(begin), chip), nbytes[here], begin, end)


def _made(result: Result, sizes: _Sizes, spans: Spans, writes: Writes, last: LastReads) -> _Held:
    """What kernels make, from the begin of the kernel to the last end of those that read it."""
    rows, of = spans.rows(writes.kernel)
    value, chip = writes.value[of], spans.chip[rows]
    sized, known = sizes.on(value, chip)
    nbytes = np.where(known, sized, writes.nbytes[of])  # what it takes, not what was moved
    nbytes = np.maximum(0.0, nbytes - _lent(sizes, writes, of, chip)) if len(writes.grown) else nbytes
    held = writes.hbm[of] & (nbytes != 0).astype(bool)
    rows, value, chip = rows[held], value[held], chip[held]
    end = last.of(value, chip)
    end_s = np.where((end < 0).astype(bool), repeated(result.time_s, len(end)), end / PS_PER_S)
    return _Held(value, chip, nbytes[held], spans.begin[rows] / PS_PER_S, end_s)


def _lent(sizes: _Sizes, writes: Writes, of: Any, chip: Any) -> Any:
    """How much of the memory in which writes lie was there before, by place among the writes and chip."""
    count = np.bincount(writes.grown, minlength=len(writes.kernel))
    first = np.cumsum(count) - count
    place = np.repeat(np.arange(len(of)), count[of])
    number = np.arange(len(place)) - np.repeat(np.cumsum(count[of]) - count[of], count[of])
    into = writes.into[first[of[place]] + number]
    nbytes, _ = sizes.on(into, chip[place])
    lent = np.full(len(of), 0.0, dtype=nbytes.dtype)
    np.add.at(lent, place, nbytes)
    return lent


def near_bytes(plan: Plan) -> Mapping[str, float]:
    """The most bytes that are held at once in each memory on the chip, on the chip that holds most: what the graph takes in
    for the whole run, what an op makes until the last one in program order that reads it."""
    sizes = _Sizes(plan)
    near = {name for chip in plan.system.kinds for name in chip.near_memories}
    used = [*dict.fromkeys(each.memory for each in sizes.types if each.memory in near)]
    if not used:
        return {}
    lives = _Lives(plan)
    found: dict[str, float] = {}
    for memory in used:
        values = sizes.in_memory(np.concatenate([sizes.given(), np.arange(len(plan.graph.unrolled))]), memory)
        types, begin, end = sizes.type_of(values), lives.begin(values), lives.end(values)
        most = 0.0
        for chip in plan.simulated:
            nbytes = sizes.by_type(chip)[0][types]
            change = np.full(lives.steps + 1, 0.0, dtype=nbytes.dtype)
            np.add.at(change, begin, nbytes)
            np.add.at(change, end, -nbytes)
            most = largest([most, *np.cumsum(change).tolist()])
        found[memory] = most
    return found


class _Lives:
    """Between which steps of the program values are there: steps are kernels, and one behind the last."""

    def __init__(self, plan: Plan) -> None:
        kernels = plan.kernels.kernels
        self.steps = len(kernels)
        writes = writes_of(kernels)
        reads = np.asarray(kernels.reads, dtype=np.int64)
        read_at: Any = np.asarray(kernels.read_at, dtype=np.int64)
        reader = np.repeat(np.arange(self.steps), np.diff(read_at))
        self._lowest = int(min(reads.min(initial=0), 0))
        highest = int(max(reads.max(initial=0), writes.value.max(initial=0), len(plan.graph.unrolled)))
        # a value that no kernel makes, such as a view, is never there
        self._made = np.full(highest - self._lowest + 1, self.steps)
        np.minimum.at(self._made, writes.value - self._lowest, writes.kernel)
        self._read = np.full(len(self._made), -1)
        going = let_go(writes, reads)
        np.maximum.at(self._read, reads[going] - self._lowest, reader[going])

    def begin(self, values: Any) -> Any:
        """The step at which each value is made; the first one of what the graph takes in."""
        return np.where(values < 0, 0, self._made[values - self._lowest])

    def end(self, values: Any) -> Any:
        """The step behind the last that reads it; behind all others of what nobody reads, or the graph takes in."""
        read = self._read[values - self._lowest]
        return np.where((values < 0) | (read < 0), self.steps, read + 1)


def memory_peaks(result: Result) -> Mapping[int, float]:
    """The most HBM that each simulated chip holds at any time."""
    held = _held(result)
    chip = np.concatenate([held.chip, held.chip])
    at = np.concatenate([held.begin_s, held.end_s])
    change = np.concatenate([held.nbytes, -held.nbytes])
    order = stable_order(chip)
    starts = np.flatnonzero(np.diff(chip[order], prepend=-1))
    parts = np.split(order, starts[1:]) if len(starts) else ()
    return {int(chip[part[0]]): by_rows(_peak, change[part], at[part]) for part in parts}


def _peak(change: Any, at: Any) -> Any:
    """The most that adds up of changes, one after the other."""
    # what ends, a change below 0, makes room for what begins at the same instant
    order = np.lexsort((change, at))
    return np.maximum(0.0, np.cumsum(np.take_along_axis(change, order, -1), axis=-1).max(axis=-1))
