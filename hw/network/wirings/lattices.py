"""Lines, rings, grids and tori: one lattice of one to three axes, each of which wraps around or not.

Model: neighbours along an axis are joined by a port each; a ring of two has two links, a line of two has one. A chip is
counted along the axes row-major. A message goes the shorter way along an axis; to the antipode of a ring both are alike.
Facts: hops add up over the axes. The bisection bandwidth of arrays and tori is, with sizes in falling order, the sum over
axes up to the first even one of the product of the sizes after it. Lattices that wrap along some axes only: a straight
cut is the least if even routing of all pairs, axis by axis, puts on no wire more than on those that it meets (embedding
of the complete graph).
Source: Aroca and Fernandez Anta, "Bisection (Band)Width of Product Networks with Application to Data Centers", 2014;
Leighton, "Introduction to Parallel Algorithms and Architectures", 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

from hw.network.axes import Axis
from hw.network.bisection import Bisection
from hw.network.routes import Path
from hw.network.shape import WiringShape
from hw.network.topology import Topology
from hw.network.wirings.base import Wiring
from hw.network.wirings.canvas import GAP, ROWS, WIDTH, Canvas, Drawn, chosen
from hw.network.wirings.instance import Instance
from hw.network.wirings.searched import Place
from hw.network.wirings.site import Site

_RING, _LINE = "ring", "line"

AxesOf = Callable[[WiringShape], tuple[str, ...]]
"""Which axes of a shape are rings, and which are lines."""


def wrapping(axis: Axis) -> bool:
    """Whether an axis of a lattice goes round."""
    return axis.kind == _RING


# How it is built


def _lines(shape: WiringShape) -> tuple[str, ...]:
    return (_LINE,) * len(shape.sizes)


def _rings(shape: WiringShape) -> tuple[str, ...]:
    return (_RING,) * len(shape.sizes)


def _torus(shape: WiringShape) -> tuple[str, ...]:
    return tuple(_RING if wraps else _LINE for wraps in shape.flags("wrap", len(shape.sizes), True))


def _ports(kinds: AxesOf, shape: WiringShape) -> int:
    """Two to the neighbours along each axis; along a line of two there is only one."""
    total = 0
    for kind, size in zip(kinds(shape), shape.sizes, strict=True):
        if size > 1:
            total += 2 if kind == _RING else min(size - 1, 2)
    return total


def _build(kinds: AxesOf, site: Site, shape: WiringShape) -> None:
    """Join neighbours along each axis, row by row."""
    strides = [math.prod(shape.sizes[at + 1 :]) for at in range(len(shape.sizes))]
    axes = list(zip(kinds(shape), shape.sizes, strides, strict=True))
    for chips in site.alike():
        for number, (kind, size, stride) in enumerate(axes):
            others = axes[:number] + axes[number + 1 :]
            rest = [[at * step for at in range(count)] for _, count, step in others]
            for offsets in product(*rest):
                first = sum(offsets)
                row = chips[first : first + (size - 1) * stride + 1 : stride]
                _join_row(site, row, kind == _RING)


def _join_row(site: Site, row: Sequence[int], wraps: bool) -> None:
    for at in range(len(row) - 1):
        site.join(row[at], row[at + 1])
    if wraps and len(row) > 1:
        # the wraparound of a ring of two is a second link between the same chips, hence its own name
        site.join(row[-1], row[0], name=".wrap" if len(row) == 2 else "")


# The ways along an axis


def _walk(topology: Topology, axis: Axis, ends: tuple[int, int], forward: bool) -> Path:
    here, path = ends[0], list[int]()
    while here != ends[1]:
        here, wire = topology.step(axis, here, forward)
        path.append(wire)
    return tuple(path)


def _around(topology: Topology, axis: Axis, ends: tuple[int, int]) -> list[Path]:
    ahead = (axis.place(ends[1]) - axis.place(ends[0])) % axis.size
    both = 2 * ahead == axis.size
    ways = [True, False] if both else [2 * ahead < axis.size]
    return [_walk(topology, axis, ends, forward) for forward in ways]


def _along(topology: Topology, axis: Axis, ends: tuple[int, int]) -> list[Path]:
    return [_walk(topology, axis, ends, axis.place(ends[1]) > axis.place(ends[0]))]


# Facts


def lattice_cut(sizes: Sequence[int], weights: Sequence[int]) -> tuple[int, bool]:
    """Wires one way between halves of a lattice, and whether that is the least there can be; `weights` are the wires
    each way that a straight cut meets on a row of each axis."""
    axes = sorted(((size, weight) for size, weight in zip(sizes, weights, strict=True) if size > 1), reverse=True)
    if not axes:
        return 0, True
    total = math.prod(size for size, _ in axes)
    if len({weight for _, weight in axes}) > 1:
        straight = [weight * total // size for size, weight in axes if size % 2 == 0]
        if straight:
            # pairs of halves, at least total^2 / 4 each way, over the most that even routing of all pairs puts on a wire
            load = max(total * (size - size % 2 / size) / (4 * weight) for size, weight in axes)
            return min(straight), min(straight) * load <= total**2 / 4
    last = next((at for at, (size, _) in enumerate(axes) if size % 2 == 0), len(axes) - 1)
    wires = sum(axes[at][1] * math.prod(size for size, _ in axes[at + 1 :]) for at in range(last + 1))
    return wires, len({weight for _, weight in axes}) == 1


def _facts(instance: Instance) -> tuple[int, Bisection]:
    axes = instance.level.axes
    hops = sum(axis.size // 2 if wrapping(axis) else axis.size - 1 for axis in axes)
    wires, exact = lattice_cut([axis.size for axis in axes], [2 if wrapping(axis) else 1 for axis in axes])
    rate = wires * instance.level.inner * instance.slowest
    return hops, instance.cut(rate) if exact else instance.cut(rate, "at most", "best straight cut")


# Pictures


def _one_row(canvas: Canvas) -> Drawn:
    """A ring or a line as a row."""
    count, wide = canvas.level.children, canvas.widest
    axis = max(canvas.level.axes, key=lambda each: each.size)
    labels = [GAP if at is None else canvas.at({axis: at}) for at in chosen(count, (WIDTH - 6) // (wide + 4))]
    row = " ── ".join(label.center(wide) for label in labels)
    if not wrapping(axis) or count == 1:
        return [f"  {row}"], []
    if count == 2:
        return [f"  {canvas.label(0)} ══ {canvas.label(1)}"], ["a ring of two: two links between the same pair"]
    return [f"╭─ {row} ─╮", f"╰{'─' * (len(row) + 4)}╯"], []


def _plane(canvas: Canvas) -> Drawn:
    """A grid or torus as rows and columns; of three axes the first plane."""
    axes = [axis for axis in canvas.level.axes if axis.size > 1]
    if len(axes) < 2:
        return _one_row(canvas)
    down, along = axes[-2], axes[-1]
    # in a graph any chip may stand in any plane
    wide = canvas.widest if canvas.level.drawn else len(canvas.label(down.size * along.size - 1))
    columns = chosen(along.size, (WIDTH - 8) // (wide + 4))
    lines = _rows_drawn(canvas, (down, along), columns, wide)
    if wrapping(down):
        stub = "    ".join(("╷" if at is not None else " ").center(wide) for at in columns)
        lines = ["   " + stub, *lines, "   " + stub.replace("╷", "╵")]
    return [line.rstrip() for line in lines], _plane_remarks(axes)


def _rows_drawn(canvas: Canvas, axes: tuple[Axis, Axis], columns: Sequence[int | None], wide: int) -> list[str]:
    down, along = axes
    edge, far = ("╶─ ", " ─╴") if wrapping(along) else ("   ", "   ")
    bars = "    ".join(("│" if at is not None else " ").center(wide) for at in columns)
    dots = "    ".join(("⋮" if at is not None else " ").center(wide) for at in columns)
    rows = chosen(down.size, ROWS)
    lines: list[str] = []
    for number, row in enumerate(rows):
        if row is None:
            lines.append("   " + dots)
            continue
        if number and rows[number - 1] is not None:
            lines.append("   " + bars)
        labels = [GAP if at is None else canvas.at({down: row, along: at}) for at in columns]
        lines.append(edge + " ── ".join(label.center(wide) for label in labels) + far)
    return lines


def _plane_remarks(axes: Sequence[Axis]) -> list[str]:
    remarks = ["open ends wrap around"] if wrapping(axes[-1]) or wrapping(axes[-2]) else []
    if len(axes) == 3:
        shape = _RING if wrapping(axes[0]) else _LINE
        remarks.append(f"the first of {axes[0].size} planes; chips of like place in them form a {shape}")
    if any(wrapping(axis) and axis.size == 2 for axis in axes):
        remarks.append("along an axis of two, two links join each pair")
    return remarks


def _rows_and_columns(topology: Topology) -> dict[str, Place]:
    """Chips in rows and columns; planes side by side, each a little lower."""
    axes = [axis for axis in topology.axes if axis.size > 1] or list(topology.axes)
    places = {}
    for chip in range(topology.size):
        at = [axis.place(chip) for axis in axes]
        x, y = float(at[-1]), -float(at[-2]) if len(at) > 1 else 0.0
        if len(at) > 2:
            x, y = x + at[0] * (axes[-1].size + 0.8), y - at[0] * 0.45
        places[f"chip{chip}"] = (x, y)
    return places


# The wirings

LINE = Wiring(
    name=_LINE,
    build=lambda site, shape: _build(_lines, site, shape),
    ports=lambda shape: _ports(_lines, shape),
    neighbours=True,
    ways=_along,
    facts=_facts,
    picture=_one_row,
    places=_rows_and_columns,
)
RING = Wiring(
    name=_RING,
    build=lambda site, shape: _build(_rings, site, shape),
    ports=lambda shape: _ports(_rings, shape),
    neighbours=True,
    wraps=True,
    ways=_around,
    facts=_facts,
    picture=_one_row,
)
GRID = Wiring(
    name="grid",
    example="(a,b)",
    sizes=(1, 3),
    build=lambda site, shape: _build(_lines, site, shape),
    axes=_lines,
    ports=lambda shape: _ports(_lines, shape),
    facts=_facts,
    picture=_plane,
    places=_rows_and_columns,
)
TORUS = Wiring(
    name="torus",
    example="(a,b,c)",
    sizes=(1, 3),
    options=("wrap",),
    build=lambda site, shape: _build(_torus, site, shape),
    axes=_torus,
    ports=lambda shape: _ports(_torus, shape),
    facts=_facts,
    picture=_plane,
    places=_rows_and_columns,
)
ONE_WAY_RING = Wiring(name="one_way_ring", example="", one_way=True)
"""Links lead from each chip to the next, and not back: a graph may be one, but it cannot be written."""
