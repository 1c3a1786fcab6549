"""A calibration as the text of a chip's file: units where there are some, four digits, what is as usual left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from hw import Dimension
from hw.chips import KernelTimes
from hw.input import QuantityOf, Spec

_UNITS = ((1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"), (1e-12, "ps"))


def block_text(times: KernelTimes) -> str:
    """`calibration: {measured: {kernels: ...}}`, ready to be pasted."""
    return "\n".join(["calibration:", "  measured:", "    kernels:", *_lines(times, 6)]) + "\n"


def _lines(spec: Spec, indent: int) -> Iterator[str]:
    pad = " " * indent
    for name, field in type(spec).model_fields.items():
        value, key = getattr(spec, name), field.alias or name
        if value is None or value == field.default or value in ("", {}):
            continue
        if isinstance(value, Spec):
            yield f"{pad}{key}:"
            yield from _lines(value, indent + 2)
        elif key == "kinds":
            yield f"{pad}{key}:"
            yield from (f"{pad}  {kind}: {_inline(each)}" for kind, each in sorted(value.items()))
        else:
            yield f"{pad}{key}: {_text(value, _is_time(field.metadata, field.annotation))}"


def _inline(spec: Spec) -> str:
    return "{" + ", ".join(line.strip() for line in _lines(spec, 0)) + "}"


def _is_time(metadata: Iterable[Any], annotation: Any) -> bool:
    """Whether a field is a time, or a time or nothing."""
    if any(isinstance(each, QuantityOf) and each.dimension is Dimension.TIME for each in metadata):
        return True
    return any(_is_time(getattr(part, "__metadata__", ()), None) for part in get_args(annotation))


def _text(value: Any, is_time: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_text(each, False)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(each, False) for each in value) + "]"
    if is_time:
        size, unit = next((each for each in _UNITS if value >= each[0]), _UNITS[-1])
        return f"{value / size:.4g} {unit}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
