"""The rows of a chunk under a configuration: its lines bound and priced, each once for all configurations alike.

Model: what an op's kernels are depends on the sizes of its dims on one chip and over the tensor, context and expert axes;
of the data-parallel axis it depends only through what is on one chip. Prices of collectives belong to a mesh. What a
kernel reads and makes, as slots, is the same in all configurations of a structure; what lines take and do is the same in all
structures that have such lines one behind the other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace

from hw import Mesh
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Cut
from simulator.models.estimates.places import Place, behind_of, furthest, places_of
from simulator.models.estimates.prices import Hop, Price, Prices
from simulator.models.estimates.program import ALONE, Around, Line, Lines, Sizes, Structure
from simulator.models.estimates.work import Work
from simulator.models.steps.layout import AXES, COPIES
from simulator.ops.kernel import Access, Kernel
from simulator.ops.views import seen_through
from simulator.passes.binding import bind_op
from simulator.passes.fusion import fuse
from simulator.passes.parts import even_cut

COMPUTE = "compute"
"""The queue of a chip's kernels."""

_REPLICAS = frozenset({AXES["dp"], COPIES})
"""The axes along which chips do the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Kernels that run `count` times, as places and prices. `carry`: (slot at the start of a round, slot at the end of the
    one before); `enters`: (slot at the start of the first round, slot before the block) where those are not the same;
    `block`: whether they are rounds of a block. `alone`: the work of those kernels of a round that send nothing, `sends`:
    which the others are. `ahead`: of how many rounds before or after its own a kernel keeps something at the most, or, less
    two, waits for it."""

    places: tuple[Place, ...]
    prices: tuple[Price, ...]
    kernels: tuple[Kernel, ...]
    alone: Work
    sends: tuple[int, ...]
    ahead: int
    count: int = 1
    carry: tuple[tuple[int, int], ...] = ()
    enters: tuple[tuple[int, int], ...] = ()
    reverse: bool = False
    block: bool = False

    def priced(self, prices: tuple[Price, ...], count: int = 1) -> Stretch:
        """The same kernels at other prices, so many times."""
        told = self.places, prices, self.kernels, self.alone, self.sends, self.ahead, count
        return Stretch(*told, self.carry, self.enters, self.reverse, self.block)


Rows = tuple[Stretch, ...]

Sections = Mapping[tuple[str, bool], Rows]
"""The rows of each section of a chunk; (name, True): of a pass as the last microbatch has it."""

FIRST = ("forward of the first", False)
"""The key of the forward pass of the first microbatch, where it is another one."""


@dataclass
class Bound:
    """What many configurations share: numbers of sizes that lines have; kernels and prices by line and sizes (prices of
    collectives on one mesh), places by lines, which are of one structure; columns by the numbers of lines and sizes, and
    stretches by lines and sizes, both without the prices of collectives; of a mesh also what chips have of dims, and the two
    ends of transfers between stages, by what is sent."""

    sizes: dict[Hashable, int] = field(default_factory=dict)
    cut: Cut | None = None
    kernels: dict[Hashable, _Bound] = field(default_factory=dict)
    prices: dict[_Bound, tuple[Price, ...]] = field(default_factory=dict)
    placed: dict[Lines, _Placed] = field(default_factory=dict)
    numbers: dict[Hashable, int] = field(default_factory=dict)
    columns: dict[Hashable, _Columns] = field(default_factory=dict)
    stretches: dict[Hashable, _Lined] = field(default_factory=dict)
    hops: dict[Hashable, Hop] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Bound:
    """The kernels of a line, one for all lines of the same kernels, and whether their prices depend on the mesh."""

    kernels: tuple[Kernel, ...]
    is_sent: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Where the kernels of some lines stand. `number`: the same for lines of any structure that have the same kernels."""

    number: int
    places: tuple[Place, ...]
    ahead: int


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """The kernels of some lines, their prices (of what is sent, on the first mesh), and the work of those that send nothing;
    `sent`: begin, end, and line of the others."""

    kernels: tuple[Kernel, ...]
    prices: tuple[Price, ...]
    alone: Work
    sent: tuple[tuple[int, int, _Bound], ...]

    @property
    def sends(self) -> tuple[int, ...]:
        """The places of what sends something."""
        return tuple(at for begin, end, _ in self.sent for at in range(begin, end))


@dataclass(frozen=True, slots=True, eq=False)
class _Lined:
    """Lines that are bound: `stretch` has the prices of the first mesh; those at some places (`sent`: begin, end, line) are
    others on another."""

    stretch: Stretch
    sent: tuple[tuple[int, int, _Bound], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A configuration of a structure: sizes of dims, how often blocks repeat, by the count that they are written with, and
    the number of the last stage, by that which is written."""

    dims: Mapping[str, int]
    rounds: Mapping[int, int]
    last_stage: tuple[int, int]

    def op(self, op: Op) -> Op:
        """An op that says what it exchanges with which stage."""
        written, actual = map(str, self.last_stage)
        if written == actual or op.option("from") is None:
            return op
        options = ((key, actual if key in ("from", "to") and value == written else value) for key, value in op.options)
        return replace(op, options=tuple(options))


