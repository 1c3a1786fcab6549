"""Which kernels wait for which others, as columns: for who made what they read, then for whom they are to come after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.passes.kernels import Kernels


@dataclass(frozen=True, slots=True)
class Waits:
    """One line for each wait, by reader in program order: the kernel, the one that it waits for, and whether it says so by
    name."""

    reader: Any
    maker: Any
    named: Any

    def of(self, since: int, until: int) -> Waits:
        """Those of some kernels, by their places in the program."""
        first, last = np.searchsorted(self.reader, (since, until))
        return Waits(self.reader[first:last], self.maker[first:last], self.named[first:last])


def waits_of(kernels: Kernels) -> Waits:
    """The waits of all kernels: of several that make the same, for the last one before."""
    read_at = np.asarray(kernels.read_at, dtype=np.int64)
    reader = np.repeat(np.arange(len(kernels)), read_at[1:] - read_at[:-1])
    wanted = np.concatenate([np.asarray(each, dtype=np.int64) for each in (kernels.reads, kernels.awaited)])
    reader = np.concatenate([reader, np.asarray(kernels.waiting, dtype=np.int64)])
    maker = _last_makers(kernels, wanted, reader)
    named = np.arange(len(reader)) >= len(kernels.reads)
    order = np.argsort(reader, kind="stable")
    order = order[maker[order] >= 0]
    return Waits(reader[order], maker[order], named[order])


def _last_makers(kernels: Kernels, values: Any, before: Any) -> Any:
    """The last kernel that makes each value before some kernel; -1 where there is none."""
    count = len(kernels)
    made_at = np.asarray(kernels.made_at, dtype=np.int64)
    maker = np.repeat(np.arange(count), made_at[1:] - made_at[:-1])
    made = np.asarray(kernels.makes, dtype=np.int64)
    lowest = min(made.min(initial=0), values.min(initial=0))
    once = np.full(max(made.max(initial=0), values.max(initial=0)) - lowest + 1, -1)
    once[made - lowest] = maker
    if (once[made - lowest] == maker).all():  # each value is made by one kernel
        found = once[values - lowest]
        return np.where((values >= 0) & (found < before), found, -1)
    keys = np.sort((made * count + maker)[made >= 0])
    at = np.searchsorted(keys, values * count + before) - 1
    found = keys[at] if len(keys) else np.full(len(at), -1)
    known = (at >= 0) & (values >= 0)
    return np.where(known & (found // max(1, count) == values), found % max(1, count), -1)
