"""A wiring: all that is known of it in one object, how it is written, built, counted, routed, measured and drawn.

Model: a wiring joins the children of a level (chips, or whole nodes). Most join chips of like place in each child; a
`shared` one joins every chip of every child in one fabric. A kind of axis is the wiring of that name: a torus has axes
that are rings, a grid has lines, and most others have one axis of their own kind.
Whatever a wiring does not say of itself is found by search: routes over the fewest wires, hops and bisection, a list of
neighbours, a circle. To add one: make a `Wiring`, `add_wiring` it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hw.network.axes import Axis
from hw.network.bisection import Bisection
from hw.network.routes import GraphRoutes, Path, TreeRoutes
from hw.network.shape import WiringShape
from hw.network.topology import Topology
from hw.network.wirings.canvas import Canvas, Drawn
from hw.network.wirings.instance import Instance
from hw.network.wirings.searched import Place, in_a_circle, neighbours_listed, searched_facts
from hw.network.wirings.site import Site

REDUCTION = "in_switch_reduction"
"""The option by which a wiring says whether its switches add up; without it the link says so."""

Ways = Callable[[Topology, Axis, tuple[int, int]], Sequence[Path]]
"""All shortest ways along an axis between two chips on it."""


def _nothing(_site: Site, _shape: WiringShape) -> None:
    """No wires."""


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """One wiring, by its name. What is not given is found by search.

    Written: `example` stands for what is between its brackets (a wiring without one cannot be written, only recognised),
    `sizes` how many it takes at least and at most, `options` which.
    Built: `build` lays its wires; `axes` names the kind of each of its axes (None: it has one, of its own kind); `ports` a
    chip needs (None: whatever the other levels over the link leave); `shared`: whether one fabric joins all chips;
    `inside`: it cannot join whole nodes; `pairs`: its links that join each with each, which grow with the square of its
    size.
    An axis of its kind: `neighbours`: chips next to each other are joined, so it cannot be cut, and a run of them is a
    line; `wraps`: the last is next to the first; `one_way`: links lead on round it and not back; `fabric`: all reach each
    other through switches, by one port each; `any_places`: whichever of its chips are taken are wired as the whole is;
    `ways`: the shortest ways along it, None to search level by level with `search`.
    Facts: hops across it, and what its wires carry one way between halves.
    Pictures: `picture` in text; `places` of chips on a map.
    """

    name: str
    # how it is written
    example: str = "(n)"
    sizes: tuple[int, int] = (1, 1)
    options: tuple[str, ...] = ()
    # how it is built
    build: Callable[[Site, WiringShape], None] = _nothing
    axes: Callable[[WiringShape], tuple[str, ...]] | None = None
    ports: Callable[[WiringShape], int] | None = None
    shared: Callable[[WiringShape], bool] = lambda _shape: False
    inside: bool = False
    pairs: Callable[[WiringShape], int] = lambda _shape: 0
    # what an axis of its kind is
    neighbours: bool = False
    wraps: bool = False
    one_way: bool = False
    fabric: bool = False
    any_places: bool = False
    ways: Ways | None = None
    search: type[TreeRoutes] | type[GraphRoutes] = GraphRoutes
    # facts
    facts: Callable[[Instance], tuple[int, Bisection]] = searched_facts
    # pictures
    picture: Callable[[Canvas], Drawn] = neighbours_listed
    places: Callable[[Topology], dict[str, Place]] = in_a_circle

    def __repr__(self) -> str:
        return f"Wiring({self.name}{self.example})"

    def axis_kinds(self, shape: WiringShape) -> tuple[str, ...]:
        """The kind of each of its axes."""
        return (self.name,) if self.axes is None else self.axes(shape)


def each_with_each(count: int) -> int:
    """Links that join each of so many with each."""
    return count * (count - 1) // 2
