"""What instructions cost, by their shapes: FLOPs of dots, convolutions and everything element by element, and those of whole
computations, as a fusion is.

Model: a dot is 2 FLOP a multiply-add, a convolution 2 for each tap of each output element. A reduction is one for each
element that goes in (over windows, each element of each window but one), other arithmetic one (or as many as `FLOPS` says)
for each that comes out; moving costs none.
Of a fusion each operand is read once, only as far as it is sliced, and what it makes is written once; a fusion that
updates a part of an operand writes that part.
Source: the StableHLO specification (dot_general, convolution); XLA's HloCostAnalysis counts the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from scenarios.importers.hlo.module import Computation, Instruction, Module, Shape, leaves, why
from simulator import DTYPE_BYTES

FREE = frozenset(
    [
        "parameter",
        "constant",
        "iota",
        "tuple",
        "get-tuple-element",
        "bitcast",
        "bitcast-convert",
        "reshape",
        "after-all",
        "add-dependency",
        "domain",
        "opt-barrier",
        "optimization-barrier",
        "partition-id",
        "replica-id",
        "get-dimension-size",
        "return",
    ]
)
"""What costs nothing, whatever its size: no kernel, or another name for the same bytes."""

NAMED = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "maximum": "max", "minimum": "min", "tanh": "tanh",
    "exponential": "exp", "negate": "neg", "abs": "abs", "sqrt": "sqrt", "rsqrt": "rsqrt", "logistic": "sigmoid",
    "select": "where", "convert": "cast", "square": "square",
}  # fmt: skip
"""Arithmetic that has an op kind of its own."""

_ONCE = """
add subtract multiply divide maximum minimum negate abs sqrt rsqrt exponential exponential-minus-one log log-plus-one tanh
logistic sine cosine tan power remainder sign floor ceil round-nearest-afz round-nearest-even compare and or not xor
shift-left shift-right-logical shift-right-arithmetic is-finite atan2 cbrt erf erf-inv popcnt count-leading-zeros map square
asin acos atan sinh cosh asinh acosh atanh erfc lgamma digamma is-inf is-neg-inf is-pos-inf next-after
"""
_NEVER = "convert select reduce-precision real imag complex stochastic-convert"

FLOPS: Mapping[str, int] = {**dict.fromkeys(_ONCE.split(), 1), **dict.fromkeys(_NEVER.split(), 0), "clamp": 2}
"""Arithmetic element by element: FLOP for each element of the output."""

_NUMBERS = re.compile(r"-?\d+")
_PAD = re.compile(r"(-?\d+)_(-?\d+)")


def numbers(text: str | None) -> tuple[int, ...]:
    """The whole numbers in an attribute: `{0,1}`."""
    return tuple(int(each) for each in _NUMBERS.findall(text or ""))


@dataclass(frozen=True)
class Dot:
    """A dot as batch x [m,k] x [k,n]."""

    batch: int
    m: int
    n: int
    k: int

    @property
    def flops(self) -> float:
        """Two a multiply-add."""
        return 2.0 * self.batch * self.m * self.n * self.k


def dot_of(made: Instruction, a: Shape, b: Shape) -> Dot:
    """The sizes of a dot. Raises ValueError where dims are named that its operands do not have."""
    said = {key: numbers(made.attributes.get(key)) for key in _DOT}
    wrong = [key for key, dims in said.items() for at in dims if at >= len((a if key.startswith("lhs") else b).dims)]
    if wrong:
        raise ValueError(f"{wrong[0]} names a dim that its operand does not have")
    batch = math.prod(a.dims[at] for at in said["lhs_batch_dims"])
    k = math.prod(a.dims[at] for at in said["lhs_contracting_dims"])
    other = math.prod(b.dims[at] for at in (*said["rhs_batch_dims"], *said["rhs_contracting_dims"]))
    if other != batch * k:
        raise ValueError("what is contracted and what is batch differs in size between its operands")
    whole_a, whole_b = math.prod(a.dims), math.prod(b.dims)
    return Dot(batch, whole_a // max(1, batch * k), whole_b // max(1, other), k)


_DOT = ("lhs_batch_dims", "lhs_contracting_dims", "rhs_batch_dims", "rhs_contracting_dims")


@dataclass(frozen=True)
class Window:
    """A convolution over two dims, in the words of NCHW; `plain`: whether `conv2d` says all of it."""

    flops: float
    image: tuple[int, ...]
    kernel: tuple[int, ...]
    made: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    plain: bool


def window_of(made: Instruction, image: Shape, kernel: Shape) -> Window:
    """The sizes of a convolution. Raises ValueError for labels that do not fit."""
    labels = re.fullmatch(r"(\w+)_(\w+)->(\w+)", made.attributes.get("dim_labels", ""))
    out = leaves(made.type)[0]
    if labels is None or any(
        len(part) != len(s.dims) for part, s in zip(labels.groups(), (image, kernel, out), strict=True)
    ):
        raise ValueError("dim_labels such as b01f_01io->b01f are wanted, with a letter for each dim")
    places = [{letter: at for at, letter in enumerate(part)} for part in labels.groups()]
    spatial = sorted(letter for letter in places[0] if letter.isdigit())
    if not all({"b", "f", *spatial} <= set(places[at]) for at in (0, 2)) or not {"i", "o", *spatial} <= set(places[1]):
        raise ValueError("dim_labels do not name the same dims on all sides")
    said = dict(part.split("=", 1) for part in made.attributes.get("window", "{}").strip("{}").split() if "=" in part)
    taps = [kernel.dims[places[1][each]] for each in spatial]
    inner = kernel.dims[places[1]["i"]]
    groups = numbers(made.attributes.get("feature_group_count", "1")) or (1,)
    spread = _list(said, "lhs_dilate", spatial)
    pads = [(int(low), int(high)) for low, high in _PAD.findall(said.get("pad", ""))] or [(0, 0)] * len(spatial)
    ordered = [
        tuple(shape.dims[place[each]] for each in (*first, *spatial))
        for shape, place, first in ((image, places[0], "bf"), (kernel, places[1], "oi"), (out, places[2], "bf"))
    ]
    steps, holes = _list(said, "stride", spatial), _list(said, "rhs_dilate", spatial)
    met = [
        _taps_met(ordered[0][2 + at], taps[at], ordered[2][2 + at], (steps[at], holes[at], spread[at], pads[at][0]))
        for at in range(len(spatial))
    ]
    plain = len(spatial) == 2 and spread == (1, 1) and all(low == high >= 0 for low, high in pads)
    plain = plain and "batch_group_count" not in made.attributes
    return Window(
        flops=2.0 * out.dims[places[2]["b"]] * out.dims[places[2]["f"]] * inner * math.prod(met),
        image=ordered[0],
        kernel=ordered[1],
        made=ordered[2],
        stride=steps,
        pad=tuple(low for low, _ in pads),
        dilation=holes,
        groups=groups[0],
        plain=plain,
    )


def _taps_met(size: int, taps: int, made: int, how: tuple[int, int, int, int]) -> int:
    """Taps of all outputs along one dim. Of an input that is spread out (the gradient of a strided convolution, or a
    transposed one) only those count that meet an element of it, as XLA counts; padding is multiplied like the rest."""
    stride, hole, spread, pad = how
    if spread == 1:
        return made * taps
    last = (size - 1) * spread
    reached = (at * stride - pad + tap * hole for at in range(made) for tap in range(taps))
    return sum(1 for place in reached if 0 <= place <= last and not place % spread)


def _list(said: Mapping[str, str], key: str, spatial: list[str]) -> tuple[int, ...]:
    found = numbers(said.get(key, "").replace("x", " "))
    return found if len(found) == len(spatial) else (1,) * len(spatial)


@dataclass
class Cost:
    """FLOPs of a computation."""

    matrix: float = 0.0
    vector: float = 0.0

    def add(self, other: Cost) -> None:
        """Both together."""
        self.matrix += other.matrix
        self.vector += other.vector


def nbytes(shape: Shape) -> float:
    """The size of an array; nothing for what holds no numbers."""
    return math.prod(shape.dims) * DTYPE_BYTES[shape.dtype] if shape.dtype else 0.0


def cost_of(module: Module, computation: Computation) -> Cost:
    """The FLOPs of everything in a computation, and in what it calls. Raises SpecError."""
    types = {each.name: each for each in computation.instructions}
    total = Cost()
    for each in computation.instructions:
        try:
            total.add(_cost(module, each, [types[name] for name in each.operands if name in types]))
        except (ValueError, IndexError) as error:
            raise module.refusal(each.line, f"{each.name}: {why(error)}") from None
    return total


def _cost(module: Module, each: Instruction, operands: list[Instruction]) -> Cost:
    shapes = [leaves(operand.type)[0] for operand in operands if leaves(operand.type)]
    out = sum(math.prod(shape.dims) for shape in leaves(each.type))
    if each.opcode == "dot":
        return Cost(matrix=dot_of(each, shapes[0], shapes[1]).flops)
    if each.opcode == "convolution":
        return Cost(matrix=window_of(each, shapes[0], shapes[1]).flops)
    if each.opcode in ("fusion", "call"):
        called = module.computations.get(called_by(each))
        return cost_of(module, called) if called is not None else Cost()
    if each.opcode == "reduce-window":
        return Cost(vector=window_flops(each, out))
    if each.opcode == "reduce":
        return Cost(vector=float(sum(math.prod(shape.dims) for shape in shapes[: max(1, len(shapes) // 2)])))
    return Cost(vector=float(FLOPS.get(each.opcode, 0) * out))


def window_flops(each: Instruction, out: int) -> float:
    """What a reduction over windows adds up: of each output all of its window but one, overlap or not."""
    sizes = re.search(r"size=([\dx]+)", each.attributes.get("window", ""))
    window = math.prod(int(size) for size in sizes[1].split("x")) if sizes else 2
    return float(out * max(1, window - 1))


def called_by(each: Instruction, key: str = "") -> str:
    """The name of the computation that an instruction calls."""
    said = each.attributes.get(key) if key else each.attributes.get("calls", each.attributes.get("to_apply", ""))
    return (said or "").lstrip("%")


def branches_of(each: Instruction) -> list[str]:
    """The computations among which a conditional chooses."""
    names = re.findall(r"[\w.\-]+", each.attributes.get("branch_computations", ""))
    names = names or [name for key, name in each.attributes.items() if re.fullmatch(r"branch\d+", key)]
    return names or [called_by(each, key) for key in ("true_computation", "false_computation")]


_SLICES = ("dynamic-slice", "slice", "gather")


def read_bytes(computation: Computation, at: int, whole: Shape) -> float:
    """How much of its operand number `at` a fusion reads: all of it, or the slices that are all that it takes of it."""
    parameters = computation.parameters
    if at >= len(parameters):
        return nbytes(whole)
    name = parameters[at].name
    users = [each for each in computation.instructions if name in each.operands]
    if not users or not all(_takes_part(each, name) for each in users):
        return nbytes(whole)
    return sum(nbytes(leaves(each.type)[0]) for each in users if each.opcode in _SLICES)


def _takes_part(user: Instruction, name: str) -> bool:
    """Whether an instruction takes slices of an operand, or updates a part of it in place."""
    return (user.opcode in _SLICES or user.opcode == "dynamic-update-slice") and user.operands[0] == name


def written_bytes(computation: Computation, made: Shape) -> float:
    """How much a fusion writes: all that it makes, or the part that it updates."""
    root = next((each for each in computation.instructions if each.name == computation.root), None)
    if root is None or root.opcode != "dynamic-update-slice":
        return nbytes(made)
    update = next((each for each in computation.instructions if each.name == root.operands[1]), None)
    return nbytes(leaves(update.type)[0]) if update is not None else nbytes(made)
