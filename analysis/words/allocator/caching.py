"""PyTorch's caching allocator: what a process reserves of a GPU's memory for what it allocates.

Model: sizes are rounded up to 512 B. Up to 1 MiB they come out of a small pool, whose segments are 2 MiB; larger ones out
of a large pool, whose segments are 20 MiB for less than 10 MiB, else the size rounded up to 2 MiB. The free block of the
pool that fits best (the smallest, of equals the lowest in memory) is taken, and split if at least 512 B (small pool) or
more than 1 MiB (large pool) would be left. A block that is freed joins its free neighbours in the segment. Segments are
kept, but for those that are wholly free when the device has no room for another one.
Expandable: a pool is one segment, which grows at its end by whole pages of 2 MiB (small pool) or 20 MiB (large pool).
Assumes: one stream, and no limits on splitting or rounding to powers of two.
Source: PyTorch 2, c10/cuda/CUDACachingAllocator.cpp (kMinBlockSize, kSmallSize, kSmallBuffer, kMinLargeAlloc, kLargeBuffer,
kRoundLarge, get_free_block, should_split, try_merge_blocks, release_cached_blocks, ExpandableSegment).
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

LEAST = 512
"""Sizes are multiples of this."""

MOST_SMALL = 2**20
"""The largest size of the small pool."""

SMALL_SEGMENT, LARGE_SEGMENT, LEAST_LARGE, ROUND_LARGE = 2 * 2**20, 20 * 2**20, 10 * 2**20, 2 * 2**20

Told = Callable[[str, int, int], None]
"""Takes down what happens: an action in PyTorch's words, an address, bytes."""


def _nobody(_action: str, _address: int, _size: int) -> None:
    """Nobody is told."""


def rounded(nbytes: float) -> int:
    """The size of the block for so many bytes."""
    return max(LEAST, math.ceil(nbytes / LEAST) * LEAST)


