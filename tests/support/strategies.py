"""Material that several tests share: chips with overrides, systems, kernels of a few lines, and hypothesis strategies.

Model: `graphs()` draws any graph that the language can write, whether or not its shapes make sense: the language does
not look at shapes. `chains()` draws graphs that bind and run on one chip, for the laws of passes.
Assumes: nothing is imported that costs time; a chip is built anew only for overrides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hypothesis import strategies as st

from hw import Chip, Mark, Mesh, Problems, System, load_chip, parse_topology
from hw.chips import build_chip, chip_document, override
from simulator import (
    DTYPE_BYTES,
    MEMORIES,
    OPTION_READERS,
    Dim,
    Kernel,
    Op,
    OpGraph,
    Plan,
    Repeat,
    Result,
    Round,
    RunOptions,
    Tensor,
    bind,
    parse_graph,
    simulate,
)
from tests.support.drawing import among, between

Found = TypeVar("Found")


def outcome(call: Callable[[], Found]) -> Found | ValueError:
    """What `call` returns, or the ValueError (so also the SpecError) that it raises; anything else escapes."""
    try:
        return call()
    except ValueError as error:
        return error


def show_error(what: str, got: float, want: float) -> str:
    """A line for people: what came out, what should have, and the relative error."""
    return f"{what}: {got:.6g} vs {want:.6g} ({100 * (got / want - 1):+.4f} %)"


def chip_with(name: str, values: Mapping[str, object]) -> Chip:
    """A chip of the catalogue with some figures of another value. Raises SpecError, at 'set:LINE' of each override."""
    document = chip_document(name, Mark("set"))
    marks = {key: (Mark("set", line, 1), Mark("set", line, 20)) for line, key in enumerate(values, start=1)}
    override(document, values, marks)
    problems = Problems()
    chip = build_chip(document, problems)
    problems.raise_if_any()
    assert chip is not None
    return chip


def faster(chip: Chip, by: float) -> Chip:
    """A chip with all rates times `by`, and the latencies of its links over it."""

    def rates(peaks: Any) -> Any:
        return {name: by * rate for name, rate in peaks.items()}

    def memory(level: Any) -> Any:
        return level and level.model_copy(update={"bytes_per_s": by * level.bytes_per_s})

    return chip.model_copy(
        update={
            "matrix_unit": chip.matrix_unit.model_copy(
                update={"peak_flops_per_s": rates(chip.matrix_unit.peak_flops_per_s)}
            ),
            "vector_unit": chip.vector_unit.model_copy(
                update={"peak_flops_per_s": rates(chip.vector_unit.peak_flops_per_s)}
            ),
            **{name: memory(getattr(chip, name)) for name in ("hbm", "on_chip", "host", "disk")},
            "links": {
                name: link.model_copy(update={"bytes_per_s": by * link.bytes_per_s, "latency_s": link.latency_s / by})
                for name, link in chip.links.items()
            },
        }
    )


def one(chip: Chip | str = "tpu_v5e") -> System:
    """One chip alone."""
    return System(load_chip(chip) if isinstance(chip, str) else chip)


def many(topology: str | Sequence[str], mesh: Mapping[str, int], chip: Chip | str = "tpu_v5e") -> System:
    """Several chips, wired."""
    built = load_chip(chip) if isinstance(chip, str) else chip
    return System(built, parse_topology(topology, built.links), Mesh(mesh))


def kernels_of(*lines: str, system: System | None = None, **dims: int) -> list[Kernel]:
    """The kernels of some op lines."""
    return bind(parse_graph(lines, dims), system or one())


def run(
    lines: Sequence[Any], dims: Mapping[str, int], system: System, options: RunOptions | None = None, fuse: Any = "none"
) -> Result:
    """A run of some op lines."""
    graph = parse_graph(lines, dims)
    return simulate(OpGraph(graph.dims, graph.items, fuse), system, options)


def planned_bytes(plan: Plan) -> float:
    """HBM traffic of one chip, re-reads included."""
    return sum(planned.hbm_bytes for planned in plan.kernels)


# Graphs that the language can write

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,4}(\.[A-Za-z0-9_]{1,2})?", fullmatch=True)
DIM_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,3}", fullmatch=True)
KIND_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@st.composite
def tensors(draw: st.DrawFn, name: str) -> Tensor:
    """Any type that can be written: each mesh axis is used once."""
    sizes = draw(st.lists(st.one_of(DIM_NAMES, st.integers(1, 10**18 - 1)), max_size=4))
    axes = draw(st.permutations("UVWXYZ"))
    dims = []
    for size in sizes:
        count = draw(st.integers(0, 2)) if len(axes) > 2 else 0
        dims.append(Dim(size, "".join(axes[:count])))
        axes = axes[count:]
    partial = "".join(axes[: draw(st.integers(0, len(axes)))]) if draw(st.booleans()) else ""
    dtype = draw(st.sampled_from(sorted(DTYPE_BYTES)))
    return Tensor(name, dtype, tuple(dims), partial, draw(st.sampled_from(MEMORIES)))


_WORDS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.sampled_from(["true", "false", "flash", "1.5e9", "80 GB", "3.35 TB/s", "5 %", "-3", "XY"]),
    NAMES,
)
_VALUES = st.one_of(_WORDS, st.lists(_WORDS, min_size=1, max_size=3).map(lambda words: f"[{', '.join(words)}]"))
_OPTIONS = st.dictionaries(st.sampled_from(sorted(OPTION_READERS)), _VALUES, max_size=3).map(
    lambda options: tuple(options.items())
)


_ROUNDS = st.one_of(
    st.just(()),
    st.lists(
        st.builds(Round, st.integers(0, 10**6 - 1)) | st.builds(Round, st.integers(-9, 9), st.just(True)), max_size=3
    ).map(tuple),
)


@dataclass
class _Scope:
    """The tensors that exist where the next op is written, and those among them that a block made."""

    known: dict[str, Tensor] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    counter: list[int] = field(default_factory=lambda: [0])

    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        self.counter[0] += 1
        return f"{stem}_{self.counter[0]}"


@st.composite
def _ops(draw: st.DrawFn, scope: _Scope) -> Op:
    inputs: list[Tensor] = []
    for _ in range(draw(st.integers(0, 3))):
        if len(scope.known) > 0 and draw(st.booleans()):
            known = draw(st.sampled_from([scope.known[name] for name in sorted(scope.known)]))
            inputs.append(replace(known, rounds=draw(_ROUNDS)))
        else:
            tensor = draw(tensors(scope.fresh(draw(NAMES))))
            scope.known[tensor.name] = tensor
            inputs.append(tensor)
    output = draw(tensors(scope.fresh(draw(NAMES))))
    scope.known[output.name] = output
    scope.made.add(output.name)
    return Op(output, draw(KIND_NAMES), tuple(inputs), draw(_OPTIONS))


@st.composite
def _blocks(draw: st.DrawFn, scope: _Scope, depth: int) -> Repeat:
    """A block; with some luck it carries its last output back to a tensor of that type that it takes in."""
    before = set(scope.made)
    items = draw(_items(scope, depth - 1))
    carry: tuple[tuple[str, str], ...] = ()
    first = items[0]
    if isinstance(first, Op) and draw(st.booleans()):
        start = Tensor(
            scope.fresh("c"), first.output.dtype, first.output.dims, first.output.partial, first.output.memory
        )
        scope.known[start.name] = start
        taking = Op(first.output, first.kind, (*first.inputs, start), first.options)
        items = (taking, *items[1:])
        carry = ((start.name, first.name),)
    assert scope.made > before
    count = draw(st.integers(1, 99) | DIM_NAMES)  # nested ones stay under a million ops
    return Repeat(count, items, carry, draw(st.booleans()))


@st.composite
def _items(draw: st.DrawFn, scope: _Scope, depth: int) -> tuple[Op | Repeat, ...]:
    count = draw(st.integers(1, 3))
    return tuple(
        draw(_blocks(scope, depth)) if depth and draw(st.integers(0, 3)) == 0 else draw(_ops(scope))
        for _ in range(count)
    )


@st.composite
def graphs(draw: st.DrawFn, depth: int = 2) -> tuple[Op | Repeat, ...]:
    """Ops and blocks in any words that the language has; every op makes a new tensor."""
    return draw(_items(_Scope(), depth))


# Chains that bind and run on one chip

CHAIN_DIMS = {"M": 1024, "K": 512, "N": 2048}
_UNARY = ("relu({})", "gelu({})", "softmax({})", "layer_norm({})", "copy({})", "batch_norm({}, train=true)")


@st.composite
def chains(draw: st.DrawFn) -> list[str]:
    """Lines of a program on matrices: element-wise ops, norms, and matmuls, each fed by anything before it."""
    shapes = {"x": "M,K"}
    lines: list[str] = []

    def ref(name: str) -> str:
        return name if lines and name in typed else f"{name}:bf16[{shapes[name]}]"

    typed: set[str] = set()
    for at in range(draw(between(1, 7))):
        source = draw(among(sorted(shapes)))
        rows, columns = shapes[source].split(",")
        out = f"t{at}"
        step = draw(among(("unary", "unary", "add", "where", "matmul")))
        if step == "matmul":
            wide = draw(among([dim for dim in CHAIN_DIMS if dim not in (rows, columns)]))
            shape, line = f"{rows},{wide}", f"matmul({ref(source)}, w{at}:bf16[{columns},{wide}])"
        elif step in ("add", "where"):
            alike = sorted(name for name in shapes if shapes[name] == shapes[source])
            others = draw(
                st.lists(st.sampled_from(alike), min_size=1 if step == "add" else 2, max_size=2 - (step == "add"))
            )
            inputs = [source, *others]
            texts = [ref(name) if name not in inputs[:place] else name for place, name in enumerate(inputs)]
            shape, line = shapes[source], f"{step}({', '.join(texts)})"
        else:
            shape, line = shapes[source], draw(among(_UNARY)).format(ref(source))
        typed.update((source, out))
        shapes[out] = shape
        lines.append(f"{out}:bf16[{shape}] = {line}")
    return lines
