"""What the kernels of many ops read and make, as columns: stamped out for all of them at once.

Model: a stamp says by places in its op what a kernel reads and makes; a place is a value of the op, and behind its inputs
come the values that were made beside those. What a kernel reads it
reads through views; as `simulator.ops.views` has it, what else lies behind those comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.graph.flat_ops import FlatOps
from simulator.passes.kernels import Kernels
from simulator.passes.stamping.stamp import OUT, Stamp
from simulator.passes.stamping.views import Views


@dataclass(frozen=True, slots=True)
class Stamped:
    """Which stamp each kernel is of which op, in program order; `made_first`: by op, the first value that it made up;
    `beside`: values that kernels read and that were made beside inputs, `beside_first`: by op, its first one of those."""

    op: Any
    stamp: Any
    made_first: Any
    beside: Any
    beside_first: Any


def fill(kernels: Kernels, flat: FlatOps, stamps: Sequence[Stamp], stamped: Stamped, views: Views) -> None:
    """Append the kernels."""
    reads, read_count = _values(flat, [each.reads for each in stamps], stamped)
    makes, made_count = _values(flat, [each.makes for each in stamps], stamped)
    templates = np.asarray([each.template for each in stamps], dtype=np.int64)
    shown, reads, read_count = _seen_through(reads, read_count, views)
    kernels.shown.frombytes(shown.astype("i").tobytes())
    kernels.extend(templates[stamped.stamp], (reads, read_count), (makes, made_count))


def _values(flat: FlatOps, places: Sequence[Sequence[int]], stamped: Stamped) -> tuple[Any, Any]:
    """What stands at some places of each stamp, kernel after kernel, and how many there are of each kernel."""
    each = np.asarray([len(line) for line in places], dtype=np.int64)
    since = np.cumsum(each) - each
    listed = np.asarray([place for line in places for place in line], dtype=np.int64)
    count = each[stamped.stamp]
    kernel = np.repeat(np.arange(len(count)), count)
    place = listed[np.arange(len(kernel)) + np.repeat(since[stamped.stamp] - np.cumsum(count) + count, count)]
    op = stamped.op[kernel]
    found = stamped.made_first[op] + (OUT - 1 - place)
    found[place == OUT] = op[place == OUT]
    first = np.asarray(flat.first, dtype=np.int64)
    behind = place - np.diff(first)[op]
    more = behind >= 0
    found[more] = stamped.beside[stamped.beside_first[op[more]] + behind[more]]
    given = (place >= 0) & ~more
    found[given] = np.asarray(flat.reads, dtype=np.int64)[first[op[given]] + place[given]]
    return found, count


def _seen_through(reads: Any, count: Any, views: Views) -> tuple[Any, Any, Any]:
    """What kernels read, so many of each, what lies behind that, and of that how many of each."""
    made = (reads >= 0) & (reads < len(views.first))
    seen = np.where(made, views.first[np.where(made, reads, 0)] if len(views.first) else reads, reads)
    if not views.several:
        return reads, seen, count
    several = np.isin(reads, list(views.several))
    kernel = np.repeat(np.arange(len(count)), count)
    others = [views.several[value][1:] for value in reads[several].tolist()]
    more = np.asarray([len(each) for each in others], dtype=np.int64)
    beside = np.asarray([value for each in others for value in each], dtype=np.int64)
    of = np.concatenate([kernel, np.repeat(kernel[several], more)])
    order = np.argsort(of, kind="stable")
    shown, behind = (np.concatenate([each, beside])[order] for each in (reads, seen))
    return shown, behind, np.bincount(of, minlength=len(count))
