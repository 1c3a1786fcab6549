"""The memory of a chip as a snapshot for PyTorch's memory viewer (pytorch.org/memory_viz).

Format: that of `torch.cuda.memory._snapshot()`, pickled: `segments` with their blocks, as they are when the step is over,
and `device_traces` with what came and went. Frames name the tensor, and its owner in the place of the file; times are
microseconds of the run.
Model: tensors go through PyTorch's caching allocator (`analysis.words.allocator`): what is there before the run, then a step
whose memory has been reserved by the steps before it. One chip: the fullest, unless another is named.
Source: PyTorch, torch/csrc/cuda/memory_snapshot.cpp, torch/cuda/_memory_viz.py; docs, "Understanding CUDA Memory Usage".
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.frames.allocator import replay_of
from analysis.frames.memory import memory_frame, memory_levels
from analysis.words.allocator import Block, CachingAllocator
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd

_PROTOCOL = 4
"""That of PyTorch's own snapshots, which the viewer reads."""

Record = dict[str, Any]


@dataclass(slots=True)
class _Recorder:
    """Takes down what the allocator does for which tensor, as long as it is `on`."""

    names: list[tuple[str, str]]
    on: bool = True
    entries: list[Record] = field(default_factory=list)
    _number: int = 0
    _time_us: float = 0.0

    def seen(self, number: int, _comes: bool, at_s: float) -> None:
        """The tensor that comes or goes next."""
        self._number, self._time_us = number, at_s * 1e6

    def told(self, action: str, address: int, size: int) -> None:
        """What the allocator does for it."""
        if self.on:
            of = {"action": action, "addr": address, "size": size, "stream": 0}
            self.entries.append({**of, "time_us": int(self._time_us), "frames": self.frames(self._number)})

    def frames(self, number: int) -> list[Record]:
        """Where a tensor comes from."""
        tensor, owner = self.names[number]
        return [{"name": tensor, "filename": owner, "line": 0}]


def memory_snapshot(result: Result, chip: int | None = None) -> Record:
    """The snapshot of a chip, as plain data."""
    memory = memory_frame(result)
    here = memory[memory["chip"] == (_fullest(memory) if chip is None else chip)].reset_index(drop=True)
    names = list(zip(here["tensor"].astype(str), here["owner"].astype(str), strict=True))
    recorder = _Recorder(names)
    allocator = CachingAllocator(told=recorder.told)
    replay = replay_of(here)
    held = replay.setup(allocator, recorder.seen)
    recorder.on = False
    replay.step(allocator, dict(held), recorder.seen)
    recorder.on = True
    replay.step(allocator, held, recorder.seen)
    of = {block.address: number for number, block in held.items()}
    return {
        "overlapse": "simulated",
        "segments": [_segment(chain, of, recorder) for chain in allocator.chains()],
        "device_traces": [recorder.entries],
        "allocator_settings": {"expandable_segments": False},
        "external_annotations": [],
    }


def write_memory_snapshot(result: Result, path: Path, chip: int | None = None) -> None:
    """Write the snapshot of a chip. Raises OSError."""
    path.write_bytes(pickle.dumps(memory_snapshot(result, chip), protocol=_PROTOCOL))


def _fullest(memory: pd.DataFrame) -> int:
    levels = memory_levels(memory)
    return int(levels["chip"].iloc[int(levels["bytes"].to_numpy().argmax())]) if len(levels) else 0


def _segment(chain: list[Block], of: dict[int, int], recorder: _Recorder) -> Record:
    segment = chain[0].segment
    used = [block for block in chain if not block.is_free]
    taken = sum(block.size for block in used)
    return {
        "device": 0,
        "address": segment.address,
        "total_size": segment.size,
        "allocated_size": taken,
        "active_size": taken,
        "requested_size": int(sum(block.asked for block in used)),
        "stream": 0,
        "segment_type": "small" if segment.is_small else "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "frames": [],
        "blocks": [_block(block, of, recorder) for block in chain],
    }


def _block(block: Block, of: dict[int, int], recorder: _Recorder) -> Record:
    return {
        "address": block.address,
        "size": block.size,
        "requested_size": int(block.asked),
        "state": "inactive" if block.is_free else "active_allocated",
        "frames": [] if block.is_free else recorder.frames(of[block.address]),
    }
