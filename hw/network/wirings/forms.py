"""The wirings: what a level of a topology looks like, one row of `FORMS` each.

Model: a wiring joins the children of a level (chips, or whole nodes). ring, line, torus, grid and full join chips of like
place in each child; switches and trees (`hw.network.wirings.fabrics`) join every chip of every child in one fabric,
unless the tree has rails. A link between unlike chips runs at the slower end's pace. To add a wiring: write its
builder, add a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from hw.network.site import Shape, Site
from hw.network.wirings.fabrics import build_dragonfly, build_fat_tree, build_switch

REDUCTION = "in_switch_reduction"
"""The option by which a wiring says whether its switches add up; without it the link says so."""


def torus_axes(shape: Shape) -> tuple[str, ...]:
    """What each axis of a torus is: a ring where it wraps."""
    return tuple("ring" if wraps else "line" for wraps in shape.flags("wrap", len(shape.sizes), True))


def _lattice(kinds: Callable[[Shape], tuple[str, ...]]) -> Callable[[Site, Shape], None]:
    """A builder of rings or lines along each axis."""

    def build(site: Site, shape: Shape) -> None:
        strides = [math.prod(shape.sizes[at + 1 :]) for at in range(len(shape.sizes))]
        axes = list(zip(kinds(shape), shape.sizes, strides, strict=True))
        for chips in site.alike():
            for axis, (kind, size, stride) in enumerate(axes):
                rest = [[at * step for at in range(n)] for at_axis, (_, n, step) in enumerate(axes) if at_axis != axis]
                for offsets in product(*rest):
                    first = sum(offsets)
                    row = chips[first : first + (size - 1) * stride + 1 : stride]
                    for at in range(size - 1):
                        site.join(row[at], row[at + 1])
                    if kind == "ring" and size > 1:
                        # the wraparound of a ring of two is a second link between the same chips, hence its own name
                        site.join(row[-1], row[0], name=".wrap" if size == 2 else "")

    return build


def _full(site: Site, shape: Shape) -> None:
    for chips in site.alike():
        for at, here in enumerate(chips):
            for there in chips[at + 1 :]:
                ports = min(site.ports_of(site.link_of(here)), site.ports_of(site.link_of(there)))
                site.join(here, there, ports / (len(chips) - 1))


def _ring_ports(size: int) -> int:
    return 2 if size > 1 else 0


def _line_ports(size: int) -> int:
    return min(size - 1, 2)


_PORTS: dict[str, Callable[[int], int]] = {"ring": _ring_ports, "line": _line_ports}


@dataclass(frozen=True)
class Form:
    """A wiring: its builder, what each of its axes is, ports that a chip needs, how many sizes, which options.

    Without `ports` it takes whatever ports the other levels over the link leave. `inside`: it cannot join whole nodes.
    `pairs`: its links that join each with each, which grow with the square of its size.
    """

    build: Callable[[Site, Shape], None]
    axes: Callable[[Shape], tuple[str, ...]]
    ports: Callable[[Shape], int] | None = None
    sizes: tuple[int, int] = (1, 1)
    options: tuple[str, ...] = ()
    shared: Callable[[Shape], bool] = lambda _shape: False
    example: str = "(n)"
    inside: bool = False
    pairs: Callable[[Shape], int] = lambda _shape: 0


def _each_with_each(count: int) -> int:
    return count * (count - 1) // 2


def _lattice_form(axes: Callable[[Shape], tuple[str, ...]], most: int, options: tuple[str, ...], example: str) -> Form:
    def ports(shape: Shape) -> int:
        return sum(_PORTS[kind](size) for kind, size in zip(axes(shape), shape.sizes, strict=True))

    return Form(_lattice(axes), axes, ports, (1, most), options, example=example)


def _lines(shape: Shape) -> tuple[str, ...]:
    return ("line",) * len(shape.sizes)


def one_axis(kind: str) -> Callable[[Shape], tuple[str, ...]]:
    """The axes of a wiring that has one."""
    return lambda _shape: (kind,)


FORMS: dict[str, Form] = {
    "line": _lattice_form(_lines, 1, (), "(n)"),
    "ring": _lattice_form(one_axis("ring"), 1, (), "(n)"),
    "torus": _lattice_form(torus_axes, 3, ("wrap",), "(a,b,c)"),
    "grid": _lattice_form(_lines, 3, (), "(a,b)"),
    "full": Form(_full, one_axis("full"), pairs=lambda shape: _each_with_each(shape.count)),
    "switch": Form(build_switch, one_axis("switch"), options=("nics", REDUCTION), shared=lambda _shape: True),
    "fat_tree": Form(
        build_fat_tree,
        one_axis("fat_tree"),
        options=("leaf", "oversubscription", "spines", "rails", "nics", REDUCTION),
        shared=lambda shape: not shape.flag("rails", False),
    ),
    "dragonfly": Form(
        build_dragonfly,
        one_axis("dragonfly"),
        sizes=(3, 3),
        shared=lambda _shape: True,
        example="(groups,routers,chips)",
        pairs=lambda shape: shape.sizes[0] * _each_with_each(shape.sizes[1]) + _each_with_each(shape.sizes[0]),
    ),
}
"""The wirings by name."""
