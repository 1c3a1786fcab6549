"""Experts that a library goes through one by one, as Megatron-Core's do with Transformer Engine.

Model: the matmuls of experts are a kernel for each expert that the chip has, and so are the casts of what they read and the
search for its largest number: what each op does is the same, but it is issued, and begins, so often. That matmuls run on
several streams does not hide their starts: twice as many experts with as much to do take some 2.7 us longer for each more.
Source: NVIDIA Transformer Engine, pytorch/module/grouped_linear.py and common/gemm (cuBLAS on four streams); times of
these on an H100: github:NVIDIA/TransformerEngine pull request 2045.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat

_KINDS = ("matmul", "matmul_add", "cast")

_EXPERTS = ("experts", "used")
"""Dims of experts: all of them, or those that some token goes to."""


def experts_apart(items: Items) -> Items:
    """Items whose ops of experts are a kernel for each expert."""
    return tuple(_apart(items))


def _apart(items: Items) -> Iterator[Op | Repeat]:
    for item in items:
        if isinstance(item, Repeat):
            yield replace(item, items=tuple(_apart(item.items)))
            continue
        first = item.output.dims[0].size if item.output.dims else ""
        if item.kind in _KINDS and first in _EXPERTS:
            yield replace(item, options=(*item.options, ("each", str(first))))
        else:
            yield item
