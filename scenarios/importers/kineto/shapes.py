"""The op of a trace that recorded shapes (`record_shapes=True`), as a line that a model can price.

Model: matmuls, convolutions over two dims, attention and what goes over its largest input element by element are lines. Both
gradients of a convolution are taken for it, whose products they have. Other ops, and those without shapes, are none:
their kernels are scaled by what their chips can do at all.
Source: the schemas of aten's native functions; PyTorch records `Input Dims`, `Input type` and `Concrete Inputs` (numbers and
lists of these) of every op in their order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scenarios.importers.aten.names import ELEMENTWISE, ONE, TWO
from scenarios.importers.dtypes import dtype_named

Dims = tuple[int, ...]
Shaped = tuple[str, Dims]
"""The format and the sizes of an input."""

_SDPA = "_scaled_dot_product_"
_PASSES = frozenset(
    [*ELEMENTWISE, *ONE, *TWO, "copy", "fill", "zero", "native_layer_norm", "native_layer_norm_backward", "_softmax",
     "_log_softmax", "_softmax_backward_data", "_log_softmax_backward_data", "gelu_backward", "silu_backward", "sum", "mean",
     "tanh_backward", "sigmoid_backward", "_fused_rms_norm"]
)  # fmt: skip


def line_of(name: str, args: Mapping[str, Any]) -> str | None:
    """An op as a line; None where its shapes are not there, or no rule knows it."""
    op = name.rpartition("::")[2].rstrip("_")
    inputs = _inputs(args.get("Input Dims"), args.get("Input type"))
    if not any(dims for _, dims in inputs):
        return None
    try:
        if op in _RULES:
            return _RULES[op](inputs)
        if op in _CONVOLUTIONS:
            return _convolution(inputs, args.get("Concrete Inputs"), _CONVOLUTIONS[op])
        return _pass(inputs) if op in _PASSES else None
    except (IndexError, ValueError, ZeroDivisionError):
        return None


def _inputs(dims: Any, types: Any) -> list[Shaped]:
    """Inputs in order; those that are no tensors have no dims."""
    if not isinstance(dims, list) or not isinstance(types, list) or len(dims) != len(types):
        return []
    return [(dtype_named(str(said)) or "", _sizes(each)) for each, said in zip(dims, types, strict=True)]


def _sizes(said: Any) -> Dims:
    whole = isinstance(said, list) and all(isinstance(size, int) and size > 0 for size in said)
    return tuple(said) if whole else ()


def _typed(name: str, dtype: str, dims: Dims) -> str:
    return f"{name}:{dtype}[{','.join(map(str, dims))}]"


def _matmul(inputs: Sequence[Shaped]) -> str | None:
    (dtype, a), (_, b) = inputs
    if not dtype or len(a) < 2 or len(a) != len(b) or a[:-2] != b[:-2] or a[-1] != b[-2]:
        return None
    return f"{_typed('y', dtype, (*a[:-1], b[-1]))} = matmul({_typed('a', dtype, a)}, {_typed('b', dtype, b)})"


def _convolution(inputs: Sequence[Shaped], concrete: Any, places: Mapping[str, int]) -> str | None:
    """Of an image and a kernel over two dims, where its stride and the like are recorded."""
    at = places["image"]
    (dtype, image), (_, kernel) = inputs[at : at + 2]
    said = {key: _numbers(concrete, places[key]) for key in ("stride", "pad", "dilation", "groups")}
    if not dtype or len(image) != 4 or len(kernel) != 4 or not all(said.values()):
        return None
    if "transposed" in places and str(concrete[places["transposed"]]) == "True":
        return None
    stride, pad, dilation = (said[key] * (3 - len(said[key])) for key in ("stride", "pad", "dilation"))
    out = [
        (size + 2 * p - d * (tap - 1) - 1) // s + 1
        for size, tap, s, p, d in zip(image[2:], kernel[2:], stride, pad, dilation, strict=True)
    ]
    given = f"{_typed('x', dtype, image)}, {_typed('w', dtype, kernel)}"
    shown = ", ".join(f"{key}={list(value)}" for key, value in zip(_WINDOW, (stride, pad, dilation), strict=True))
    made = _typed("y", dtype, (image[0], kernel[0], *out))
    return f"{made} = conv2d({given}, {shown}, groups={said['groups'][0]})"


_WINDOW = ("stride", "pad", "dilation")


def _numbers(concrete: Any, at: int) -> Dims:
    """The numbers of a concrete input, `[1, 1]` or `1`; none where it is not recorded."""
    if not isinstance(concrete, list) or at >= len(concrete):
        return ()
    return tuple(int(each) for each in re.findall(r"-?\d+", str(concrete[at])))


def _attention(inputs: Sequence[Shaped], heads_first: bool, backward: bool) -> str | None:
    """Of q, k and v, which have their heads before or behind their places; whether it is causal changes no ratio much."""
    (dtype, q), (_, k), (_, v) = inputs
    if not dtype or not len(q) == len(k) == len(v) == 4:
        return None
    if not heads_first:
        q, k, v = ((each[0], each[2], each[1], each[3]) for each in (q, k, v))
    out = (*q[:3], v[3])
    given = [_typed(name, dtype, dims) for name, dims in zip("qkv", (q, k, v), strict=True)]
    if not backward:
        return f"{_typed('o', dtype, out)} = attention({', '.join(given)})"
    given += [_typed("o", dtype, out), _typed("d", dtype, out)]
    return f"{_typed('g', dtype, q)} = attention_backward({', '.join(given)})"


def _pass(inputs: Sequence[Shaped]) -> str | None:
    """Once over the largest input, and as much written."""
    dtype, dims = max(inputs, key=lambda each: math.prod(each[1]) if each[1] else 0)
    return f"{_typed('y', dtype, dims)} = elementwise({_typed('x', dtype, dims)})" if dtype else None


_GENERAL = {"image": 0, "stride": 3, "pad": 4, "dilation": 5, "transposed": 6, "groups": 8}
_LIBRARY = {"image": 0, "pad": 2, "stride": 3, "dilation": 4, "groups": 5}
_CONVOLUTIONS: Mapping[str, Mapping[str, int]] = {
    "conv2d": {"image": 0, "stride": 3, "pad": 4, "dilation": 5, "groups": 6},
    "convolution": _GENERAL,
    "_convolution": _GENERAL,
    "convolution_overrideable": _GENERAL,
    "cudnn_convolution": _LIBRARY,
    "miopen_convolution": {**_LIBRARY, "pad": 3, "stride": 4, "dilation": 5, "groups": 6},
    "convolution_backward": {"image": 1, "stride": 4, "pad": 5, "dilation": 6, "transposed": 7, "groups": 9},
}
"""Where a convolution has its image (its kernel stands behind it), and its numbers."""

_RULES: Mapping[str, Callable[[Sequence[Shaped]], str | None]] = {
    "mm": lambda given: _matmul(given[:2]),
    "bmm": lambda given: _matmul(given[:2]),
    "addmm": lambda given: _matmul(given[1:3]),
    "baddbmm": lambda given: _matmul(given[1:3]),
    "_flash_attention_forward": lambda given: _attention(given[:3], False, False),
    "_efficient_attention_forward": lambda given: _attention(given[:3], False, False),
    "_cudnn_attention_forward": lambda given: _attention(given[:3], True, False),
    "_flash_attention_backward": lambda given: _attention(given[1:4], False, True),
    "_efficient_attention_backward": lambda given: _attention(given[1:4], False, True),
    "_cudnn_attention_backward": lambda given: _attention(given[1:4], True, True),
    **{
        f"{_SDPA}{kind}_attention": lambda given: _attention(given[:3], True, False)
        for kind in ("flash", "efficient", "cudnn")
    },
    **{
        f"{_SDPA}{kind}_attention_backward": lambda given: _attention(given[1:4], True, True)
        for kind in ("flash", "efficient", "cudnn")
    },
}
