"""The options of ops: text to values. One table for ours, of which each kind names the rows that it takes; a kind may
bring readers of its own.

`tiles=4` pipeline steps · `chunks=8` pieces for overlap with a dependent op · `priority=1` for `run.order: ready` ·
`queue=side` another queue of the chip · `after=[a,b]` ops to wait for · `on=0`, `on=[0,1]` the chips to run on, `on=P@2`,
`on=P@[0,1]` all chips at these places along a mesh axis ·
`recompute=true` it only does again what was thrown away · `alike=[C, 2]` chips that do the same · `efficiency=30 %` of the
peaks of its units · `each=experts` a kernel for each place of a dim · `awaited=true` the host waits for what it makes ·
`over=XY` mesh axes, `over=A`, `over=[A,B]` named groups of chips · the rest belong to kinds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any

from hw import Dimension
from hw.input import parse, unknown
from simulator.graph.op_line import LineError, read_reference
from simulator.ops.kernel import Chips

Reader = Callable[[str], Any]
"""Turns the text of an option into its value; raises ValueError, with `{key}` where the option's name belongs."""

SCHEDULE_OPTIONS = ("tiles", "chunks", "priority", "queue", "after", "on")
"""When and how an op is issued."""

COMMON_OPTIONS = (*SCHEDULE_OPTIONS, "recompute", "alike", "efficiency", "each", "awaited")
"""What every kind takes."""

MAX_COUNT = 1_000_000

MAX_ROUNDING = Fraction(1, 10**6)
"""How far shares may be from 1 in all: they may be written with a few digits."""

_PART = re.compile(r"\d{1,9}(\.\d{0,18})?|\d{1,9}/0*[1-9]\d{0,8}")
_ALONG = re.compile(r"([A-Z]+)\s*@\s*")
_NAMES = re.compile(r"[A-Za-z_][\w.]*")


