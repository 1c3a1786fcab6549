"""The registry of op kinds: a kind turns a call (local shapes and options) into kernels.

A kind is a small pure function with a row in the registry; FLOPs, bytes and unit of each stand in its docstring. Rules
that hold for all: every distinct input is read once and the output written once; contractions run on the matrix unit at
the peak of the widest input dtype, everything else on the vector unit; an unknown kind is an error, never free.
To add one: decorate a function with `@kind(...)` (see docs in `simulator.ops.kinds.vector` for examples).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from hw.input import need_function, need_name, shown, unknown
from hw.rows import distinct
from simulator.graph.dtypes import DTYPE_BYTES, widest
from simulator.graph.items import Op, Tensor
from simulator.graph.split import Cut
from simulator.ops.adjoint import Backward
from simulator.ops.kernel import Access, Kernel
from simulator.ops.loops import Loops, named_loops
from simulator.ops.options import COMMON_OPTIONS, OPTION_READERS, Reader, plain


class ShapeError(ValueError):
    """The shapes or options of an op do not fit its kind. `part` is what to point at (an option, 'out', 'in0')."""

    def __init__(self, message: str, part: str = "kind") -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True, slots=True)
class Shaped:
    """A tensor with its local sizes on one chip, its whole sizes over all chips, and those with what shards are padded
    by; `cut`: which part is the chip's."""

    tensor: Tensor
    sizes: tuple[int, ...]
    whole: tuple[int, ...] = ()
    padded: tuple[int, ...] = ()
    cut: Cut | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The tensor's name."""
        return self.tensor.name

    @property
    def dtype(self) -> str:
        """The tensor's dtype."""
        return self.tensor.dtype

    @property
    def elements(self) -> int:
        """How many elements one chip holds."""
        count = 1
        for size in self.sizes:
            count *= size
        return count

    @property
    def nbytes(self) -> float:
        """How many bytes one chip holds."""
        return self.elements * DTYPE_BYTES[self.dtype]

    @property
    def access(self) -> Access:
        """The whole of it, moved once."""
        return Access(self.name, self.nbytes, self.tensor.memory, DTYPE_BYTES[self.dtype])

    def begins(self, place: int) -> Sequence[int]:
        """Where along a dim the chips begin that have as much of it as this one; a range where all have as much."""
        dim, whole = self.tensor.dims[place], self.whole[place]
        return (
            self.cut.begins(whole, dim.axes, dim.size)
            if self.cut is not None
            else range(0, whole, self.sizes[place] or 1)
        )

    def by_name(self) -> dict[str, int]:
        """Local size of every dim by its name; integer dims count under their size and place."""
        return {
            dim.size if isinstance(dim.size, str) else f"{dim.size}@{place}": size
            for place, (dim, size) in enumerate(zip(self.tensor.dims, self.sizes, strict=True))
        }


@dataclass(frozen=True, slots=True)
class Call:
    """One op with local shapes and read options: what a kind's function sees."""

    op: Op
    inputs: tuple[Shaped, ...]
    output: Shaped
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[Access, ...]:
        """Every distinct input once."""
        return self.distinct(*self.inputs)

    @staticmethod
    def distinct(*shaped: Shaped) -> tuple[Access, ...]:
        """The accesses of some tensors, each once."""
        return tuple(distinct(each.access for each in shaped))

    @property
    def input_dtype(self) -> str:
        """The widest input dtype; the output's where there is no input."""
        return widest(shaped.dtype for shaped in self.inputs) if self.inputs else self.output.dtype

    def kernel(self, **fields: Any) -> Kernel:
        """A kernel that reads the inputs and writes the output, with `fields` on top."""
        basis: dict[str, Any] = {"name": self.op.name, "ops": (self.op.name,), "kind": self.op.kind}
        if "reads" not in fields:
            basis["reads"] = self.reads
        if "writes" not in fields:
            basis["writes"] = (self.output.access,)
        return Kernel(**(basis | fields))


def in_lines(nbytes: float, line: float) -> float:
    """Bytes of whole lines that hold `nbytes` in one piece, aligned."""
    return math.ceil(nbytes / line) * line if line else nbytes


Lower = Callable[[Call], Sequence[Kernel]]


