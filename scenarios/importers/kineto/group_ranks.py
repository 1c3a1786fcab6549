"""The ranks of a process group, as the arguments of a communication kernel say them.

Model: PyTorch writes a list, of which it leaves out the middle where there are more than 30 (`[0, 2, ..., 126]`), and
beside it where groups of one stride begin and what the stride is. What was left out follows from these, or from the
list itself where its first ranks lie at one stride and the last one is where that leads.
Source: torch/csrc/profiler/util.cpp and util.h (`kGroupRanks`, `kGlobalRankStart`, `kGlobalRankStride`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

Ranks = tuple[int, ...]

_LEFT_OUT = "..."


def group_ranks(args: Mapping[str, Any], size: int) -> Ranks | None:
    """The ranks of a group of `size` (0: not said), in order; None where they do not follow."""
    said = args.get("Process Group Ranks")
    words = said if isinstance(said, list) else str(said or "").strip("[] ").split(",")
    listed = [str(word).strip() for word in words]
    ranks = _whole(word for word in listed if word != _LEFT_OUT)
    if ranks and _LEFT_OUT not in listed:
        return ranks if not size or len(ranks) == size else None
    start, stride = args.get("Global rank start"), args.get("Global rank stride")
    if isinstance(start, int) and isinstance(stride, int) and start >= 0 and stride > 0:
        return _regular(start, stride, size)
    return _continued(ranks[:-1], ranks[-1], size) if ranks else None


def _whole(words: Iterable[str]) -> Ranks | None:
    """Numbers of words; None where one is none, or there are none."""
    try:
        return tuple(map(int, words)) or None
    except ValueError:
        return None


def _regular(start: int, stride: int, size: int) -> Ranks | None:
    return tuple(range(start, start + stride * size, stride)) or None


def _continued(first: Ranks, last: int, size: int) -> Ranks | None:
    """A list of which the middle was left out, where one stride leads through its first ranks to its last."""
    strides = {after - before for before, after in pairwise(first)}
    if len(strides) != 1 or (stride := strides.pop()) < 1:
        return None
    found = _regular(first[0], stride, size)
    return found if found and found[-1] == last else None