def segment_bytes(size: int) -> int:
    """The size of a new segment for a block of some size."""
    if size <= MOST_SMALL:
        return SMALL_SEGMENT
    if size < LEAST_LARGE:
        return LARGE_SEGMENT
    return -(-size // ROUND_LARGE) * ROUND_LARGE


@dataclass(eq=False, slots=True)
class Segment:
    """What was reserved at once."""

    address: int
    size: int
    is_small: bool


@dataclass(eq=False, slots=True)
class Block:
    """A piece of a segment, and its neighbours there; `asked`: the bytes that were asked for."""

    address: int
    size: int
    segment: Segment
    is_free: bool = True
    asked: float = 0.0
    before: Block | None = field(default=None, repr=False)
    behind: Block | None = field(default=None, repr=False)


class _Free:
    """The free blocks of a pool by size, then address."""

    def __init__(self) -> None:
        self._keys: list[tuple[int, int]] = []
        self._blocks: dict[tuple[int, int], Block] = {}

    def __iter__(self) -> Iterator[Block]:
        return iter(list(self._blocks.values()))

    def add(self, block: Block) -> None:
        key = block.size, block.address
        insort(self._keys, key)
        self._blocks[key] = block

    def remove(self, block: Block) -> None:
        key = block.size, block.address
        del self._keys[bisect_left(self._keys, key)]
        del self._blocks[key]

    def fitting(self, size: int) -> Block | None:
        """The smallest that has room."""
        at = bisect_left(self._keys, (size, 0))
        return self._blocks[self._keys[at]] if at < len(self._keys) else None


class CachingAllocator:
    """An allocator on a device with `capacity` bytes. `allocated`, `reserved`: bytes now; the most of both so far."""

    def __init__(self, capacity: float = math.inf, expandable: bool = False, told: Told = _nobody) -> None:
        self.capacity, self.expandable, self._told = capacity, expandable, told
        self.allocated = self.reserved = self.most_allocated = self.most_reserved = 0
        self.blocks: dict[int, Block] = {}
        """The first block of each segment, by its address."""
        self._free = {True: _Free(), False: _Free()}
        self._ends: dict[bool, Block] = {}
        self._next = 1 << 32

    def malloc(self, nbytes: float) -> Block:
        """A block for some bytes. Raises MemoryError where the device has no room for it."""
        size = rounded(nbytes)
        is_small = size <= MOST_SMALL
        block = self._free[is_small].fitting(size)
        if block is None:
            block = self._grown(size, is_small) if self.expandable else self._new(size, is_small)
        self._free[is_small].remove(block)
        rest = block.size - size
        if rest >= LEAST if is_small or self.expandable else rest > MOST_SMALL:
            self._cut(block, size)
        block.is_free, block.asked = False, nbytes
        self.allocated += block.size
        self.most_allocated = max(self.most_allocated, self.allocated)
        self._told("alloc", block.address, block.size)
        return block

    def free(self, block: Block) -> None:
        """Give a block back to its pool."""
        self.allocated -= block.size
        self._told("free_requested", block.address, block.size)
        self._told("free_completed", block.address, block.size)
        block.is_free, block.asked = True, 0.0
        pool = self._free[block.segment.is_small]
        if block.behind is not None and block.behind.is_free:
            pool.remove(block.behind)
            self._join(block, block.behind)
        if block.before is not None and block.before.is_free:
            pool.remove(block.before)
            block = block.before
            assert block.behind is not None, "it has a neighbour"
            self._join(block, block.behind)
        pool.add(block)

    def _cut(self, block: Block, size: int) -> None:
        """Leave a block its first `size` bytes; the rest is free."""
        rest = Block(block.address + size, block.size - size, block.segment, before=block, behind=block.behind)
        if block.behind is not None:
            block.behind.before = rest
        block.behind, block.size = rest, size
        if self._ends.get(block.segment.is_small) is block:
            self._ends[block.segment.is_small] = rest
        self._free[block.segment.is_small].add(rest)

    def _join(self, block: Block, behind: Block) -> None:
        """Two neighbours become one."""
        block.size += behind.size
        block.behind = behind.behind
        if behind.behind is not None:
            behind.behind.before = block
        if self._ends.get(block.segment.is_small) is behind:
            self._ends[block.segment.is_small] = block

    def _reserve(self, size: int) -> None:
        """Take bytes of the device, giving back what is wholly free if that is needed."""
        if self.reserved + size > self.capacity:
            self.release()
        if self.reserved + size > self.capacity:
            raise MemoryError(f"{self.reserved + size} bytes of {self.capacity:.0f}")
        self.reserved += size
        self.most_reserved = max(self.most_reserved, self.reserved)

    def _new(self, size: int, is_small: bool) -> Block:
        """A new segment as one free block."""
        nbytes = segment_bytes(size)
        self._reserve(nbytes)
        segment = Segment(self._next, nbytes, is_small)
        self._next += nbytes
        block = self.blocks[segment.address] = Block(segment.address, nbytes, segment)
        self._told("segment_alloc", segment.address, nbytes)
        self._free[is_small].add(block)
        return block

    def _grown(self, size: int, is_small: bool) -> Block:
        """The pool's segment grown until its last block is free and has room."""
        page = SMALL_SEGMENT if is_small else LARGE_SEGMENT
        end = self._ends.get(is_small)
        there = end.size if end is not None and end.is_free else 0
        more = -(-(size - there) // page) * page
        self._reserve(more)
        # a pool has addresses of its own, so that it can grow
        segment = Segment((1 << 40) * (1 + is_small), 0, is_small) if end is None else end.segment
        self._told("segment_map", segment.address + segment.size, more)
        if end is not None and end.is_free:
            self._free[is_small].remove(end)
            end.size += more
        else:
            added = Block(segment.address + segment.size, more, segment, before=end)
            if end is None:
                self.blocks[segment.address] = added
            else:
                end.behind = added
            end = added
        segment.size += more
        self._ends[is_small] = end
        self._free[is_small].add(end)
        return end

    def release(self) -> None:
        """Give segments back that are wholly free."""
        for is_small, pool in self._free.items():
            for block in pool:
                if not self.expandable and block.size == block.segment.size:
                    pool.remove(block)
                    del self.blocks[block.segment.address]
                    self.reserved -= block.size
                    self._told("segment_free", block.address, block.size)
                elif self.expandable and self._ends.get(is_small) is block:
                    page = SMALL_SEGMENT if is_small else LARGE_SEGMENT
                    self._shrink(block, block.size // page * page)

    def _shrink(self, block: Block, by: int) -> None:
        """Unmap the last pages of a pool's segment, as far as its last block is free."""
        if not by:
            return
        is_small = block.segment.is_small
        pool = self._free[is_small]
        pool.remove(block)
        block.size -= by
        block.segment.size -= by
        self.reserved -= by
        self._told("segment_unmap", block.address + block.size, by)
        if block.size:
            pool.add(block)
        elif block.before is not None:
            block.before.behind = None
            self._ends[is_small] = block.before
        else:
            del self.blocks[block.address], self._ends[is_small]

    def chains(self) -> Iterator[list[Block]]:
        """The blocks of each segment, in the order of their addresses."""
        for address in sorted(self.blocks):
            chain: list[Block] = []
            block: Block | None = self.blocks[address]
            while block is not None:
                chain.append(block)
                block = block.behind
            yield chain
