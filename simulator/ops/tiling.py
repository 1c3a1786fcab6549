"""Tiles that fit on-chip memory: how many pipeline steps a kernel has, and how often it re-reads its inputs.

Model: on-chip memory of S bytes holds a tile twice (one is computed on while the next is loaded).
- Matmul [m,k]x[k,n] in tiles bm x bn, contracted in slices of bk: an operand is fetched again whenever the tile
  changes, unless its index did not change since the last step. With K cut, A is read n/bn times and B m/bm times:
  intensity bm*bn/(bm+bn) FLOP/B for bf16 (Source: "How to Scale Your Model", roofline appendix). Accumulators are fp32.
- A stream (element-wise, norms): blocks of elements, read once; a row that a norm must see whole but which does not
  fit is read twice.
- Flash attention: blocks of queries against blocks of keys; K and V are read once per block of queries
  (Source: Dao et al. 2022, O(T^2 d^2 / M) traffic).
The tile with the least traffic is taken, and of those the one with most steps, by `simulator.lowering.planning`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.ops.kernel import Tile, Tiling

ACCUMULATOR_BYTES = 4.0


def _ceil(a: int, b: int) -> int:
    """Tiles of side b along a dim; one of nothing along a dim of which the chip has no part."""
    return -(-a // b) if b else 1


def _sides(size: int, unit: int) -> list[int]:
    """Tile sides for a dim: the unit's side doubled while it is shorter than the dim, and the whole dim."""
    sides: list[int] = []
    side = unit
    while side < size:
        sides.append(side)
        side *= 2
    return [*sides, size]


@dataclass(frozen=True, slots=True)
class MatmulTiling:
    """Tiles of a matmul; `a_bytes`, `b_bytes` per element; `extra` reads (bias, ...) happen once."""

    batch: int
    m: int
    n: int
    k: int
    a_bytes: float
    b_bytes: float
    extra: int = 0

    def tiles(self, on_chip_bytes: float, unit: tuple[int, int]) -> Iterator[Tile]:
        """All tiles with power-of-two sides that fit; the unit's own tile if none does."""
        found = False
        for bm in _sides(self.m, unit[1]):
            for bn in _sides(self.n, unit[1]):
                for bk in sorted({min(unit[0], self.k), self.k}):
                    if self._footprint(bm, bn, bk) <= on_chip_bytes:
                        found = True
                        yield self._tile(bm, bn, bk)
        if not found:
            yield self._tile(min(unit[1], self.m), min(unit[1], self.n), min(unit[0], self.k))

    def _footprint(self, bm: int, bn: int, bk: int) -> float:
        """Bytes on chip: both operand tiles twice, the accumulators once (they never leave before they are done)."""
        return 2 * (bm * bk * self.a_bytes + bk * bn * self.b_bytes) + bm * bn * ACCUMULATOR_BYTES

    def _tile(self, bm: int, bn: int, bk: int) -> Tile:
        tm, tn, tk = _ceil(self.m, bm), _ceil(self.n, bn), _ceil(self.k, bk)
        if tk > 1:
            a, b = tn, tm
        else:  # the operand of the outer loop stays on chip while the other streams past it
            rows_outer = (1, tm if tn > 1 else 1)
            columns_outer = (tn if tm > 1 else 1, 1)
            size_a, size_b = self.m * self.k * self.a_bytes, self.k * self.n * self.b_bytes
            a, b = min(rows_outer, columns_outer, key=lambda times: times[0] * size_a + times[1] * size_b)
        return Tile(self.batch * tm * tn * tk, (a, b, *(1.0,) * self.extra), f"{bm}x{bn}x{bk}")


@dataclass(frozen=True, slots=True)
class StreamTiling:
    """Blocks of a stream of `elements`, `live_bytes` on chip per element; a block holds whole rows of `row` elements."""

    elements: int
    live_bytes: float
    reads: int
    row: int = 1

    def tiles(self, on_chip_bytes: float, unit: tuple[int, int]) -> Iterator[Tile]:
        """The finest block: more steps never take longer, and blocks of a stream share nothing to re-read."""
        block = max(unit[0] * unit[1], self.row)
        fits = 2 * self.row * self.live_bytes <= on_chip_bytes
        if not fits:
            block = unit[0] * unit[1]
        times = 1.0 if fits or self.row == 1 else 2.0
        yield Tile(float(_ceil(self.elements, block)), (times,) * self.reads, f"{min(block, self.elements)} elements")


@dataclass(frozen=True, slots=True)
class FlashTiling:
    """Blocks of fused attention: per key-value head, [rows, d] queries (of all its query heads) against [keys, d] keys
    and [keys, dv] values. `span`: keys that one query sees, all unless said; `group`: rows of one position. A block of
    queries reads the keys in reach of any of them. `extra` reads happen once, as those of the queries do. Without
    `value_bytes` the keys are the values, in one read."""

    heads: int
    rows: int
    keys: int
    head_bytes: float
    value_bytes: float
    span: int | None = None
    group: float = 1.0
    extra: int = 0

    def tiles(self, on_chip_bytes: float, unit: tuple[int, int]) -> Iterator[Tile]:
        """Query blocks of doubling height against key blocks of the unit's width, as long as they fit."""
        kept = 2 if self.value_bytes else 1
        if not self.rows or not self.keys:
            yield Tile(1.0, (1.0,) * (1 + kept + self.extra), "nothing")  # the chip has no part of the heads
            return
        bk = min(unit[1], self.keys)
        found = False
        for bq in _sides(self.rows, unit[1]):
            # queries and keys/values twice, output accumulators and one block of scores once
            footprint = 2 * bq * self.head_bytes + 2 * bk * (self.head_bytes + self.value_bytes)
            footprint += bq * (2 * self.value_bytes + bk * ACCUMULATOR_BYTES)
            if footprint <= on_chip_bytes or not found:
                found = True
                passes = _ceil(self.rows, bq)
                seen = min(self.keys, (self.span or self.keys) + math.ceil(bq / self.group) - 1)
                steps = self.heads * passes * _ceil(seen, bk)
                times = max(1.0, passes * seen / self.keys)
                yield Tile(steps, (1.0, *(times,) * kept, *(1.0,) * self.extra), f"{bq}q x {bk}k")


@dataclass(frozen=True, slots=True)
class WiderTiling:
    """The tiling of a kernel that has `extra` reads more behind its own, which happen once."""

    base: Tiling
    extra: int

    def tiles(self, on_chip_bytes: float, unit: tuple[int, int]) -> Iterator[Tile]:
        """The same tiles, with more reads."""
        for tile in self.base.tiles(on_chip_bytes, unit):
            yield Tile(tile.steps, (*tile.rereads, *(1.0,) * self.extra), tile.label)
