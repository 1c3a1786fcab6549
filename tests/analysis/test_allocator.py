"""PyTorch's caching allocator, and what it makes of runs.

Laws: what is reserved is never less than what is allocated, and that never less than what was asked for; blocks tile their
segments and never overlap; what is all freed is one free block a segment; a second step like the first reserves nothing more
where nothing is split. Closed forms: rounding to 512 B, segments of 2 MiB, 20 MiB or a multiple of 2 MiB, splitting.
Source: PyTorch, test/test_cuda.py (test_graph_memory_stats_and_use_result_after_destroy_graph) for the sizes of segments.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame, memory_reserved
from analysis.traces import memory_snapshot, write_memory_snapshot
from analysis.words.allocator import Block, CachingAllocator
from simulator import Parallel
from tests.analysis.test_owners import held
from tests.support.training_steps import step

MIB = 2**20
SIZES = st.one_of(st.integers(1, 4 * MIB), st.integers(1, 400).map(lambda n: n * MIB), st.integers(1, 2000))
ACTIONS = st.lists(st.tuples(SIZES, st.integers(0, 7)), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("asked", "block", "reserved"),
    [
        (1, 512, 2 * MIB),
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (19 * MIB, 20 * MIB, 20 * MIB),
        (21 * MIB, 22 * MIB, 22 * MIB),
        (100 * MIB, 100 * MIB, 100 * MIB),
    ],
)
def test_blocks_and_segments_of_one_allocation(asked: int, block: int, reserved: int) -> None:
    """What is left of a large segment stays with the block unless it is more than 1 MiB."""
    allocator = CachingAllocator()
    made = allocator.malloc(asked)
    assert (made.size, allocator.allocated, allocator.reserved) == (block, block, reserved)
    allocator.free(made)
    assert (allocator.allocated, allocator.reserved) == (0, reserved)


def test_the_best_fit_is_taken_and_split() -> None:
    allocator = CachingAllocator()
    blocks = [allocator.malloc(size * MIB) for size in (100, 40, 60)]
    for block in blocks:
        allocator.free(block)
    taken = allocator.malloc(50 * MIB)
    assert taken.address == blocks[2].address
    rest = allocator.malloc(10 * MIB)
    assert rest.address == taken.address + 50 * MIB
    assert allocator.reserved == 200 * MIB


def test_a_full_device_gives_back_what_is_wholly_free() -> None:
    allocator = CachingAllocator(capacity=100 * MIB)
    first, second = allocator.malloc(60 * MIB), allocator.malloc(30 * MIB)
    allocator.free(first)
    third = allocator.malloc(70 * MIB)
    assert allocator.reserved == 100 * MIB
    with pytest.raises(MemoryError):
        allocator.malloc(20 * MIB)
    allocator.free(second)
    allocator.free(third)
    allocator.release()
    assert allocator.reserved == 0


def test_a_segment_that_grows_takes_pages() -> None:
    allocator = CachingAllocator(expandable=True)
    first = allocator.malloc(30 * MIB)
    assert allocator.reserved == 40 * MIB
    allocator.malloc(15 * MIB)
    assert allocator.reserved == 60 * MIB
    allocator.free(first)
    allocator.malloc(20 * MIB)
    allocator.malloc(10 * MIB)
    assert allocator.reserved == 60 * MIB


def played(allocator: CachingAllocator, actions: Sequence[tuple[int, int]]) -> list[Block]:
    """Allocations, each followed by the freeing of one of the blocks that are there, or of none."""
    alive: list[Block] = []
    for size, which in actions:
        alive.append(allocator.malloc(size))
        assert alive[-1].size >= size
        if which < len(alive):
            allocator.free(alive.pop(which))
        assert allocator.allocated == sum(block.size for block in alive) <= allocator.reserved
        assert allocator.most_allocated <= allocator.most_reserved
    return alive


@settings(max_examples=100, deadline=None)
@given(ACTIONS, st.booleans())
def test_blocks_tile_their_segments(actions: Sequence[tuple[int, int]], expandable: bool) -> None:
    allocator = CachingAllocator(expandable=expandable)
    alive = played(allocator, actions)
    chains = list(allocator.chains())
    for chain in chains:
        assert sum(block.size for block in chain) == chain[0].segment.size
        assert chain[0].address == chain[0].segment.address
        for one, other in pairwise(chain):
            assert one.address + one.size == other.address
            assert not (one.is_free and other.is_free)
    assert sum(chain[0].segment.size for chain in chains) == allocator.reserved
    ranges = sorted((block.address, block.address + block.size) for block in alive)
    assert all(one[1] <= other[0] for one, other in pairwise(ranges))
    for block in alive:
        allocator.free(block)
    assert [len(chain) for chain in allocator.chains()] == [1] * len(chains)
    allocator.release()
    assert allocator.reserved == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(SIZES, st.integers(0, 50), st.integers(1, 30)), min_size=1, max_size=40), st.booleans())
def test_reserved_is_at_least_what_is_allocated(tensors: Sequence[tuple[int, int, int]], expandable: bool) -> None:
    size, begin, lasts = (np.asarray(column, dtype=np.float64) for column in zip(*tensors, strict=True))
    frame = pd.DataFrame({"chip": 0, "bytes": size, "begin": begin, "end": begin + lasts, "given": begin == 0})
    told = memory_reserved(frame, expandable=expandable).iloc[0]
    # whatever is given stays to the end of the step and longer
    end = np.where(begin == 0, np.inf, begin + lasts)
    blocks = np.ceil(size / 512) * 512
    most = max(blocks[(begin <= at) & (end > at)].sum() for at in begin)
    assert most <= told.allocated <= told.reserved
    assert told.allocated <= most + 2 * MIB * len(tensors)


def test_a_device_that_is_too_small_is_infinitely_full() -> None:
    frame = pd.DataFrame({"chip": [3], "bytes": [5e6], "begin": [0.0], "end": [1.0], "given": [True]})
    told = memory_reserved(frame, capacity=1e6)
    assert told.to_dict("records") == [{"chip": 3, "allocated": np.inf, "reserved": np.inf}]
    assert memory_reserved(frame).reserved.item() == 20 * MIB


def test_a_training_step_reserves_a_little_more_than_its_peak() -> None:
    result = step(Parallel(dp=2, zero=1), 2)
    told = memory_reserved(memory_frame(result)).set_index("chip")
    peak = sum(held(result).values())
    assert peak <= told.allocated[0] <= told.reserved[0] <= 1.5 * peak + 40 * MIB


def test_a_snapshot_tells_what_is_held() -> None:
    result = step(Parallel(pp=2), 2)
    taken = memory_snapshot(result, chip=1)
    (trace,) = taken["device_traces"]
    alive: dict[int, int] = {}
    level = most = 0
    for entry in trace:
        assert entry["frames"]
        assert entry["frames"][0]["filename"]
        if entry["action"] == "alloc":
            assert entry["addr"] not in alive
            alive[entry["addr"]] = entry["size"]
            level += entry["size"]
            most = max(most, level)
        elif entry["action"] == "free_completed":
            level -= alive.pop(entry["addr"])
    frame = memory_frame(result)
    assert most == memory_reserved(frame).set_index("chip").allocated[1]
    used = {
        block["address"]: block["size"]
        for segment in taken["segments"]
        for block in segment["blocks"]
        if block["state"] == "active_allocated"
    }
    assert used == alive
    for segment in taken["segments"]:
        assert segment["total_size"] == sum(block["size"] for block in segment["blocks"])
        assert segment["allocated_size"] == sum(
            block["size"] for block in segment["blocks"] if block["state"] != "inactive"
        )
    given = frame[frame["given"] & (frame["chip"] == 1)]
    names = {
        block["frames"][0]["name"] for segment in taken["segments"] for block in segment["blocks"] if block["frames"]
    }
    assert names == set(given["tensor"])


def test_pytorch_reads_the_snapshot(tmp_path: Path) -> None:
    viewer = pytest.importorskip("torch.cuda._memory_viz", reason="PyTorch is not installed")
    path = tmp_path / "memory.pickle"
    write_memory_snapshot(step(Parallel()), path)
    taken = pickle.loads(path.read_bytes())
    assert "segments:" in viewer.segsum(taken)
    assert "TOTAL MEM" in viewer.trace(taken)
    for plot in (viewer.trace_plot, viewer.segment_plot):
        assert "MemoryViz.js" in plot(taken)
    assert io.StringIO(viewer.trace(taken)).readline().startswith("Device 0")
