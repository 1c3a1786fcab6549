"""Opcodes by what they do with their operands, where no rule of their own says it."""

from __future__ import annotations

SAME = frozenset(
    [
        "copy-start",
        "async-update",
        "add-dependency",
        "domain",
        "set-dimension-size",
        "sharding-constraint",
    ]
)
"""What makes nothing new."""

MOVES = frozenset(
    [
        "copy",
        "transpose",
        "concatenate",
        "pad",
        "reverse",
        "dynamic-reshape",
        "broadcast",
        "sort",
        "topk",
        "top-k",
        "rng",
        "rng-uniform",
        "rng-bit-generator",
        "select-and-scatter",
    ]
)
"""What reads all that it is given and writes all that it makes, without arithmetic that counts."""

_READ = """
dot convolution all-reduce all-gather reduce-scatter all-to-all collective-permute slice dynamic-slice gather
dynamic-update-slice scatter transpose reshape call
"""
IN_MEMORY = frozenset(_READ.split())
"""What reads all of its operands, where others read what was broadcast."""

ARRAYS = {
    "dot": 2, "convolution": 2, "broadcast": 1, "transpose": 1, "reshape": 1, "bitcast": 1, "bitcast-convert": 1, "slice": 1,
    "fft": 1, "dynamic-slice": 1, "dynamic-update-slice": 2, "gather": 2, "scatter": 3, "collective-permute": 1,
    "collective-permute-start": 1, "ragged-dot": 2, "get-tuple-element": 0, "while": 0,
}  # fmt: skip
"""How many operands must be arrays."""