def first_input(op: Op) -> Sequence[str]:
    """The name of an op's first input."""
    return (op.inputs[0].name,)


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the registry: how many inputs, which options beside the common ones and how they are read, and what
    sharding may do.

    `partial`: how partial sums pass: "none", "every" (a sum: all inputs must be partial alike), "one" (a product: one
    input may be), "own" (an op `as_written` whose kind says itself what becomes of them). `loops`: which loop of the
    op runs over each dim of each tensor (inputs, then output). `row_dims`: the loops that must be whole on a chip,
    given the op (for norms). `coarse`: the dims of inputs, as (input, place), that may be whole or cut more coarsely
    than their loop: the kind reads what a chip needs of them. `as_written`: it takes its tensors however they are
    sharded. `network`: the op itself moves data between chips and has a sharding rule of its own. `view`: it makes no
    kernel; whoever reads its output reads instead what it `shows`, its first input unless said otherwise. `backward`:
    how it is differentiated; None where it cannot be.
    """

    name: str
    lower: Lower
    inputs: tuple[int, int | None]
    options: Mapping[str, Reader] = field(default_factory=dict)
    partial: Literal["none", "every", "one", "own"] = "none"
    loops: Callable[[Op], Loops] = named_loops
    row_dims: Callable[[Op], Sequence[str]] = lambda _op: ()
    coarse: Callable[[Op], Collection[tuple[int, int]]] = lambda _op: ()
    as_written: bool = False
    network: bool = False
    view: bool = False
    shows: Callable[[Op], Sequence[str]] = first_input
    backward: Backward | None = None

    def kernels(self, call: Call) -> Sequence[Kernel]:
        """What an op of this kind comes to. Raises ShapeError for what are no kernels, or for amounts that cannot be."""
        found = self.lower(call)
        if not isinstance(found, Iterable):
            raise ShapeError(f"op kind '{self.name}' gives {shown(found)}: a list of kernels is wanted")
        kernels = tuple(found)
        for kernel in kernels:
            if not isinstance(kernel, Kernel):
                raise ShapeError(f"op kind '{self.name}' gives {shown(kernel)} in its list: call.kernel(...) is wanted")
            for what, amount in _amounts(kernel):
                if not _is_amount(amount):
                    raise ShapeError(f"op kind '{self.name}' gives {what}={amount!r}: a number from 0 on is wanted")
            for what, dtype in _dtypes(kernel):
                if dtype not in DTYPE_BYTES:
                    raise ShapeError(
                        f"op kind '{self.name}' gives {what}={dtype!r}: {unknown('dtype', dtype, DTYPE_BYTES)}"
                    )
        return kernels


def _is_amount(amount: Any) -> bool:
    try:
        return bool(0 <= amount < math.inf)
    except TypeError:  # text, a shape
        return False


def _dtypes(kernel: Kernel) -> Iterator[tuple[str, str]]:
    """The formats in which a kernel does arithmetic, by name."""
    if kernel.matrix_dtype or kernel.matrix_flops:
        yield "matrix_dtype", kernel.matrix_dtype
    if kernel.vector_dtype or kernel.vector_flops:
        yield "vector_dtype", kernel.vector_dtype


def _amounts(kernel: Kernel) -> Iterator[tuple[str, float]]:
    """The amounts of a kernel that its kind says, by name."""
    yield "matrix_flops", kernel.matrix_flops
    yield "vector_flops", kernel.vector_flops
    yield "fixed_s", kernel.fixed_s
    yield "host_s", kernel.host_s
    for access in (*kernel.reads, *kernel.writes):
        yield f"bytes of {access.tensor}", access.nbytes


KINDS: dict[str, Kind] = {}
"""All op kinds by name."""


def kind(
    name: str,
    inputs: tuple[int, int | None],
    options: Sequence[str] | Mapping[str, Reader] = (),
    **rules: Any,
) -> Callable[[Lower], Lower]:
    """Register a function as the op kind `name`. Raises ValueError for a second kind of that name, for what is no name, and
    for a function that cannot be called with a `Call` alone.

    `options`: names, or names with the functions that turn text into a value (raising ValueError). A name alone is read
    as it is for every kind that has it, and one that no other kind has as a number, true, false or a word.
    """
    _check_kind(name, inputs, rules)
    readers = options if isinstance(options, Mapping) else {each: OPTION_READERS.get(each, plain) for each in options}
    taken = [each for each in readers if each in COMMON_OPTIONS]
    if taken:
        raise ValueError(f"option '{taken[0]}' of op kind '{name}' means something for every kind already")

    def register(function: Lower) -> Lower:
        need_function(function, ("a call",), f"the function of op kind '{name}'")
        if name in KINDS:
            raise ValueError(f"op kind '{name}' is already registered; known: {', '.join(sorted(KINDS))}")
        KINDS[name] = Kind(name, function, inputs, dict(readers), **rules)
        return function

    return register


def _check_kind(name: Any, inputs: Any, rules: Mapping[str, Any]) -> None:
    """Raise ValueError for what `kind` cannot be given."""
    need_name(name, "op kind")
    least, most = inputs if isinstance(inputs, tuple) and len(inputs) == 2 else (None, None)
    if not isinstance(least, int) or least < 0 or not (most is None or (isinstance(most, int) and most >= least)):
        raise ValueError(
            f"op kind '{name}' takes {shown(inputs)} inputs: (least, most) is wanted; of any number, (least, None)"
        )
    known = {each.name for each in fields(Kind)} - {"name", "lower", "inputs", "options"}
    for rule in rules:
        if rule not in known:
            raise ValueError(unknown(f"rule of op kind '{name}'", rule, sorted(known)))


def option_readers(found: Kind) -> dict[str, Reader]:
    """How the options that a kind takes are read: its own, and those of every kind."""
    return {**{each: OPTION_READERS[each] for each in COMMON_OPTIONS}, **found.options}


def read_options(op: Op, found: Kind) -> dict[str, Any]:
    """The options of an op as values. Raises ShapeError for one that the kind does not take, or a wrong value."""
    values: dict[str, Any] = {}
    for name, message in option_findings(op, found, values):
        raise ShapeError(message, name)
    return values


def option_findings(op: Op, found: Kind, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The options of an op that its kind does not take, or with a wrong value, and why; what the others say goes to
    `values`."""
    readers = option_readers(found)
    allowed = (*found.options, *COMMON_OPTIONS)
    for name, raw in op.options:
        if name not in allowed:
            yield name, unknown(f"option of {found.name}", name, allowed)
            continue
        try:
            values[name] = readers[name](raw)
        except ValueError as error:
            yield name, str(error).replace("{key}", f"{name}=")


