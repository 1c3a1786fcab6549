"""Views: ops that only give a tensor another name and layout, such as the own shard of a whole dim.

Model: a view is no kernel. What reads it reads the tensor that it was taken from, in the view's own bytes, and what waits
for it waits for the op that made that tensor; so the tensor stays in memory until the last reader of its views is done,
and a view holds nothing of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from simulator.graph.items import Op
from simulator.ops.kernel import Kernel
from simulator.ops.registry import find_kind


def viewed(ops: Iterable[Op]) -> Mapping[str, str]:
    """The tensor behind each view, by the view's name; `ops` in program order, blocks unrolled."""
    behind: dict[str, str] = {}
    for op in ops:
        if find_kind(op).view:
            source = op.inputs[0].name
            behind[op.name] = behind.get(source, source)
    return behind


def seen_through(kernel: Kernel, behind: Mapping[str, str]) -> Kernel:
    """The kernel on the tensors behind its views."""
    if not behind:
        return kernel
    reads = tuple(replace(access, tensor=behind.get(access.tensor, access.tensor)) for access in kernel.reads)
    after = tuple(behind.get(name, name) for name in kernel.schedule.after)
    return replace(
        kernel,
        reads=reads,
        schedule=replace(kernel.schedule, after=after),
        grown=tuple((name, behind.get(into, into)) for name, into in kernel.grown),
        parts=tuple(seen_through(part, behind) for part in kernel.parts),
    )
