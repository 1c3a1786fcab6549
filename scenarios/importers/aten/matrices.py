"""Rules of aten ops that multiply matrices: matmuls, convolutions, attention, forward and backward.

Source: torch.utils.flop_counter counts the same FLOPs (of attention without its mask).
"""

from __future__ import annotations

import math
from typing import Any

from scenarios.importers.aten.names import ATTENTION
from scenarios.importers.aten.walk import Like, Tree, Walk, flat, rule
from scenarios.importers.op_lines import Value


def _product(walk: Walk, node: Any, a: Value, b: Value) -> Value:
    """a[..., m, k] with b[..., k, n]; vectors have no m, or no n."""
    dtype, dims = walk.like(node)
    k = a.dims[-1]
    if len(b.dims) <= 2:
        n = b.dims[1] if len(b.dims) == 2 else 1
        m = a.elements // k
        return walk.lines.matmul((a, b), (1, m, n, k), node.name, (dtype, dims))
    m = a.dims[-2] if len(a.dims) > 1 else 1
    n = b.dims[-1]
    batch = math.prod(dims) // max(1, m * n)
    lead = dims[: len(dims) - 2]
    pair = walk.whole(a, (*lead, m, k)), walk.whole(b, (*lead, k, n))
    return walk.lines.matmul(pair, (batch, m, n, k), node.name, (dtype, dims))