class Binder:
    """Binds and prices the lines of a chunk of one configuration on a system under its mesh."""

    def __init__(self, asked: Asked, prices: Prices, known: Bound, on_mesh: Bound) -> None:
        self._asked, dims = asked, asked.dims
        self._graph = OpGraph(dims, ())
        self._prices, self._known, self._on_mesh = prices, known, on_mesh
        self._system = prices.system
        # nothing but the mesh says how dims are cut
        self._cut = on_mesh.cut = on_mesh.cut or even_cut(self._graph, self._system)
        self._sizes = _Sizes(dims, self._cut, self._system.mesh)
        self._forms: dict[int, int] = {}

    def rows(self, structure: Structure, section: str, last: bool = False) -> Rows:
        """The rows of a section."""
        return tuple(self._stretch(structure, lines) for lines in structure.section(section, last))

    def _stretch(self, structure: Structure, lines: Lines) -> Stretch:
        extents = self._system.mesh.extent
        sizes = *[self._sized(*each) for each in lines.forms.items()], *[extents(axes) for axes in lines.over]
        key = lines, sizes
        found = self._known.stretches.get(key)
        if found is None:
            found = self._known.stretches[key] = self._lined(structure, lines, sizes)
        stretch, block = found.stretch, lines.block
        prices = list(stretch.prices)
        for begin, end, bound in found.sent:
            prices[begin:end] = self._priced(bound)
        if block is None:
            return stretch.priced(tuple(prices)) if found.sent else stretch
        count = self._graph.dims[block.count] if isinstance(block.count, str) else block.count
        return stretch.priced(tuple(prices), self._asked.rounds.get(count, count))

    def _sized(self, form: int, dims: Sizes) -> int:
        """A number for what sizes of a line are in this configuration: the same for equal ones in all configurations."""
        number = self._forms.get(form)
        if number is None:
            numbers = self._known.sizes
            number = self._forms[form] = numbers.setdefault(self._sizes.of(dims), len(numbers))
        return number

    def _lined(self, structure: Structure, lines: Lines, sizes: Hashable) -> _Lined:
        placed = self._known.placed.get(lines)
        if placed is None:
            placed = self._known.placed[lines] = self._placed(structure, lines)
        columns = self._known.columns.get((placed.number, sizes))
        if columns is None:
            columns = self._known.columns[placed.number, sizes] = self._columns(structure, lines)
        told = placed.places, columns.prices, columns.kernels, columns.alone, columns.sends, placed.ahead
        block = lines.block
        if block is None:
            return _Lined(Stretch(*told), columns.sent)
        carry = tuple((structure.slot(start), structure.slot(end)) for start, end in block.carry)
        enters = tuple((structure.slot(start), next(structure.refs(name))[0]) for start, name in lines.enters)
        return _Lined(Stretch(*told, 1, carry, enters, block.reverse, True), columns.sent)

    def _placed(self, structure: Structure, lines: Lines) -> _Placed:
        places: list[Place] = []
        same: list[Hashable] = []
        for line in lines.lines:
            around = structure.around(line) if line.group else ALONE
            places += places_of(structure, line, around, self._line(structure, line).kernels)
            same.append((line.number, around, *map(structure.types.get, behind_of(around))))
        # what is asked of the rounds of blocks before matters at the border to those only
        made = {slot for place in places for slot in place.makes}
        asked = [[ask for ask in place.asks if ask[0] in made] for place in places]
        ahead = max(furthest(place.keeps for place in places), furthest(asked) - 2)
        return _Placed(self._known.numbers.setdefault(tuple(same), len(self._known.numbers)), tuple(places), ahead)

    def _columns(self, structure: Structure, lines: Lines) -> _Columns:
        prices: list[Price] = []
        kernels: list[Kernel] = []
        sent = []
        for line in lines.lines:
            bound = self._line(structure, line)
            if bound.is_sent:
                sent.append((len(prices), len(prices) + len(bound.kernels), bound))
            kernels += bound.kernels
            prices += self._priced(bound)
        others = {at for begin, end, _ in sent for at in range(begin, end)}
        alone = Work()
        for at, price in enumerate(prices):
            if at not in others:
                alone.add(price)
        return _Columns(tuple(kernels), tuple(prices), alone, tuple(sent))

    def _line(self, structure: Structure, line: Line) -> _Bound:
        over, around, whole = line.over, ALONE, {}
        key: Hashable = line.number, self._system.mesh.extent(over) if over else 0, self._sized(line.form, line.sizes)
        if line.group:
            around = structure.around(line)
            whole = self._sizes_behind(structure, around)
            key = key, around, tuple(whole.values())
        bound = self._known.kernels.get(key)
        if bound is None:
            kernels = tuple(self._bound(line, around, whole))
            bound = self._known.kernels[key] = _Bound(kernels, over is not None)
        return bound

    def _priced(self, bound: _Bound) -> tuple[Price, ...]:
        priced = (self._on_mesh if bound.is_sent else self._known).prices
        prices = priced.get(bound)
        if prices is None:
            prices = priced[bound] = tuple(self._prices.of(kernel) for kernel in bound.kernels)
        return prices

    def _sizes_behind(self, structure: Structure, around: Around) -> dict[str, float]:
        """Bytes of the first tensor behind each view that a group reads, as far as it is typed."""
        types = structure.types
        return {name: self._bytes_of(types[name]) for name in behind_of(around) if name in types}

    def _bound(self, line: Line, around: Around, whole: Mapping[str, float]) -> list[Kernel]:
        lines = line.group or (line,)
        ops = [self._asked.op(each.op) for each in lines]
        kernels = [kernel for op in ops for kernel in bind_op(op, self._graph, self._system, self._cut)]
        if not line.group:
            return kernels
        # as in a run: views are seen through before kernels are joined
        behind = {name: [each for each, _ in shown] for name, shown in around.behind}
        kernels = [seen_through(kernel, behind, whole) for kernel in kernels]
        # whoever else reads what passes inside of the group makes it be written
        others = [_reader(name) for name in around.needed]
        group = [each.op.name for each in line.group]
        return fuse([*kernels, *others], [group], self._system)[: -len(others) or None]

    def nbytes(self, tensor: Tensor) -> float:
        """Bytes of a tensor on a chip; none of one in another memory than its HBM."""
        return self._bytes_of(tensor) if tensor.memory == "hbm" else 0.0

    def _bytes_of(self, tensor: Tensor) -> float:
        sizes = self._sizes
        return math.prod([sizes[dim.size, dim.axes][0] for dim in tensor.dims]) * DTYPE_BYTES[tensor.dtype]


_Dim = tuple[str | int, str]
"""The size of a dim as it is written, and the axes that shard it."""


class _Sizes(dict[_Dim, tuple[int, int]]):
    """Of dims what a chip has, and the whole but for replicas, worked out when it is asked for first."""

    def __init__(self, dims: Mapping[str, int], cut: Cut, mesh: Mesh) -> None:
        super().__init__()
        self._dims, self._cut, self._mesh = dims, cut, mesh

    def __missing__(self, dim: _Dim) -> tuple[int, int]:
        size, axes = dim
        whole = self._dims[size] if isinstance(size, str) else size
        alike = self._mesh.extent("".join(axis for axis in axes if axis in _REPLICAS))
        found = self[dim] = self._cut.size(whole, axes, size), whole // alike
        return found

    def of(self, dims: Sizes) -> tuple[tuple[int, int], ...]:
        """Those of some dims."""
        return tuple(map(self.__getitem__, dims))


def _reader(name: str) -> Kernel:
    """A kernel that reads something."""
    return Kernel(name=f"{name}/read", ops=(f"{name}/read",), kind="", reads=(Access(name, 0.0),))
