"""Topologies as text: 'ring(4)', 'torus(4,8,wrap=[yes,no]) over ici', a graph file, or a list of such levels, inside out.

Model: each level is built once for every group of its children. Levels over the same link share a chip's ports: lattices
take what their neighbours need, switches, trees and full meshes share what is left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hw.chips.chip import Link
from hw.input.errors import unknown
from hw.network.graphs.data import graph_from
from hw.network.graphs.file import GRAPH_SUFFIXES, MAX_LINKS, read_graph
from hw.network.graphs.graph import Graph
from hw.network.recognition.recognise import recognised
from hw.network.site import Shape, Site
from hw.network.topology import MAX_CHIPS, Axis, Level, Topology, Trunk, Wire, graph_reader
from hw.network.wirings.forms import FORMS, REDUCTION, Form, one_axis

Links = Mapping[str, Link]
LinksOf = Callable[[int], Links]
"""The links of each chip, by its number."""

Written = Any
"""A level: its text, or a networkx graph (which has no types)."""

MAX_LEVELS = 6
_TEXT = re.compile(r"([A-Za-z_]\w*)\s*\(([^()]*)\)")
_PART = re.compile(r"\s*+(?:([A-Za-z_]\w*+)\s*+=\s*+)?(\[[^\[\]]*+\]|[^,\[\]=]++)\s*+(?:,|$)")


@dataclass(frozen=True)
class _Written:
    """A level as it was written, and its text in short."""

    text: str
    kind: str
    form: Form
    shape: Shape
    link: str


def parse_topology(
    text: Written | Sequence[Written],
    links: Links,
    links_of: LinksOf | None = None,
    base: Path | None = None,
    over: str = "",
) -> Topology:
    """The topology written as 'ring(4)', as a networkx graph, or as a list of such levels, over a chip's links.

    A level that names no link is over the link `over`, or else the chip's first. `links_of` gives the links of each chip
    where they differ; a link must be there on all. The path of a graph file is relative to `base`. Raises ValueError with a
    message for the user (form, kind, size, link, or too few ports), and SpecError with places for what is wrong inside a
    graph.
    """
    texts = tuple(text) if isinstance(text, (list, tuple)) else (text,)
    if not 1 <= len(texts) <= MAX_LEVELS:
        raise ValueError(f"a topology is a list of 1 to {MAX_LEVELS} levels, inside out")
    if over and over not in links:
        raise ValueError(unknown("link", over, links))
    first = {over: links[over], **links} if over else links
    written = [_read(each, first, len(texts) == 1, base) for each in texts]
    size = 1
    for level in written:
        if level.form.inside and size > 1:
            raise ValueError(f"'{level.text}' can only be the first level of a list: it joins chips, not whole nodes")
        size *= level.shape.count
    if not 1 <= size <= MAX_CHIPS:
        shown = " x ".join(level.text for level in written)
        raise ValueError(f"{shown} is out of range: 1 to {MAX_CHIPS} chips")
    pairs = sum(level.form.pairs(level.shape) * (size // level.shape.count) for level in written)
    if pairs > MAX_LINKS:
        shown = " x ".join(level.text for level in written)
        raise ValueError(
            f"{shown} has {pairs} links, {MAX_LINKS} are the most; a switch joins as many chips with one each"
        )
    _check_ports(written, size, links, links_of)
    return recognised(_build(written, size, links_of or (lambda _chip: links)))


@graph_reader
def _from_networkx(graph: Any, links: Links, over: str) -> Topology:
    return parse_topology(graph, links, over=over)


def _read(text: Written, links: Links, alone: bool, base: Path | None) -> _Written:
    if not isinstance(text, str):
        return _drawn("graph", graph_from(text), next(iter(links), "link"))
    body, name = over_link(text)
    if body.endswith(GRAPH_SUFFIXES):
        return _drawn(body, read_graph(body, base), name or next(iter(links), "link"))
    match = _TEXT.fullmatch(body)
    if match is None and text.strip().startswith("["):
        raise ValueError(f"'{text[:60]}' is a list in quotes: without them it is a list of levels, inside out")
    if match is None:
        known = ", ".join(f"{kind}{form.example}" for kind, form in FORMS.items())
        endings = ", ".join(GRAPH_SUFFIXES)
        raise ValueError(
            f"'{text[:60]}' is not a topology; write one of {known}, optionally 'over LINK', or a graph file ({endings})"
        )
    kind, chosen = match[1], name or next(iter(links), "")
    if kind not in FORMS:
        raise ValueError(unknown("topology", kind, FORMS))
    form = FORMS[kind]
    shape = _shape(body, kind, form, match[2])
    short = _short(kind, shape)
    if chosen not in links and (chosen or shape.count > 1):
        raise ValueError(unknown("link", chosen, links))
    if not alone and not name and len(links) > 1:
        raise ValueError(f"'{short}': in a list of levels each says its link, as in '{kind}(...) over {chosen}'")
    return _Written(short, kind, form, shape, chosen)


def _drawn(text: str, graph: Graph, link: str) -> _Written:
    """A level that a graph gives."""
    return _Written(text, "graph", Form(graph.build, one_axis("graph"), inside=True), Shape((graph.size,), {}), link)


def over_link(text: str) -> tuple[str, str]:
    """What is wired, and the link after 'over' ('' without)."""
    body, over, link = text.strip().rpartition(" over ")
    return (body.strip(), link.strip()) if over and link.strip().isidentifier() else (text.strip(), "")


def _shape(text: str, kind: str, form: Form, inside: str) -> Shape:
    """The sizes and options between the brackets."""
    sizes: list[int] = []
    options: dict[str, str] = {}
    for name, value in _parts(text, inside):
        if name:
            if name not in form.options:
                raise ValueError(unknown(f"option of {kind}", name, form.options))
            options[name] = value
        elif re.fullmatch(r"\d{1,9}", value) and not options:
            sizes.append(int(value))
        else:
            raise ValueError(f"'{text[:60]}' is not a topology: '{value[:20]}' is not a size")
    least, most = form.sizes
    if not least <= len(sizes) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"'{text[:60]}' is not a topology: {kind} takes {wanted} sizes, as in {kind}{form.example}")
    if min(sizes) < 1:
        raise ValueError(f"{kind}({inside.strip()[:40]}) is out of range: 1 to {MAX_CHIPS} chips")
    return Shape(sizes, options)


def _parts(text: str, inside: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(inside):
        match = _PART.match(inside, at)
        if match is None:
            raise ValueError(f"'{text[:60]}' is not a topology: cannot read '{inside[at : at + 20]}'")
        yield match[1] or "", match[2].strip()
        at = match.end()


def _short(kind: str, shape: Shape) -> str:
    parts = [*map(str, shape.sizes), *(f"{name}={value}" for name, value in shape.options.items())]
    return f"{kind}({','.join(parts)})"


@dataclass(frozen=True)
class _Shares:
    """How a chip's ports are shared out over the levels: by lattices as they need, by the rest alike."""

    needed: Mapping[str, int]
    takers: Mapping[str, int]

    def ports_of(self, name: str) -> Callable[[Link], float]:
        """Ports that each level without a number of its own has on a link."""
        needed, takers = self.needed.get(name, 0), max(1, self.takers.get(name, 0))
        return lambda link: (link.count - needed) / takers


