"""Collectives in the words of what one rank has before and after, over groups that become axes once all are known.

Model: a rank's array is read as its part of a sum, or of a larger array that is cut over the group; a view says so, which
costs nothing. What a collective leaves is read in the sizes of one rank again. Letters stand in for groups in the lines,
until it is known which axes there are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from scenarios.importers.groups import Groups
from scenarios.importers.op_lines import OpLines, Value

_OVER = re.compile("\0(\\d+)\0")


class Run(Protocol):
    """What writes lines with collectives. `groups`: what these go over, by the letters that stand in for it."""

    lines: OpLines
    groups: dict[Groups, str]


def over_groups(run: Run, named: tuple[str, str], value: Value, out: Sequence[int], groups: Groups) -> Value:
    """A collective of a kind, under a label, over groups; `out`: the sizes of what each chip has behind it."""
    kind, label = named
    size = len(groups[0])
    if size < 2:
        return value
    over = letters_of(run, groups)
    dims = list(value.dims) or [1]
    flat = run.lines.view(value, dims)
    if kind in ("all_reduce", "broadcast"):
        partial = f"[{','.join(map(str, dims))}]{{U_<{over}>}}" if kind == "all_reduce" else ""
        made = run.lines.op(kind, [run.lines.view(flat, dims, partial)], label, (value.dtype, dims), f"over={over}")
        return run.lines.view(made, value.dims)
    return _resharded(run, named, flat, out, (over, size))


def _resharded(run: Run, named: tuple[str, str], value: Value, out: Sequence[int], over: tuple[str, int]) -> Value:
    """A collective that makes an array of another size, as one along a single dim."""
    kind, label = named
    letters, size = over
    axes = f"<{letters}>"
    if kind == "all_gather":
        whole = value.elements * size
        part = run.lines.view(value, (value.elements,), f"[{whole}_{axes}]")
        made = run.lines.op(kind, [part], label, (value.dtype, (whole,)), f"over={letters}")
        return in_size(run, made, out)
    if value.elements % size:
        raise ValueError(f"{value.elements} elements cannot be shared by {size}")
    if kind == "reduce_scatter":
        partial = run.lines.view(value, (value.elements,), f"[{value.elements}]{{U_{axes}}}")
        parted, left = f"[{value.elements}_{axes}]", (value.elements // size,)
    else:
        partial = run.lines.view(value, (value.elements,), f"[{size}_{axes},{value.elements}]")
        parted, left = f"[{size},{value.elements}_{axes}]", (value.elements,)
    made = run.lines.sharded(kind, partial, label, parted, left, f"over={letters}")
    return in_size(run, made, out)


def in_size(run: Run, value: Value, dims: Sequence[int]) -> Value:
    """An array in other dims: the same, a part of it, or with padding behind it, as parts have that do not divide."""
    if math.prod(dims) == value.elements:
        return run.lines.view(value, dims)
    if math.prod(dims) < value.elements:
        return run.lines.part(value, dims, f"{value.name}_part")
    return run.lines.moved([value], f"{value.name}_padded", (value.dtype, dims), 0.0)


def letters_of(run: Run, groups: Groups) -> str:
    """What stands for groups until it is known which axes there are."""
    return run.groups.setdefault(groups, f"\0{len(run.groups)}\0")


def with_axes(items: Sequence[Any], letters: Sequence[str]) -> list[Any]:
    """Lines with the axes that collectives go over, where numbers stood in for them."""
    made: list[Any] = []
    for item in items:
        if isinstance(item, Mapping):
            made.append({**item, "ops": with_axes(item["ops"], letters)})
        elif "\0" in item:
            typed = re.sub("<\0(\\d+)\0>", lambda found: letters[int(found[1])].strip("[]").replace(", ", ""), item)
            made.append(_OVER.sub(lambda found: letters[int(found[1])], typed))
        else:
            made.append(item)
    return made
