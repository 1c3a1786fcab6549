"""The network as a map: chips and switches, and how loaded the links between them were.

Model: the load of a direction of a link is the time that its bytes take at its full rate, over the run's time. A line of
the map stands for all wires between two nodes, both ways, and shows the most loaded of them. Of chips that were simulated
once for several, the links of each have the load of the one that was simulated.
Where chips and switches lie is said by `hw.network.picture`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.plots.style import CHIP_COLOUR, SWITCH_COLOUR, inert, load_colour, styled
from analysis.words.causes import NETWORK
from hw import Dimension, Topology, Wire
from hw.input import show
from hw.network import map_places
from simulator import PS_PER_S, Plan, Result

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_CHIPS = 144
"""Chips beyond which a map is a black spot; the table of links says more."""

_MAX_LINES = 3000
_BUCKETS = 10

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class WireLoad:
    """A wire and the share of the run's time for which it was busy."""

    wire: Wire
    share: float


def wire_loads(result: Result) -> list[WireLoad]:
    """Every wire of the system with its load, in the topology's order; empty where nothing is wired."""
    plan, topology = result.plan, result.plan.system.topology
    if topology is None:
        return []
    work = _work_s(plan)
    count = len(topology.wires)  # the wires of hosts come after them
    stands_for = plan.folding.wire[:count] if plan.folding is not None else range(count)
    time_s = result.time_s
    loads = [work.get(topology.wires[first].name, 0.0) / time_s if time_s else 0.0 for first in stands_for]
    return [WireLoad(wire, load) for wire, load in zip(topology.wires, loads, strict=True)]


def _work_s(plan: Plan) -> Mapping[str, float]:
    program = plan.program
    pairs = zip(program.resources, program.work_ps(), strict=True)
    return {resource.name: work / PS_PER_S for resource, work in pairs if resource.cause == NETWORK.resource}


@dataclass(slots=True)
class _Line:
    """All wires between two nodes."""

    load: float = 0.0
    words: list[str] = field(default_factory=list)


def plot_topology(result: Result) -> Figure | None:
    """The map; None for one chip alone or more than `MAX_CHIPS`."""
    from plotly.graph_objects import Figure

    topology = result.plan.system.topology
    if topology is None or not 1 < topology.size <= MAX_CHIPS:
        return None
    lines: dict[tuple[str, str], _Line] = {}
    for each in wire_loads(result):
        first, second = sorted((each.wire.source, each.wire.target))
        line = lines.setdefault((first, second), _Line())
        line.load = max(line.load, each.share)
        rate = show(each.wire.bytes_per_s, Dimension.BANDWIDTH)
        line.words.append(
            f"{each.wire.source} → {each.wire.target} ({each.wire.link}, {rate}): {100 * each.share:.1f} %"
        )
    if len(lines) > _MAX_LINES:
        return None
    places = map_places(topology)
    figure = Figure([*_links(lines, places), *_nodes(topology, places)])
    hidden: dict[str, Any] = {"visible": False}
    wide = max(x for x, _ in places.values()) - min(x for x, _ in places.values())
    high = max(y for _, y in places.values()) - min(y for _, y in places.values())
    if high < 0.4 * wide:  # rows side by side: they may be stretched
        return styled(figure, 340 if high else 160, hidden, hidden)
    return styled(figure, 460, hidden, {**hidden, "scaleanchor": "x"})


def _links(lines: Mapping[tuple[str, str], _Line], places: Mapping[str, Place]) -> Iterator[Any]:
    """A trace of lines for each bucket of loads, and one of points that carry the words."""
    from plotly.graph_objects import Scatter

    step = min((math.dist(places[one], places[other]) for one, other in lines), default=1.0)
    chips = {pair for pair in lines if all(node.startswith("chip") for node in pair)}
    paths = {pair: _path(places[pair[0]], places[pair[1]], step if pair in chips else math.inf) for pair in lines}
    for bucket in range(_BUCKETS + 1):
        mine = [pair for pair, line in lines.items() if math.ceil(min(1.0, line.load) * _BUCKETS - 1e-9) == bucket]
        if not mine:
            continue
        xs: list[float | None] = []
        ys: list[float | None] = []
        for pair in mine:
            xs += [*(x for x, _ in paths[pair]), None]
            ys += [*(y for _, y in paths[pair]), None]
        name = f"load up to {100 * bucket // _BUCKETS} %" if bucket else "unused"
        look = {"color": load_colour(bucket / _BUCKETS), "width": 1.5 + 4 * bucket / _BUCKETS}
        yield Scatter(x=xs, y=ys, mode="lines", line=look, name=name, hoverinfo="skip")
    middles = [paths[pair][len(paths[pair]) // 2] for pair in lines]
    yield Scatter(
        x=[x for x, _ in middles],
        y=[y for _, y in middles],
        mode="markers",
        marker={"size": 12, "color": "rgba(0,0,0,0)"},
        customdata=["<br>".join(map(inert, line.words[:8])) for line in lines.values()],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def _path(here: Place, there: Place, step: float) -> list[Place]:
    """A straight line to a neighbour; a bow to whoever lies further than `step` away in the same row or column (a
    wraparound)."""
    span = math.dist(here, there)
    straight = min(abs(here[0] - there[0]), abs(here[1] - there[1])) < 1e-9
    middle = ((here[0] + there[0]) / 2, (here[1] + there[1]) / 2)
    if span <= 1.5 * step or not straight:
        return [here, middle, there]
    bow = 0.3 * step
    aside = ((there[1] - here[1]) / span * bow, -(there[0] - here[0]) / span * bow)
    parts = [at / 8 for at in range(9)]
    lift = [4 * part * (1 - part) for part in parts]
    return [
        (here[0] + (there[0] - here[0]) * part + aside[0] * up, here[1] + (there[1] - here[1]) * part + aside[1] * up)
        for part, up in zip(parts, lift, strict=True)
    ]


def _nodes(topology: Topology, places: Mapping[str, Place]) -> Iterator[Any]:
    from plotly.graph_objects import Scatter

    chips = topology.chip_numbers
    few = topology.size <= 64
    for chosen, name, symbol, size in ((True, "chip", "square", 20 if few else 11), (False, "switch", "circle", 13)):
        names = [node for node in places if (node in chips) == chosen]
        if not names:
            continue
        numbered = few and chosen
        yield Scatter(
            x=[places[node][0] for node in names],
            y=[places[node][1] for node in names],
            mode="markers+text" if numbered else "markers",
            text=[str(chips[node]) for node in names] if numbered else None,
            textfont={"size": 10, "color": "#ffffff"},
            marker={"symbol": symbol, "size": size, "color": CHIP_COLOUR if chosen else SWITCH_COLOUR},
            name=name,
            hovertext=[inert(node) for node in names],
            hovertemplate="%{hovertext}<extra></extra>",
        )
