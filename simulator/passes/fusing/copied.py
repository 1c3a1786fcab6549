"""Groups to fuse that stand in many copies, found over columns.

Model: an op of a group is found by the name with which it is written, once for all copies and rounds; in each of those
stand as many kernels of each name, in the same order. Where that is not so, or where something is wrong, nothing is found
here, and groups are looked for by the names of their ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hw.rows import equal_lines
from simulator.graph.copied import CopiedGroups
from simulator.passes.kernels import Kernels, Standing

Cut = Callable[[list[int]], list[list[int]]]
"""How one group is cut into those that can be one kernel; alike ones are cut alike."""


def groups_in_copies(kernels: Kernels, place: Any, rule: CopiedGroups, cut: Cut) -> list[tuple[int, ...]] | None:
    """The kernels that are one, by their numbers; None where that does not follow from columns. `place`: by kernel, a number
    of where it runs."""
    stands = kernels.names.standing(sorted({name for group in rule.of for name in group}))
    if stands is None:
        return None
    code = np.asarray(kernels.code, dtype=np.int64)
    found: list[Any] = []
    for group, endings in rule.of.items():
        rows = _rows(stands, group, endings)
        if rows is None or (place[rows] != place[rows[:, :1]]).any():
            return None
        for same in _alike(code[rows]):
            whole = rows[same]
            for part in cut(whole[0].tolist()):
                columns = np.searchsorted(whole[0], part)
                found.append(whole[:, columns])
    return _listed(found, len(kernels))


def _rows(stands: Standing, group: tuple[str, ...], endings: Sequence[str]) -> Any | None:
    """A line for each copy and round in which a group stands: its kernels in program order."""
    if not stands.copies.keys() >= set(endings):
        return None  # written out: only names tell what is of which copy
    copies = np.asarray([stands.copies[ending] for ending in endings], dtype=np.int64)
    here = np.isin(stands.copy, copies)
    columns, keys = [], []
    for name in group:
        at = np.flatnonzero(here & (stands.name == stands.names[name]))
        key = stands.copy[at] * (int(stands.turn.max()) + 1) + stands.turn[at]
        order = np.argsort(key, kind="stable")
        columns.append(at[order])
        keys.append(key[order])
    first = keys[0]
    alike = all(len(key) == len(first) and (key == first).all() for key in keys)
    once = len(first) and (first[1:] > first[:-1]).all() and len(np.unique(stands.copy[columns[0]])) == len(copies)
    return np.sort(np.stack(columns, axis=1), axis=1) if alike and once else None


def _alike(codes: Any) -> list[Any]:
    """The lines that are of the same templates."""
    which, first = equal_lines(*codes.T)
    return [np.flatnonzero(which == number) for number in range(len(first))]


def _listed(found: Sequence[Any], count: int) -> list[tuple[int, ...]] | None:
    """Groups by their first kernels; None where one could not be a kernel of its own: a stranger stands in it, or one of its
    kernels in another group."""
    together = [rows for rows in found if rows.shape[1] > 1]
    if any((rows[:, -1] - rows[:, 0] != rows.shape[1] - 1).any() for rows in together):
        return None
    taken = np.bincount(np.concatenate([rows.ravel() for rows in found]), minlength=count) if found else np.zeros(1)
    if (taken > 1).any():
        return None
    return sorted(tuple(line) for rows in together for line in rows.tolist())
