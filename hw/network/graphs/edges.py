"""Lists of edges: a line is `source target bandwidth [latency]`, separated by blanks or commas, or, as networkx writes
it, `source target {'bandwidth': ..., ...}`; # begins a comment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

from hw.input.document import Document
from hw.input.errors import Mark, Problems
from hw.input.units import Dimension, parse
from hw.input.validation import validate
from hw.network.graphs.check import check_links, finished, text_of
from hw.network.graphs.data import LinkSpec
from hw.network.graphs.graph import Graph, GraphLink

_QUANTITY = re.compile(r'"([^"]*)"|([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*(?:[A-Za-z%][A-Za-z/%]*)?)|(\S+)')
_HEADER = ("source", "target")


def read_edges(path: Path) -> Graph:
    """The graph in a list of edges. Raises SpecError with every problem at its place."""
    problems = Problems()
    links: list[GraphLink] = []
    marks: list[tuple[Mark, Mark]] = []
    for number, line in enumerate(text_of(path).splitlines(), 1):
        body = line.partition("#")[0].replace(",", " ").replace("\t", " ")
        words = [(match[0].strip('"'), match.start() + 1) for match in re.finditer(r"\S+", body)]
        if not words or (not links and tuple(word.lower() for word, _ in words[:2]) == _HEADER):
            continue
        places = [Mark(str(path), number, column) for _, column in words]
        if len(words) < 3:
            problems.add(places[0], "a line is: source target bandwidth [latency], as in 'chip0 switch 25GB/s 1us'")
            continue
        rest = words[2][1] - 1
        here = Mark(str(path), number, rest + 1)
        read = _attributes if body[rest] == "{" else _quantities
        found = read(line[rest:] if body[rest] == "{" else body[rest:], here, problems)
        if found is not None:
            links.append(GraphLink(words[0][0], words[1][0], *found))
            marks.append((places[0], places[1]))
    nodes = dict.fromkeys(name for link in links for name in (link.source, link.target))
    check_links(links, lambda at, end: marks[at][end], problems, nodes)
    problems.raise_if_any()  # which chips there are is not known from half the lines
    return finished(nodes, links, False, Mark(str(path)), problems)


_Figures = tuple[float | None, float | None, int]
"""Bandwidth, latency and count."""


def _attributes(text: str, mark: Mark, problems: Problems) -> _Figures | None:
    """The figures of a link whose attributes are written as networkx does, or None after saying what is wrong."""
    try:
        given = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        given = None
    if not isinstance(given, dict):
        problems.add(
            mark, "the attributes of a link are written {'bandwidth': '25 GB/s', 'latency': '1 us', 'count': 1}"
        )
        return None
    data = {**{str(key): value for key, value in given.items()}, "source": "a", "target": "b"}
    spec = validate(LinkSpec, Document(mark.file, data, {(): mark}), problems)
    return (spec.bandwidth, spec.latency, spec.count) if spec else None


def _quantities(text: str, mark: Mark, problems: Problems) -> _Figures | None:
    """The bandwidth and the latency at the end of a line, or None after saying what is wrong."""
    found: list[float] = []
    for match in _QUANTITY.finditer(text):
        word = (match[1] or match[0]).strip()
        here = mark.moved(match.start())
        if len(found) == len(_FIGURES):
            problems.add(here, f"'{word[:20]}' is too much: a line is source target bandwidth [latency]")
            return None
        name, dimension, allowed, range_ = _FIGURES[len(found)]
        try:
            number = parse(word, dimension)
        except ValueError as error:
            problems.add(here, str(error).replace("{key}", name))
            return None
        if not allowed(number):
            problems.add(here, f"'{word}' is out of range: {name} must be {range_}")
            return None
        found.append(number)
    return (found[0], found[1] if len(found) > 1 else None, 1)


_FIGURES: tuple[tuple[str, Dimension, Callable[[float], bool], str], ...] = (
    ("bandwidth", Dimension.BANDWIDTH, lambda number: number > 0, "more than 0"),
    ("latency", Dimension.TIME, lambda number: number >= 0, "0 or more"),
)
