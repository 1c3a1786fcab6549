"""Topologies as text: 'ring(4)', 'torus(4,8,wrap=[yes,no]) over ici', a graph file, or a list of such levels, inside out.

Model: a level is a wiring with sizes and options between brackets, and the link that it goes over. How levels are built
is said by `hw.network.levels`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw.input.wording import unknown
from hw.network.graphs.data import graph_from
from hw.network.graphs.file import GRAPH_SUFFIXES, MAX_LINKS, read_graph
from hw.network.graphs.graph import Graph
from hw.network.levels import Links, LinksOf, WrittenLevel, built, check_ports
from hw.network.recognition.recognise import recognised
from hw.network.shape import WiringShape
from hw.network.topology import MAX_CHIPS, Topology, graph_reader
from hw.network.wirings.base import Wiring
from hw.network.wirings.custom import GRAPH
from hw.network.wirings.registry import written_wirings

Written = Any
"""A level: its text, or a networkx graph (which has no types)."""

MAX_LEVELS = 6
_TEXT = re.compile(r"([A-Za-z_]\w*)\s*\(([^()]*)\)")
_PART = re.compile(r"\s*+(?:([A-Za-z_]\w*+)\s*+=\s*+)?(\[[^\[\]]*+\]|[^,\[\]=]++)\s*+(?:,|$)")


class TextError(ValueError):
    """Something is wrong with how a topology is written, whatever links a chip has."""


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
    message for the user (link, or too few ports; TextError: form, kind, size), and SpecError with places for what is wrong
    inside a graph.
    """
    texts = tuple(text) if isinstance(text, (list, tuple)) else (text,)
    if not 1 <= len(texts) <= MAX_LEVELS:
        raise TextError(f"a topology is a list of 1 to {MAX_LEVELS} levels, inside out")
    if over and over not in links:
        raise ValueError(unknown("link", over, links))
    first = {over: links[over], **links} if over else links
    written = [_read(each, first, len(texts) == 1, base) for each in texts]
    size = 1
    for level in written:
        if level.wiring.inside and size > 1:
            raise TextError(f"'{level.text}' can only be the first level of a list: it joins chips, not whole nodes")
        size *= level.shape.count
    if not 1 <= size <= MAX_CHIPS:
        shown = " x ".join(level.text for level in written)
        raise TextError(f"{shown} is out of range: 1 to {MAX_CHIPS} chips")
    pairs = sum(level.wiring.pairs(level.shape) * (size // level.shape.count) for level in written)
    if pairs > MAX_LINKS:
        shown = " x ".join(level.text for level in written)
        raise TextError(
            f"{shown} has {pairs} links, {MAX_LINKS} are the most; a switch joins as many chips with one each"
        )
    check_ports(written, size, links, links_of)
    return recognised(built(written, size, links_of or (lambda _chip: links)))


@graph_reader
def _from_networkx(graph: Any, links: Links, over: str) -> Topology:
    return parse_topology(graph, links, over=over)


def _read(text: Written, links: Links, alone: bool, base: Path | None) -> WrittenLevel:
    if not isinstance(text, str):
        return _drawn(GRAPH.name, graph_from(text), next(iter(links), "link"))
    body, name = over_link(text)
    if body.endswith(GRAPH_SUFFIXES):
        return _drawn(body, read_graph(body, base), name or next(iter(links), "link"))
    match = _TEXT.fullmatch(body)
    if match is None and text.strip().startswith("["):
        raise TextError(f"'{text[:60]}' is a list in quotes: without them it is a list of levels, inside out")
    if match is None:
        known = ", ".join(f"{kind}{wiring.example}" for kind, wiring in written_wirings().items())
        endings = ", ".join(GRAPH_SUFFIXES)
        raise TextError(
            f"'{text[:60]}' is not a topology; write one of {known}, optionally 'over LINK', or a graph file ({endings})"
        )
    kind, chosen = match[1], name or next(iter(links), "")
    known_wirings = written_wirings()
    if kind not in known_wirings:
        raise TextError(unknown("topology", kind, known_wirings))
    wiring = known_wirings[kind]
    shape = _shape(body, wiring, match[2])
    short = _short(kind, shape)
    if chosen not in links and (chosen or shape.count > 1):
        raise ValueError(unknown("link", chosen, links))
    if not alone and not name and len(links) > 1:
        raise ValueError(f"'{short}': in a list of levels each says its link, as in '{kind}(...) over {chosen}'")
    return WrittenLevel(short, wiring, shape, chosen)


def _drawn(text: str, graph: Graph, link: str) -> WrittenLevel:
    """A level that a graph gives."""
    return WrittenLevel(text, replace(GRAPH, build=graph.build), WiringShape((graph.size,)), link)


def over_link(text: str) -> tuple[str, str]:
    """What is wired, and the link after 'over' ('' without)."""
    body, over, link = text.strip().rpartition(" over ")
    return (body.strip(), link.strip()) if over and link.strip().isidentifier() else (text.strip(), "")


def _shape(text: str, wiring: Wiring, inside: str) -> WiringShape:
    """The sizes and options between the brackets."""
    sizes: list[int] = []
    options: dict[str, str] = {}
    for name, value in _parts(text, inside):
        if name:
            if name not in wiring.options:
                raise TextError(unknown(f"option of {wiring.name}", name, wiring.options))
            options[name] = value
        elif re.fullmatch(r"\d{1,9}", value) and not options:
            sizes.append(int(value))
        else:
            raise TextError(f"'{text[:60]}' is not a topology: '{value[:20]}' is not a size")
    least, most = wiring.sizes
    if not least <= len(sizes) <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        example = f"{wiring.name}{wiring.example}"
        raise TextError(f"'{text[:60]}' is not a topology: {wiring.name} takes {wanted} sizes, as in {example}")
    if min(sizes) < 1:
        raise TextError(f"{wiring.name}({inside.strip()[:40]}) is out of range: 1 to {MAX_CHIPS} chips")
    return WiringShape(tuple(sizes), tuple(options.items()))


def _parts(text: str, inside: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(inside):
        match = _PART.match(inside, at)
        if match is None:
            raise TextError(f"'{text[:60]}' is not a topology: cannot read '{inside[at : at + 20]}'")
        yield match[1] or "", match[2].strip()
        at = match.end()


def _short(kind: str, shape: WiringShape) -> str:
    parts = [*map(str, shape.sizes), *(f"{name}={value}" for name, value in shape.options)]
    return f"{kind}({','.join(parts)})"
