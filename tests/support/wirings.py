"""Random systems of every kind of wiring, and random programs on them: what the laws of the model are tried on.

Model: a `Wired` is a topology as a user writes it (text, levels, or a networkx graph) with the sizes of its mesh axes; all
chips are alike. A program's ops run on all chips, unless it is asked for transfers between two. Shapes divide by every size.
Assumes: twelve chips at most, so that a law can try hundreds of cases in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import networkx as nx
from hypothesis import strategies as st

from hw import Chip, Mesh, System, Topology, parse_topology
from simulator import ALGORITHMS, OpGraph, Result, RunOptions, parse_graph, simulate
from tests.support.drawing import among, between, shuffled, unlike
from tests.support.strategies import chip_with, faster

DIMS = {"E": 5040, "F": 2520}
ALPHAS = (0.0, 1e-6, 5e-6)


@cache
def chip_of(alpha: float, factor: float = 1.0) -> Chip:
    """A GPU with twelve ports and a latency; NICs are three times as late. `factor`: all rates times, all latencies over."""
    figures = {
        "links.nvlink.count": 12,
        "links.infiniband.count": 2,
        "links.nvlink.latency": alpha,
        "links.infiniband.latency": 3 * alpha,
    }
    chip = chip_with("h100_sxm", figures)
    return chip if factor == 1.0 else faster(chip, factor)


@dataclass(frozen=True)
class Wired:
    """A topology as it is written, the sizes of its mesh axes, and groups of its chips by name."""

    written: Any
    sizes: tuple[int, ...]
    groups: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def system(self, alpha: float = 0.0, factor: float = 1.0) -> System:
        """The system, its hops of `alpha` seconds."""
        chip = chip_of(alpha, factor)
        return System(chip, self.topology(alpha, factor), Mesh(dict(zip("XYZ", self.sizes, strict=False)), self.groups))

    def topology(self, alpha: float, factor: float = 1.0) -> Topology:
        """The topology alone."""
        if isinstance(self.written, nx.Graph):
            graph = self.written.copy()
            for *_, figures in graph.edges(data=True):
                figures["bandwidth"] *= factor
                figures["latency"] = alpha / factor
            return Topology.from_networkx(graph)
        return parse_topology(self.written, chip_of(alpha, factor).links)

    @property
    def axes(self) -> str:
        """The names of all mesh axes together."""
        return "XYZ"[: len(self.sizes)]


def _text(kind: str, *sizes: Any, **options: Any) -> str:
    written = [str(size) for size in sizes] + [f"{key}={value}" for key, value in options.items() if value]
    return f"{kind}({','.join(written)}) over nvlink"


@st.composite
def lattices(draw: st.DrawFn) -> Wired:
    """Rings, lines, tori, grids, and tori of which some axes do not wrap."""
    sizes = draw(among([(2,), (3,), (5,), (8,), (2, 2), (2, 3), (4, 2), (3, 3), (4, 3), (2, 2, 3)]))
    if len(sizes) == 1:
        return Wired(_text(draw(among(["ring", "line"])), *sizes), sizes)
    wraps = draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    wrap = f"[{','.join('yes' if each else 'no' for each in wraps)}]"
    return Wired(_text("torus", *sizes, wrap=wrap), sizes)


@st.composite
def trees(draw: st.DrawFn) -> Wired:
    """Fat trees, thin or not, with a last leaf that may be short, and one spine or several."""
    size, leaf = draw(among([3, 4, 5, 6, 7, 8, 9, 10, 12])), draw(between(2, 5))
    thin, spines = draw(among([1, 2, 4])), draw(among([0, 2, 3]))
    return Wired(_text("fat_tree", size, leaf=leaf, oversubscription=thin, spines=spines), (size,))


@st.composite
def levels(draw: st.DrawFn) -> Wired:
    """Nodes on a switch or a tree of NICs, one a chip or shared, with rails or without."""
    inner, outer = draw(between(2, 4)), draw(between(2, 3))
    node = draw(among(["switch", "ring", "full", "line"]))
    above = draw(
        st.sampled_from(
            [
                "switch({})",
                "switch({},nics=2)",
                "fat_tree({},leaf=2,oversubscription=2)",
                "fat_tree({},leaf=2,rails=yes)",
                "fat_tree({},leaf=2,rails=yes,oversubscription=2,spines=2)",
                "line({})",
            ]
        )
    )
    return Wired([_text(node, inner), f"{above.format(outer)} over infiniband"], (inner, outer))


@st.composite
def graphs_of_chips(draw: st.DrawFn) -> Wired:
    """Connected networkx graphs: a tree through all chips and more links, of two widths; or a ring that leads one way."""
    size = draw(between(3, 7))
    names = draw(shuffled(range(size)))
    if draw(between(0, 3)) == 0:
        one_way = nx.DiGraph()
        for at in range(size):
            one_way.add_edge(names[at], names[(at + 1) % size], bandwidth=50e9)
        return Wired(one_way, (size,))
    graph = nx.Graph()
    graph.add_nodes_from(range(size))
    widths = st.sampled_from([50e9, 50e9, 100e9])
    for at in range(1, size):
        graph.add_edge(names[at], names[draw(between(0, at - 1))], bandwidth=draw(widths))
    for _ in range(draw(between(0, size))):
        here, there = draw(unlike(0, size - 1, 2, 2))
        graph.add_edge(here, there, bandwidth=draw(widths))
    return Wired(graph, (size,))


def _sized(kind: str) -> st.SearchStrategy[Wired]:
    return st.integers(2, 8).map(lambda size: Wired(_text(kind, size), (size,)))


DRAGONFLIES = st.sampled_from([(2, 2, 2), (3, 2, 1), (3, 2, 2), (2, 3, 2)]).map(
    lambda sizes: Wired(_text("dragonfly", *sizes), (sizes[0] * sizes[1] * sizes[2],))
)


ANY = st.one_of(
    lattices(), _sized("full"), _sized("switch"), trees(), DRAGONFLIES, levels(), graphs_of_chips()
)  # made once: a strategy that is made for every draw is looked through anew each time


@st.composite
def wirings(draw: st.DrawFn, groups: bool = False) -> Wired:
    """Any of them; with `groups` some of the chips may have a name together."""
    wired: Wired = draw(ANY)
    if not groups or draw(between(0, 2)):
        return wired
    size = math.prod(wired.sizes)
    chips = draw(shuffled(range(size)))
    cut = draw(between(2, min(size, 10)))
    named = {"A": tuple(chips[:cut])}
    if size - cut > 1:
        named["B"] = tuple(chips[cut:])
    return Wired(wired.written, wired.sizes, named)


_WIRINGS = (wirings(), wirings(groups=True))


KINDS = {
    "all_gather": "y{at}:bf16[E,F] = all_gather(x{at}:bf16[E_{o},F], over={o}{more})",
    "reduce_scatter": "y{at}:bf16[E_{o},F] = reduce_scatter(x{at}:bf16[E,F]{{U_{o}}}, over={o}{more})",
    "all_reduce": "y{at}:bf16[E,F] = all_reduce(x{at}:bf16[E,F]{{U_{o}}}, over={o}{more})",
    "all_to_all": "y{at}:bf16[E,F_{o}] = all_to_all(x{at}:bf16[E_{o},F], over={o}{more})",
    "broadcast": "y{at}:bf16[E,F] = broadcast(x{at}:bf16[E,F], over={o}, root=1{more})",
    "reduce_to": "y{at}:bf16[E,F] = reduce_to(x{at}:bf16[E,F]{{U_{o}}}, over={o}, root=1{more})",
    "gather_to": "y{at}:bf16[E,F] = gather_to(x{at}:bf16[E_{o},F], over={o}, root=1{more})",
    "scatter": "y{at}:bf16[E_{o},F] = scatter(x{at}:bf16[E,F], over={o}, root=1{more})",
    "permute": "y{at}:bf16[E,F] = permute(x{at}:bf16[E,F], over={o}, shift=1{more})",
}
"""Every kind of collective."""

KERNELS = (
    "y{at}:bf16[E,F] = gelu(x{at}:bf16[E,F]{more})",
    "y{at}:bf16[E,E] = matmul(x{at}:bf16[E,F], w{at}:bf16[F,E]{more})",
    "y{at}:bf16[1] = custom(x{at}:bf16[1], flops=2e10 FLOP, bytes=50 MB, unit=matrix, tiles=3{more})",
    "y{at}:bf16[1] = custom(x{at}:bf16[1], flops=4e9 FLOP, bytes=1 MB, unit=vector, tiles=1{more})",
    "y{at}:bf16[1] = custom(x{at}:bf16[1], time=20 us{more})",
)
ALGORITHM_NAMES = ("canonical", "auto", *ALGORITHMS)


@dataclass(frozen=True)
class Case:
    """A program on a system, and how to run it."""

    wired: Wired
    alpha: float
    lines: tuple[str, ...]
    options: dict[str, Any]

    def graph(self) -> OpGraph:
        """The program."""
        return parse_graph(list(self.lines), DIMS)

    def run(self, **changed: Any) -> Result:
        """A run, some options of it changed."""
        return simulate(self.graph(), self.wired.system(self.alpha), RunOptions(**{**self.options, **changed}))


@st.composite
def _more(draw: st.DrawFn, before: Sequence[str]) -> str:
    """Where and when an op is issued, and in how many pieces."""
    words = draw(among(["", "", ", chunks=2", ", chunks=3", ", priority=1"]))
    words += draw(among(["", "", ", queue=side", ", queue=third"]))
    if before and draw(between(0, 2)) == 0:
        words += f", after=[{draw(among(before))}]"
    return words


@st.composite
def _transfer(draw: st.DrawFn, at: int, size: int, more: str) -> list[str]:
    source, target = draw(unlike(0, size - 1, 2, 2))
    ends = f"from={source}, to={target}"
    return [f"y{at}:bf16[E,77] = send(x{at}:bf16[E,77], {ends}{more})", f"r{at}:bf16[E,77] = recv({ends}{more})"]


@st.composite
def cases(
    draw: st.DrawFn, transfers: bool = True, groups: bool = True, most: int = 5, networks: Sequence[str] = ("task",)
) -> Case:
    """A program of a few ops in a few queues on any wiring: kernels and collectives; with `transfers` also sends."""
    wired = draw(_WIRINGS[groups])
    size = math.prod(wired.sizes)
    over = [*wired.axes, *wired.groups, *([wired.axes] if len(wired.axes) > 1 else [])]
    lines: list[str] = []
    names: list[str] = []
    for at in range(draw(between(1, most))):
        more = draw(_more(names))
        sort = draw(among(["kernel", "collective", "collective", "pair" if transfers else "kernel"]))
        if sort == "pair":
            lines += draw(_transfer(at, size, more.replace(", chunks=2", "").replace(", chunks=3", "")))
        else:
            menu = KERNELS if sort == "kernel" else tuple(KINDS.values())
            axis = draw(among(over))
            lines.append(draw(among(menu)).format(at=at, o=axis, more=more))
        names.append(f"y{at}")
    options = {
        "overlap": draw(among(["full", "none", "auto"])),
        "order": draw(among(["program", "ready"])),
        "collectives": draw(among(ALGORITHM_NAMES)),
        "routing": draw(among(["split", "single", "minimal", "ecmp"])),
        "network": draw(among(networks)),
        "launch_s": draw(among([0.0, 1e-6])),
        "spread": draw(among([0.0, 0.0, 0.03])),
        "sharding": "written",
    }
    return Case(wired, draw(among(ALPHAS)), tuple(lines), options)


def slack_s(result: Result) -> float:
    """What "equal" means: 1e-9 of the time, or a picosecond for each task."""
    return max(1e-9 * result.time_s, 1e-12 * (1 + len(result.plan.program)))
