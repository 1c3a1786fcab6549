"""Number formats: bytes per element, and which peak serves when a chip lacks the exact one.

Rule (DESIGN): an op runs at the peak of its widest input dtype; where the unit has no such peak, at that of the next wider
dtype. bf16 and fp16 are one width and stand in for each other before anything wider does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hw.input import unknown

DTYPE_BYTES: Mapping[str, float] = {
    "fp64": 8, "int64": 8, "fp32": 4, "tf32": 4, "int32": 4, "bf16": 2, "fp16": 2, "int16": 2,
    "fp8": 1, "int8": 1, "bool": 1, "fp4": 0.5, "int4": 0.5,
}  # fmt: skip
"""Bytes of one element, narrow formats packed."""

_FLOATS = ("bf16", "fp16", "tf32", "fp32", "fp64")
_FALLBACKS: Mapping[str, tuple[str, ...]] = {
    "fp64": (),
    "int64": ("fp64",),
    "fp32": ("fp64",),
    "tf32": ("fp32", "fp64"),
    "int32": ("fp32", "fp64"),
    "bf16": ("fp16", "tf32", "fp32", "fp64"),
    "fp16": ("bf16", "tf32", "fp32", "fp64"),
    "int16": ("int32", *_FLOATS[2:]),
    "fp8": _FLOATS,
    "int8": _FLOATS,
    "bool": ("int8", *_FLOATS),
    "fp4": ("fp8", *_FLOATS),
    "int4": ("int8", *_FLOATS),
}


def is_narrow(dtype: str) -> bool:
    """Whether numbers are so narrow that nothing is added up in them: gradients are wider."""
    return DTYPE_BYTES[dtype] < DTYPE_BYTES["bf16"]


def widest(dtypes: Iterable[str]) -> str:
    """The widest of some dtypes; the first of equals."""
    return max(dtypes, key=lambda dtype: DTYPE_BYTES[dtype])


def usable_dtype(dtype: str, peaks: Iterable[str]) -> str | None:
    """The dtype whose peak serves `dtype` on a unit with `peaks`, or None if it has none as wide."""
    available = set(peaks)
    return next((name for name in (dtype, *_FALLBACKS[dtype]) if name in available), None)


def check_dtype(dtype: str) -> str | None:
    """The message for a dtype that does not exist, else None."""
    return None if dtype in DTYPE_BYTES else unknown("dtype", dtype, DTYPE_BYTES)
