"""A graph of tensors as op lines, op by op: what importers of graphs write with.

Model: a tensor has a name, a format and sizes. Where an op wants its input in other dims (a matmul its batch, rows and
columns) a `view` says so, which costs nothing. What has no rule becomes a `custom` without numbers (see `imported`).
Tensors of no elements count as one element, and sums of the bytes that ops move are kept, each tensor once an op.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scenarios.importers.imported import ImportOptions, Unpriced
from scenarios.importers.names import Names
from simulator import DTYPE_BYTES

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor."""

    name: str
    dtype: str
    dims: Sizes

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.dims)

    @property
    def nbytes(self) -> float:
        """Its size."""
        return self.elements * DTYPE_BYTES[self.dtype]


_EXCHANGES = frozenset(["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "permute"])


class OpLines:
    """Lines in the making. `waits`: the collective for whose end the next kernel waits, whatever it reads."""

    def __init__(self, options: ImportOptions) -> None:
        self.by_bytes = options.unknown == "bytes"
        self.waits = ""
        self.lines: list[Any] = []
        self.nbytes = 0.0
        self.counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._names = Names()
        self._typed: set[str] = set()
        self._views: dict[tuple[str, Sizes, str], Value] = {}
        self._made: set[str] = set()
        self._used: set[str] = set()

    @property
    def unpriced(self) -> tuple[Unpriced, ...]:
        """What has no price."""
        return tuple(Unpriced(kind=kind, count=count, nbytes=self._bytes[kind]) for kind, count in self.counts.items())

    def source(self, label: str, dtype: str, dims: Sequence[int]) -> Value:
        """A tensor that no op makes; its line is that of its first reader."""
        return Value(self._names.fresh(label), dtype, tuple(max(1, size) for size in dims))

    def op(
        self, kind: str, inputs: Sequence[Value], label: str, like: tuple[str, Sequence[int]], *options: str
    ) -> Value:
        """The output of an op. `like`: its format and sizes."""
        held: tuple[str, ...] = ()
        if self.waits and kind not in _EXCHANGES:
            held, self.waits = (f"after=[{self.waits}]",), ""
        made = self._emit(kind, inputs, label, like, (*options, *held))
        self.nbytes += sum(each.nbytes for each in {one.name: one for one in inputs}.values()) + made.nbytes
        return made

    def part(self, value: Value, dims: Sequence[int], label: str) -> Value:
        """A part of a tensor under a name of its own: other parts of it are other bytes."""
        return self._emit("view", [value], label, (value.dtype, dims), ())

    def read_as(self, value: Value, label: str, like: tuple[str, Sequence[int]]) -> Value:
        """The same bytes in another format and other dims."""
        return self._emit("view", [value], label, like, ())

    def view(self, value: Value, dims: Sequence[int], axes: str = "", label: str = "") -> Value:
        """A tensor in other dims, whose text may name mesh axes: `axes` has dims and what follows, `[8_X,4]{U_Y}`."""
        sizes = tuple(max(1, size) for size in dims)
        if not axes and sizes == value.dims:
            return value
        key = (value.name, sizes, axes)
        if key not in self._views:
            self._views[key] = self._emit("view", [value], label or f"{value.name}_v", (value.dtype, sizes), (), axes)
        return self._views[key]

    def sharded(self, kind: str, value: Value, label: str, axes: str, dims: Sequence[int], *options: str) -> Value:
        """The output of a collective that leaves each chip a part: `axes` is its type, `dims` what a chip has of it."""
        return self._emit(kind, [value], label, (value.dtype, dims), options, axes)

    def unknown(self, kind: str, inputs: Sequence[Value], label: str, like: tuple[str, Sequence[int]]) -> Value:
        """The output of an op without a rule."""
        self.counts[kind] += 1
        moved = sum(each.nbytes for each in {one.name: one for one in inputs}.values())
        moved += Value("", like[0], tuple(like[1])).nbytes
        self._bytes[kind] += int(moved)
        return self.op("custom", inputs, label, like, *([f"bytes={moved:.15g} B"] if self.by_bytes else []))

    def moved(self, inputs: Sequence[Value], label: str, like: tuple[str, Sequence[int]], nbytes: float) -> Value:
        """The output of an op that only moves bytes."""
        return self.op("custom", inputs, label, like, f"bytes={nbytes:.15g} B")

    def matmul(
        self, pair: tuple[Value, Value], shape: tuple[int, int, int, int], label: str, like: tuple[str, Sequence[int]]
    ) -> Value:
        """A product of batch x [m,k] and batch x [k,n] matrices."""
        batch, m, n, k = shape
        lead = (batch,) if batch > 1 else ()
        a, b = self.view(pair[0], (*lead, m, k)), self.view(pair[1], (*lead, k, n))
        made = self.op("matmul", [a, b], label, (like[0], (*lead, m, n)))
        return self.view(made, like[1])

    def is_last_pair(self, first: Value, second: Value) -> bool:
        """Whether two ops stand one behind the other at the end: only then nothing is between them."""
        names = [line.partition(":")[0] for line in self.lines[-2:] if isinstance(line, str)]
        return names == [first.name, second.name]

    @contextmanager
    def repeated(self, count: int) -> Iterator[dict[str, Any]]:
        """A block: what is written meanwhile is repeated. The block can be told its `carry`."""
        outer, typed, views = (self.lines, set(self._typed), dict(self._views))
        made, used = self._made, self._used
        block: dict[str, Any] = {"repeat": count}
        self.lines, self._made, self._used = [], set(), set()
        yield block
        block["ops"] = self.lines
        inside = self._made
        self.lines, self._made, self._used = outer, made | inside, used | self._used
        # what was typed inside of the block but is made outside of it is typed again behind it
        self._typed = typed | inside
        self._views = views
        if block["ops"]:
            self.lines.append(block)

    def carry(self, block: dict[str, Any], pairs: Iterable[tuple[Value, Value]]) -> None:
        """Let the next turn of the block at hand take the second of each pair for the first, where this turn has read the
        first and made the second."""
        carry: dict[str, str] = {}
        for before, after in pairs:
            same = (before.dtype, before.dims) == (after.dtype, after.dims) and before.name != after.name
            free = before.name not in carry and after.name not in carry.values()
            if same and free and after.name in self._made and before.name in self._used:
                carry[before.name] = after.name
        if carry:
            block["carry"] = carry

    def _emit(
        self,
        kind: str,
        inputs: Sequence[Value],
        label: str,
        like: tuple[str, Sequence[int]],
        options: Sequence[str],
        axes: str = "",
    ) -> Value:
        made = Value(self._names.fresh(label), like[0], tuple(max(1, size) for size in like[1]))
        given = ", ".join([*map(self._read, inputs), *options])
        shown = axes or f"[{','.join(map(str, made.dims))}]"
        self.lines.append(f"{made.name}:{made.dtype}{shown} = {kind}({given})")
        self._typed.add(made.name)
        self._made.add(made.name)
        return made

    def _read(self, value: Value) -> str:
        self._used.add(value.name)
        if value.name in self._typed:
            return value.name
        self._typed.add(value.name)
        return f"{value.name}:{value.dtype}[{','.join(map(str, value.dims))}]"
