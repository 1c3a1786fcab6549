"""Custom wirings from a file: networkx node-link JSON, GraphML, or a list of edges.

JSON: {"directed": false, "nodes": [{"id": "chip0"}, ...], "links": [{"source", "target", "bandwidth", "latency", "count"}]}
(also under "edges", as newer networkx writes it). Edge list (.edges, .txt, .csv): a line is `source target bandwidth
[latency]`, separated by blanks or commas, or `source target {'bandwidth': ..., ...}` as networkx writes it; # begins a
comment. What it means is said in `hw.network.graphs.graph`. Other attributes of nodes and links are passed over.
Every mistake is reported at once with its place, and chips that cannot be reached are named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hw.input.document import Document
from hw.input.errors import Mark, Problem, SpecError
from hw.input.files import is_file
from hw.input.yaml_text import read_document
from hw.network.graphs.check import text_of
from hw.network.graphs.data import graph_from, graph_of
from hw.network.graphs.edges import read_edges
from hw.network.graphs.graph import Graph

MAX_NODES = 262_144
"""Nodes that a graph file may have."""
MAX_LINKS = 1_048_576
"""Links that a graph file may have."""


def read_graph(reference: str, base: Path | None = None) -> Graph:
    """The graph in a file; a relative path begins at `base`. Raises SpecError with every problem at its place."""
    path = (base or Path()) / reference
    if not is_file(path):
        raise ValueError(f"there is no graph file '{path}'")
    return _READERS[path.suffix](path)


def _read_json(path: Path) -> Graph:
    """Read fast; only where something is wrong, read again with the places of everything."""
    text = text_of(path)
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise SpecError([Problem(Mark(str(path), error.lineno, error.colno), f"not JSON: {error.msg}")]) from None
    except (ValueError, RecursionError):
        data = None
    _refuse_too_many(data, path)
    try:
        return graph_of(Document(str(path), data))
    except SpecError as error:
        try:
            placed = read_document(path)
        except SpecError as problem:
            raise (problem if data is None else error) from None
        return graph_of(placed)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key stands twice")
    return data


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not a number")


def _refuse_too_many(data: object, path: Path) -> None:
    for part, most in (("nodes", MAX_NODES), ("links", MAX_LINKS), ("edges", MAX_LINKS)):
        listed = data.get(part) if isinstance(data, dict) else None
        if isinstance(listed, list) and len(listed) > most:
            message = f"{len(listed):,} {part} are too many: a graph has at most {most:,}"
            raise SpecError([Problem(Mark(str(path)), message)])


def _read_graphml(path: Path) -> Graph:
    import networkx as nx  # late: it is slow to import

    text = text_of(path)
    try:
        return graph_from(nx.parse_graphml(text), Mark(str(path)))
    except SpecError:
        raise
    except SyntaxError as error:  # what the XML parser raises
        line, column = getattr(error, "position", (1, 0))
        raise SpecError([Problem(Mark(str(path), line, column + 1), f"not GraphML: {error.msg}")]) from None
    except (nx.NetworkXError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError([Problem(Mark(str(path)), f"not GraphML: {error}")]) from None


_READERS: Mapping[str, Callable[[Path], Graph]] = {
    ".json": _read_json,
    ".graphml": _read_graphml,
    ".edges": read_edges,
    ".txt": read_edges,
    ".csv": read_edges,
}
GRAPH_SUFFIXES = tuple(_READERS)
"""Endings of files that hold a graph."""
