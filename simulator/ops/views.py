"""Views: ops that only give a tensor another name and layout, such as the own shard of a whole dim.

Model: a view is no kernel. What reads it reads what lies behind it, in the view's own bytes, and what comes after it comes
after the ops that made that; so the tensors behind it stay in memory until the last reader of their views is done, and a
view holds nothing of its own. Of several tensors behind one view the first has the bytes, the others are waited for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from simulator.ops.kernel import Access, Kernel
from simulator.ops.tiling import WiderTiling

Behind = Mapping[str, Sequence[str]]
"""The tensors behind each view, by the view's name."""

Sizes = Mapping[str, float]
"""Bytes of tensors that lie behind views, as far as they are known."""


def seen_through(kernel: Kernel, behind: Behind, sizes: Sizes) -> Kernel:
    """The kernel on the tensors behind its views. `sizes`: of these."""
    if not behind:
        return kernel
    reads = tuple(_through(kernel.reads, behind, sizes))
    more = len(reads) - len(kernel.reads)
    return replace(
        kernel,
        reads=reads,
        tiling=WiderTiling(kernel.tiling, more) if more and kernel.tiling is not None else kernel.tiling,
        grown=tuple((name, each) for name, into in kernel.grown for each in behind.get(into, (into,))),
        parts=tuple(seen_through(part, behind, sizes) for part in kernel.parts),
    )


def _through(reads: Iterable[Access], behind: Behind, sizes: Sizes) -> Iterator[Access]:
    awaited: list[Access] = []
    for access in reads:
        if access.tensor not in behind:
            yield access
            continue
        first, *others = behind[access.tensor]
        yield replace(access, tensor=first, view=access.tensor, whole=sizes.get(first, math.inf))
        awaited += [replace(access, tensor=other, nbytes=0.0) for other in others]
    # last, so that each read keeps its place among those that a tiling counts
    yield from awaited