@rule("mm", "bmm", "matmul", "mv", "dot", "vdot", "_int_mm", "_scaled_mm", "_scaled_mm_v2", "_scaled_grouped_mm")
def _matmul(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return _product(walk, node, arguments[0], arguments[1])


@rule("_grouped_mm", "grouped_mm", "grouped_mm_fallback")
def _grouped(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """Rows by the matrix of their group: each row is multiplied once, the matrices are read once."""
    inputs = list(flat([*arguments, *named.values()]))
    dtype, dims = walk.like(node)
    rows = inputs[0]
    flops = 2.0 * rows.elements * dims[-1] if len(rows.dims) == 2 else 2.0 * math.prod(dims) * rows.dims[-1]
    moved = sum(value.nbytes for value in inputs) + walk.nbytes(node)
    said = f"flops={flops:.15g} FLOP", f"bytes={moved:.15g} B", "unit=matrix"
    return walk.lines.op("custom", inputs, node.name, (dtype, dims), *said)


@rule("linear")
def _linear(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """x[..., k] with w[n, k], and a bias as it is written."""
    x, w = arguments[0], arguments[1]
    dtype, dims = walk.like(node)
    turned = walk.lines.view(w, (w.dims[1], w.dims[0])) if len(w.dims) == 2 else w
    bias = arguments[2] if len(arguments) > 2 else None
    if len(x.dims) < 2 or len(w.dims) != 2:
        return _product(walk, node, x, turned)
    made = walk.lines.op("matmul", [x, turned], node.name, (dtype, dims))
    return _biased(walk, made, bias, (dtype, dims))


@rule("addmm", "baddbmm", "addbmm")
def _addmm(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    made = _product(walk, node, arguments[1], arguments[2])
    return _biased(walk, made, arguments[0], walk.like(node))


def _biased(walk: Walk, made: Value, bias: Any, like: Like) -> Value:
    """A sum that is written by the kernel which makes what it is added to."""
    if not isinstance(bias, Value):
        return made
    added = walk.lines.op("add", [made, bias], f"{made.name}_bias", like)
    if walk.lines.is_last_pair(made, added):
        walk.fused.append([made.name, added.name])
    return added


@rule(
    "conv1d",
    "conv2d",
    "conv3d",
    "convolution",
    "_convolution",
    "conv_transpose2d",
    "conv_transpose1d",
    "conv_transpose3d",
    "cudnn_convolution",
)
def _convolution(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    said = _Convolution(node, arguments, named)
    dtype, dims = walk.like(node)
    if not said.plain:
        moved = sum(value.nbytes for value in (said.image, said.kernel)) + Value("", dtype, dims).nbytes
        options = (f"flops={said.flops(dims):.15g} FLOP", f"bytes={moved:.15g} B", "unit=matrix")
        return walk.lines.op("custom", [said.image, said.kernel], node.name, (dtype, dims), *options)
    shown = tuple(f"{key}=[{', '.join(map(str, value))}]" for key, value in said.options())
    groups = (f"groups={said.groups}",) if said.groups > 1 else ()
    made = walk.lines.op("conv2d", [said.image, said.kernel], node.name, (dtype, dims), *shown, *groups)
    bias = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], Value) else None
    if bias is None:
        return made
    return _biased(walk, made, walk.lines.view(bias, (bias.elements, 1, 1)), (dtype, dims))


class _Convolution:
    """The arguments of a convolution, whichever op it is."""

    def __init__(self, node: Any, arguments: list[Any], named: dict[str, Any]) -> None:
        self.image, self.kernel = arguments[0], arguments[1]
        self.turned = "transpose" in str(node.target) or (len(arguments) > 6 and arguments[6] is True)
        general = "convolution" in str(node.target)
        rest = [*arguments[3:], None, None, None, None]
        spatial = len(self.image.dims) - 2
        self.stride = _each(named.get("stride", rest[0]), spatial, 1)
        self.pad = _each(named.get("padding", rest[1]), spatial, 0)
        self.dilation = _each(named.get("dilation", rest[2]), spatial, 1)
        groups = arguments[8] if general and len(arguments) > 8 else rest[3] if not general else 1
        self.groups = named.get("groups", groups) or 1
        self.plain = spatial == 2 and not self.turned and all(isinstance(each, int) for each in self.pad)

    def options(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """What `conv2d` takes."""
        return ("stride", self.stride), ("pad", self.pad), ("dilation", self.dilation)

    def flops(self, out: tuple[int, ...]) -> float:
        """Two for each tap of each output element; of a transposed one, of each input element."""
        taps = math.prod(self.kernel.dims[2:])
        over = self.image.dims if self.turned else out
        return float(2 * math.prod(over) * self.kernel.dims[1] * taps)


def _each(said: Any, count: int, usual: int) -> tuple[int, ...]:
    """A number for each dim."""
    if said is None:
        return (usual,) * count
    if isinstance(said, list | tuple):
        return tuple(said) if len(said) == count else tuple(said) * count
    return (said,) * count


@rule("convolution_backward")
def _convolution_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """As many FLOPs as forward for each gradient that is wanted, of the input and of the weight."""
    given, image, kernel = arguments[0], arguments[1], arguments[2]
    wanted = [bool(each) for each in arguments[10][:2]]
    over = image.elements if arguments[7] is True else given.elements
    flops = 2.0 * over * kernel.dims[1] * math.prod(kernel.dims[2:]) * sum(wanted)
    moved = given.nbytes * sum(wanted) + (image.nbytes + kernel.nbytes) * sum(wanted)

    def make(label: str, like: Like) -> Value:
        said = f"flops={flops:.15g} FLOP", f"bytes={moved:.15g} B", "unit=matrix"
        return walk.lines.op("custom", [given, image, kernel], label, like, *said)

    return walk.made(node, make)


@rule(*ATTENTION)
def _attention(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """Attention as one kernel; of a mask that is a tensor only what is worked out is known to be left out."""
    q, k, v = arguments[:3]
    if node.name not in walk.known:
        walk.masks += len(list(flat([arguments[3:5], named.get("attn_mask")])))
    options = _options(walk, node, arguments[4:7], named)
    return walk.made(node, lambda label, like: walk.lines.op("attention", [q, k, v], label, like, *options))


@rule(*(f"{name}_backward" for name in ATTENTION))
def _attention_backward(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """The gradients of attention, of whose schemas each has the output in another place."""
    name = str(node.target)
    at = 5 if "efficient" in name else 6 if "overrideable" in name else 4
    given, q, k, v = arguments[:4]
    out = arguments[at]
    options = _options(walk, node, arguments[at + 1 :], named)
    inputs = [q, k, v, out, walk.whole(given, out.dims)]
    return walk.made(node, lambda label, like: walk.lines.op("attention_backward", inputs, label, like, *options))


def _options(walk: Walk, node: Any, rest: list[Any], named: dict[str, Any]) -> list[str]:
    """What an attention op of ours is told: what its mask leaves out, or that it is causal."""
    if node.name in walk.known:
        return ["kind=flash", *walk.known[node.name]]
    causal = named.get("is_causal", False) or any(each is True for each in rest)
    return ["kind=flash", *(["causal=true"] if causal else [])]