def count(raw: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch(r"\d{1,9}", raw) or not 1 <= int(raw) <= MAX_COUNT:
        raise ValueError(f"'{raw}' will not do: {{key}} wants a whole number from 1 to {MAX_COUNT}")
    return int(raw)


def _integer(raw: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", raw):
        raise ValueError(f"'{raw}' will not do: {{key}} wants a whole number")
    return int(raw)


def _not_negative(raw: str) -> int:
    number = _integer(raw)
    if number < 0:
        raise ValueError(f"'{raw}' will not do: {{key}} wants 0 or more")
    return number


def _quantity(dimension: Dimension) -> Callable[[str], float]:
    def read(raw: str) -> float:
        number = parse(raw, dimension)
        if number < 0:
            raise ValueError(f"'{raw}' will not do: {{key}} must not be negative")
        return number

    return read


def name_of(raw: str) -> str:
    """A name. Raises ValueError."""
    if not _NAMES.fullmatch(raw):
        raise ValueError(f"'{raw}' will not do: {{key}} wants a name")
    return raw


def _axis(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z]\w*|-?\d{1,3}", raw):
        raise ValueError(f"'{raw}' will not do: {{key}} wants the name of a dim, or its number")
    return raw


def _awaited(raw: str) -> tuple[str, ...]:
    for part in (part.strip() for part in raw.strip("[]").split(",")):
        try:
            read_reference(part)
        except LineError as error:
            raise ValueError(f"'{raw}' will not do: {{key}} wants names of ops; {error.message}") from None
    return tuple(part.strip() for part in raw.strip("[]").split(","))


def _chips(raw: str) -> Chips:
    along = _ALONG.match(raw)
    if "@" in raw and along is None:
        raise ValueError(
            f"'{raw}' will not do: {{key}} wants places along a mesh axis, a single capital: P@2, P@[0, 1]"
        )
    numbers = raw[along.end() :] if along else raw
    at = tuple(_not_negative(part.strip()) for part in numbers.strip("[]").split(","))
    return Chips(at, read_axes(along[1]) if along else "")


def read_axes(raw: str) -> str:
    """The mesh axes or named groups of `over=`: 'XY', or a list of single ones. Raises ValueError."""
    axes = "".join(part.strip() for part in raw.strip("[]").split(","))
    if not re.fullmatch(r"[A-Z]+", axes):
        raise ValueError(
            f"'{raw}' will not do: {{key}} wants mesh axes, single capitals such as X or XY, or named groups: [A, B]"
        )
    if len(set(axes)) < len(axes):
        raise ValueError(f"'{raw}' will not do: {{key}} wants each mesh axis or group once")
    return axes


def read_shares(raw: str) -> tuple[Fraction, ...]:
    """Parts of 1, one for each place. Raises ValueError."""
    parts = [part.strip() for part in raw.strip("[]").split(",")]
    if not all(map(_PART.fullmatch, parts)):
        raise ValueError(f"'{raw}' will not do: {{key}} wants parts of 1 such as [0.5, 1/3, 1/6]")
    shares = [Fraction(part) for part in parts]
    total = sum(shares, Fraction(0))
    if abs(total - 1) > MAX_ROUNDING:
        raise ValueError(f"'{raw}' will not do: the parts add up to {float(total):.7g}, {{key}} wants 1 in all")
    return tuple(share / total for share in shares)


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(unknown("value of {key}", raw, allowed))
        return raw

    return read


def _share(raw: str) -> float:
    share = parse(raw, Dimension.RATIO)
    if not 0 < share <= 1:
        raise ValueError(f"'{raw}' will not do: {{key}} wants a share, more than 0 and at most 1")
    return share


def _pair(read: Callable[[str], int]) -> Callable[[str], tuple[int, int]]:
    """One number for rows and columns alike, or one for each."""

    def pair(raw: str) -> tuple[int, int]:
        parts = [read(part.strip()) for part in raw.strip("[]").split(",")]
        if len(parts) > 2 or (len(parts) == 2 and not raw.startswith("[")):
            raise ValueError(f"'{raw}' will not do: {{key}} wants one number, or [rows, columns]")
        return parts[0], parts[-1]

    return pair


def plain(raw: str) -> int | float | bool | str:
    """A number, true or false, or the text as it is: for options that say nothing of how they are read."""
    if raw in ("true", "false"):
        return raw == "true"
    with suppress(ValueError):
        return int(raw)
    with suppress(ValueError):
        number = float(raw)
        if math.isfinite(number):
            return number
    return raw


def _alike(raw: str) -> tuple[str, int]:
    """Mesh axes whose chips do the same, and how many others do."""
    axes, chips = "", 1
    for part in map(str.strip, raw.strip("[]").split(",")):
        if re.fullmatch(r"[A-Z]+", part) and not set(part) & set(axes):
            axes += part
        elif re.fullmatch(r"\d{1,9}", part):
            chips *= count(part)
        else:
            raise ValueError(f"'{raw}' will not do: {{key}} wants mesh axes, or numbers of chips, as in [C, 2]")
    return axes, chips


def _flag(raw: str) -> bool:
    return _choice("true", "false")(raw) == "true"


OPTION_READERS: Mapping[str, Reader] = {
    "tiles": count,
    "chunks": count,
    "priority": _integer,
    "queue": name_of,
    "after": _awaited,
    "on": _chips,
    "efficiency": _share,
    "over": read_axes,
    "root": _not_negative,
    "shift": _integer,
    "shares": read_shares,
    "algorithm": name_of,
    "from": _not_negative,
    "to": _not_negative,
    "flops": _quantity(Dimension.WORK),
    "bytes": _quantity(Dimension.DATA),
    "time": _quantity(Dimension.TIME),
    "delay": _quantity(Dimension.TIME),
    "unit": _choice("matrix", "vector"),
    "kind": _choice("standard", "flash", "linear", "fused_softmax", "scripted_softmax"),
    "dropout": _flag,
    "causal": _flag,
    "train": _flag,
    "axis": _axis,
    "window": _pair(count),
    "stride": _pair(count),
    "pad": _pair(_not_negative),
    "dilation": _pair(count),
    "groups": count,
    "density": _share,
    "met": _share,
    "access": _choice("once", "random"),
    "line": _quantity(Dimension.DATA),
    "recompute": _flag,
    "alike": _alike,
    "in_place": _flag,
    "logprobs": _flag,
    "turned": _flag,
    "one_hot": _flag,
    "ragged": _axis,
    "filled": _share,
    "each": _axis,
    "awaited": _flag,
}