def _shares(written: Sequence[_Written]) -> _Shares:
    needed: dict[str, int] = {}
    takers: dict[str, int] = {}
    for level in written:
        if level.kind == "graph":
            continue  # it says itself how many ports each of its links takes
        if level.form.ports is not None and level.shape.count > 1:
            needed[level.link] = needed.get(level.link, 0) + level.form.ports(level.shape)
        elif level.form.ports is None:
            takers[level.link] = takers.get(level.link, 0) + 1
    return _Shares(needed, takers)


def _check_ports(written: Sequence[_Written], size: int, links: Links, links_of: LinksOf | None) -> None:
    """Each kind of chip must have the links, and ports enough for the levels over each."""
    shares = _shares(written)
    kinds = {id(links): (0, links)} if links_of is None else {}
    for chip in range(size if links_of else 0):
        assert links_of is not None
        kinds.setdefault(id(links_of(chip)), (chip, links_of(chip)))
    for chip, mine in kinds.values():
        who = f"chip {chip}: " if len(kinds) > 1 else ""
        for name in {**shares.needed, **shares.takers}:
            if name not in mine and size > 1:
                raise ValueError(who + unknown("link", name, mine))
            needed = shares.needed.get(name, 0) + shares.takers.get(name, 0)
            have = mine[name].count if name in mine else needed
            if needed > have:
                texts = " and ".join(level.text for level in written if level.link == name and level.shape.count > 1)
                raise ValueError(f"{who}{texts} needs {needed} ports a chip, {name} has {have}")


def _build(written: Sequence[_Written], size: int, links_of: LinksOf) -> Topology:
    levels: list[Level] = []
    trunks: list[tuple[Trunk, ...]] = []
    wires: list[Wire] = []
    inner = 1
    shares = _shares(written)
    for number, each in enumerate(written):
        span = inner * each.shape.count
        found: list[Trunk] = []
        for instance in range(size // span):
            site = Site(
                range(instance * span, (instance + 1) * span),
                inner,
                number,
                each.link,
                _link_of(each.link, links_of),
                shares.ports_of(each.link),
                lambda chip: links_of(chip).get("pcie"),
                "" if len(written) == 1 else f"level{number}.{instance}.",
                len(wires),
            )
            if each.shape.count > 1 or each.form.shared(each.shape):
                each.form.build(site, each.shape)
            wires.extend(site.wires)
            found.extend(site.trunks)
        trunks.append(tuple(found))
        levels.append(replace(_level(each, number, inner), in_switch_reduction=_adds(each, size, links_of)))
        inner = span
    return Topology(tuple(levels), size, tuple(wires), tuple(trunks))


def _link_of(name: str, links_of: LinksOf) -> Callable[[int], Link]:
    def link(chip: int) -> Link:
        links = links_of(chip)
        if not links:
            raise ValueError(
                "a link without a bandwidth takes the ports of a chip's link, and there is none to take from"
            )
        if name not in links:  # a graph's link need not be one of the chip's, unless it takes its figures from there
            raise ValueError(f"chip {chip}: {unknown('link', name, links)}")
        return links[name]

    return link


def _adds(written: _Written, size: int, links_of: LinksOf) -> bool:
    """Whether the switches of a level can add up: as it says, or as the links of all chips do."""
    kinds = {id(links): links for links in map(links_of, range(size))}
    known = all(written.link in links and links[written.link].in_switch_reduction for links in kinds.values())
    return written.shape.flag(REDUCTION, known)


def _level(written: _Written, number: int, inner: int) -> Level:
    over = f" over {written.link}" if written.link else ""
    shape, kinds = written.shape, written.form.axes(written.shape)
    sizes = (shape.count,) if len(kinds) == 1 else shape.sizes
    axes = tuple(
        Axis(kind, size, inner * math.prod(sizes[at + 1 :]), number)
        for at, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
    )
    shared = written.form.shared(shape)
    drawn = "graph" if written.kind == "graph" else ""
    return Level(written.text + over, written.kind, written.link, axes, shape.count, inner, shared, drawn=drawn)
