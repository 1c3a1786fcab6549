"""Which ops of a graph are alike, worked out over columns.

Model: two ops are alike if kind, options and the types of all tensors are the same, and a tensor that stands twice in one
stands twice in the other; what they are to come after makes no difference. A type is numbered, and so is what a site says
of its ops.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from hw.rows import equal_lines
from simulator.graph.flat_ops import FlatOps, without_waits


def alike_ops(flat: FlatOps) -> tuple[Any, list[int]]:
    """The group of each op, and the first op of each group; groups in the order in which they first come."""
    site, first = (np.asarray(column, dtype=np.int64) for column in (flat.site, flat.first))
    reads, arity = np.asarray(flat.reads, dtype=np.int64), np.diff(np.asarray(flat.first, dtype=np.int64))
    form, type_of = _numbered(flat, site)
    group = np.zeros(len(site), dtype=np.int64)
    firsts: list[int] = []
    for count in np.flatnonzero(np.bincount(arity)).tolist():
        ops = np.flatnonzero(arity == count)
        read = reads[first[ops][:, None] + np.arange(count)]
        columns = [form[site[ops]], *type_of[read + len(flat.given)].T, *_twice(read)]
        number, at = equal_lines(*columns)
        group[ops] = number + len(firsts)
        firsts += ops[at].tolist()
    order = np.argsort(firsts, kind="stable")
    number = np.empty(len(firsts), dtype=np.int64)
    number[order] = np.arange(len(firsts))
    return number[group], [firsts[each] for each in order.tolist()]


def _numbered(flat: FlatOps, site: Any) -> tuple[Any, Any]:
    """By site, the number of what it says of its ops but for what they read; by value (the last one that is given comes
    first), the number of its type."""
    types: dict[Hashable, int] = {}
    made = [types.setdefault(each.output.type, len(types)) for each in flat.sites]
    taken = np.asarray([types.setdefault(each.type, len(types)) for each in flat.tensors], dtype=np.int64)
    said: dict[Hashable, int] = {}
    of_sites = zip(flat.sites, made, strict=True)
    form = [said.setdefault((each.kind, without_waits(each.options), kind), len(said)) for each, kind in of_sites]
    given = taken[np.asarray(flat.given, dtype=np.int64)[::-1]]
    return np.asarray(form, dtype=np.int64), np.concatenate([given, np.asarray(made, dtype=np.int64)[site]])


def _twice(read: Any) -> Iterator[Any]:
    """A column that tells apart which of the values of a line are one; none where all lines have different ones."""
    ordered = np.sort(read, axis=1)
    some = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(some):
        known: dict[tuple[int, ...], int] = {}
        found = np.zeros(len(read), dtype=np.int64)
        lines = read[some].tolist()
        found[some] = [1 + known.setdefault(tuple(map(line.index, line)), len(known)) for line in lines]
        yield found