_OTHERS = {
    "matmul": ("mm", "bmm", "gemm", "linear", "dense", "fc", "einsum", "dot_general", "addmm", "baddbmm"),
    "attention": ("sdpa", "scaled_dot_product_attention", "flash_attention", "mha", "self_attention"),
    "conv2d": ("conv", "convolution"),
    "all_reduce": ("psum", "reduce_all"),
    "all_gather": ("allgather_into_tensor", "gather_all"),
    "reduce_scatter": ("psum_scatter",),
    "send": ("ppermute", "collective_permute", "p2p"),
    "reduce": ("sum", "mean", "reduce_sum"),
    "embedding": ("lookup",),
    "permute": ("transpose",),
    "cast": ("convert", "astype", "to"),
    "adamw": ("adam", "optimizer"),
}
ELSEWHERE = {theirs: ours for ours, names in _OTHERS.items() for theirs in names}
"""What ops are called in PyTorch, JAX and papers, by these names: for the word of who meant one of ours."""


def find_kind(op: Op) -> Kind:
    """The kind of an op. Raises ShapeError with the nearest name, or if the number of inputs is wrong."""
    found = KINDS.get(op.kind)
    if found is None:
        meant = ELSEWHERE.get(op.kind.casefold())
        raise ShapeError(unknown("op kind", op.kind, KINDS, meant=meant))
    least, most = found.inputs
    if len(op.inputs) < least or (most is not None and len(op.inputs) > most):
        wanted = f"{least}" if most == least else f"{least} to {most}" if most else f"{least} or more"
        raise ShapeError(f"{op.kind} takes {wanted} inputs, not {len(op.inputs)}")
    return found
