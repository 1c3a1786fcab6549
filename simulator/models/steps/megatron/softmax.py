"""Which softmax Megatron-LM's attention has: its own kernel's, or its script's.

Model: a block of the kernel goes over rows of scores of four heads, so that it is used where heads and sequences on a chip
make a multiple of four, and queries do. Eight tensor-parallel chips leave two of sixteen heads: with one sequence a
microbatch the script does it op by op, with two the kernel does.
Assumes: no sequence is longer than the kernel takes (2,048 keys in 2021, 4,096 in 2022, 16,384 since).
Source: NVIDIA Megatron-LM, megatron/model/fused_softmax.py (custom_kernel_constraint, later is_kernel_available).
"""

from __future__ import annotations

import math

_TOGETHER = 4
"""Heads whose rows a block of the kernel has (four warps of one row each), and what its queries come in."""


def softmax_of(heads: int, microbatch: int, queries: int) -> str:
    """The `kind` of attention that is asked to have a fused softmax, of so many heads on a chip."""
    fits = heads * microbatch % _TOGETHER == 0 and queries % _TOGETHER == 0
    return "fused_softmax" if fits else "scripted_softmax"


def softmax_sequences(heads: int) -> int:
    """The smallest microbatch with which so many heads on a chip have the kernel."""
    return _TOGETHER // math.gcd(heads, _TOGETHER)
