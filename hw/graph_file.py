"""Custom wirings from a file: networkx node-link JSON, GraphML, or a list of edges.

JSON: {"directed": false, "nodes": [{"id": "chip0"}, ...], "links": [{"source", "target", "bandwidth", "latency", "count"}]}
(also under "edges", as newer networkx writes it). Edge list (.edges, .txt, .csv): a line is `source target bandwidth
[latency]`, separated by blanks or commas, or `source target {'bandwidth': ..., ...}` as networkx writes it; # begins a
comment. What it means is said in `hw.graph`. Other attributes of nodes and links are passed over: graphs come from elsewhere
and carry much; only what looks like a slip of the pen for one of ours is not.
Every mistake is reported at once with its place, and chips that cannot be reached are named.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hw.document import Document, Key, is_file, read_document
from hw.errors import Mark, Problem, Problems, SpecError, UnknownNames, shown
from hw.files import read_text
from hw.graph import CHIP, Graph, GraphLink
from hw.topology import MAX_CHIPS
from hw.units import Dimension, parse
from hw.validation import BytesPerSecond, Seconds, Spec, validate

MAX_BYTES = 64 * 2**20
MAX_NODES, MAX_LINKS = 262_144, 1_048_576
MAX_PORTS = 10_000
_LIKE_CHIP = re.compile(r"(?i)chip[\s_-]*0*([0-9]{1,9})")
_SHOWN = 5
_ALIKE = 0.85
"""How alike two words must be for one to be taken for a slip of the other."""


def read_graph(reference: str, base: Path | None = None) -> Graph:
    """The graph in a file; a relative path begins at `base`. Raises SpecError with every problem at its place."""
    path = (base or Path()) / reference
    if not is_file(path):
        raise ValueError(f"there is no graph file '{path}'")
    return _READERS[path.suffix](path)


# JSON


def _name(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError(f"{shown(value)} will not do for {{key}}: it wants the name of a node")
    return str(value)


_Name = Annotated[str, BeforeValidator(_name)]


class _NodeSpec(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: _Name


class _LinkSpec(Spec):
    source: _Name
    target: _Name
    bandwidth: BytesPerSecond | None = None
    latency: Seconds | None = None
    count: int = Field(default=1, gt=0, le=MAX_PORTS, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _pass_over(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if key in cls.model_fields or _slip(key, data)}


def _slip(key: object, given: Mapping[str, Any]) -> bool:
    """Whether an attribute must be meant for one of ours that is not given: 'bandwith', 'latency_ns'."""
    word = str(key).lower()
    for name in _LinkSpec.model_fields:
        begins = word.startswith(name) and name in ("bandwidth", "latency")
        if name not in given and (begins or SequenceMatcher(None, word, name).ratio() >= _ALIKE):
            return True
    return False


class _GraphSpec(Spec):
    directed: bool = Field(default=False, strict=True)
    multigraph: bool = True
    graph: dict[str, Any] | list[Any] = Field(default_factory=dict)
    nodes: list[_NodeSpec]
    links: list[_LinkSpec] | None = None
    edges: list[_LinkSpec] | None = None


def _read_json(path: Path) -> Graph:
    """Read fast; only where something is wrong, read again with the places of everything."""
    text = _text(path)
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise SpecError([Problem(Mark(str(path), error.lineno, error.colno), f"not JSON: {error.msg}")]) from None
    except (ValueError, RecursionError):
        data = None
    _refuse_too_many(data, path)
    try:
        return _graph_of(Document(str(path), data))
    except SpecError as error:
        try:
            placed = read_document(path)
        except SpecError as problem:
            raise (problem if data is None else error) from None
        return _graph_of(placed)


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


def _graph_of(document: Document) -> Graph:
    problems = Problems()
    spec = validate(_GraphSpec, document, problems)
    if spec is None:
        raise SpecError(problems.found)
    where = "edges" if spec.links is None else "links"
    listed = spec.edges if spec.links is None else spec.links
    if listed is None or (spec.links is not None and spec.edges is not None):
        problems.add(document.value_mark(()), "a graph has its links under 'links' (or 'edges'), once")
        listed = []
    seen: set[str] = set()
    for at, node in enumerate(spec.nodes):
        if node.id in seen:
            problems.add(document.value_mark(("nodes", at, "id")), f"node '{node.id}' stands twice")
        seen.add(node.id)
    links = [GraphLink(each.source, each.target, each.bandwidth, each.latency, each.count) for each in listed]
    ends: tuple[Key, Key] = (("source",), ("target",))
    _check_links(links, lambda at, end: document.value_mark((where, at, *ends[end])), problems, seen)
    return _finished(seen, links, spec.directed, document.value_mark(("nodes",)), problems)


# Edge lists

_QUANTITY = re.compile(r'"([^"]*)"|([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*(?:[A-Za-z%][A-Za-z/%]*)?)|(\S+)')
_HEADER = ("source", "target")


def _read_edges(path: Path) -> Graph:
    problems = Problems()
    links: list[GraphLink] = []
    marks: list[tuple[Mark, Mark]] = []
    for number, line in enumerate(_text(path).splitlines(), 1):
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
    _check_links(links, lambda at, end: marks[at][end], problems, nodes)
    problems.raise_if_any()  # which chips there are is not known from half the lines
    return _finished(nodes, links, False, Mark(str(path)), problems)


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
    spec = validate(_LinkSpec, Document(mark.file, data, {(): mark}), problems)
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


# networkx


def graph_from(network: Any, mark: Mark | None = None) -> Graph:
    """The graph that a networkx graph is: chips are the nodes chip0, chip1, ..., all others switches; if none is called so,
    all nodes are chips, in order. Raises SpecError with every problem."""
    nodes = list(network.nodes)
    numbered = set(nodes) == set(range(len(nodes))) and all(type(node) is int for node in nodes)
    alone = not any(isinstance(node, str) and CHIP.fullmatch(node) for node in nodes)
    names = {
        node: (f"chip{node if numbered else at}" if alone else node if isinstance(node, str) else str(node))
        for at, node in enumerate(nodes)
    }
    links = [
        {
            **{str(key): _plain(value) for key, value in figures.items()},
            "source": names[source],
            "target": names[target],
        }
        for source, target, figures in network.edges(data=True)
    ]
    data = {"directed": bool(network.is_directed()), "nodes": [{"id": names[node]} for node in nodes], "links": links}
    place = mark or Mark("networkx graph")
    return _graph_of(Document(place.file, data, {(): place}))


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _read_graphml(path: Path) -> Graph:
    import networkx as nx  # late: it is slow to import

    text = _text(path)
    try:
        return graph_from(nx.parse_graphml(text), Mark(str(path)))
    except SpecError:
        raise
    except SyntaxError as error:  # what the XML parser raises
        line, column = getattr(error, "position", (1, 0))
        raise SpecError([Problem(Mark(str(path), line, column + 1), f"not GraphML: {error.msg}")]) from None
    except (nx.NetworkXError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError([Problem(Mark(str(path)), f"not GraphML: {error}")]) from None


# All


def _text(path: Path) -> str:
    return read_text(path, MAX_BYTES, str(path))


def _check_links(
    links: Sequence[GraphLink], place: Callable[[int, int], Mark], problems: Problems, nodes: Iterable[str]
) -> None:
    """Ends that are no nodes, links from a node to itself, and links that nothing gives a bandwidth."""
    known = set(nodes)
    others = UnknownNames("node", known)
    for at, link in enumerate(links):
        for end, name in enumerate((link.source, link.target)):
            if name not in known:
                problems.add(place(at, end), _unknown_node(name, others))
        if link.source == link.target:
            problems.add(place(at, 1), f"a link from '{link.source}' to itself")
        chips = [name for name in (link.source, link.target) if CHIP.fullmatch(name)]
        if link.bytes_per_s is None and not chips:
            message = f"the link from '{link.source}' to '{link.target}' wants a bandwidth: neither end is a chip"
            problems.add(place(at, 0), message)


def _unknown_node(name: str, others: UnknownNames) -> str:
    message = others.message(name)
    return message if len(others.allowed) <= 24 else message.partition(" Allowed:")[0]


def _finished(
    nodes: Iterable[str], links: Sequence[GraphLink], directed: bool, mark: Mark, problems: Problems
) -> Graph:
    """The graph, once its chips are numbered without a gap and reach each other. Raises SpecError."""
    names = list(nodes)
    chips = sorted(int(match[1]) for name in names if (match := CHIP.fullmatch(name)))
    for message in _misnumbered(names, chips):
        problems.add(mark, message)
    problems.raise_if_any()
    for message in _cut_off(len(chips), links, directed):
        problems.add(mark, message)
    problems.raise_if_any()
    return Graph(len(chips), tuple(links), directed)


def _misnumbered(names: Sequence[str], chips: Sequence[int]) -> Iterator[str]:
    for name in names:
        alike = _LIKE_CHIP.fullmatch(name)
        if alike and not CHIP.fullmatch(name):
            yield f"node '{name}': chips are named chip0, chip1, ...; did you mean 'chip{int(alike[1])}'?"
    if not chips:
        yield f"there is no chip: chips are the nodes named chip0 to chipN-1 (nodes: {_few(names)})"
    elif len(chips) > MAX_CHIPS:
        yield f"{len(chips)} chips are out of range: 1 to {MAX_CHIPS}"
    elif chips[-1] != len(chips) - 1:
        have = set(chips)
        missing = [f"chip{number}" for number in range(min(chips[-1], len(chips) + _SHOWN)) if number not in have]
        yield f"chips are numbered from chip0 without a gap; missing: {_few(missing)}"


def _cut_off(size: int, links: Sequence[GraphLink], directed: bool) -> Iterator[str]:
    """Chips that chip0 does not reach, and chips that do not reach it."""
    onwards: dict[str, list[str]] = {}
    backwards: dict[str, list[str]] = {}
    for link in links:
        onwards.setdefault(link.source, []).append(link.target)
        backwards.setdefault(link.target, []).append(link.source)
        if not directed:
            onwards.setdefault(link.target, []).append(link.source)
            backwards.setdefault(link.source, []).append(link.target)
    chips = [f"chip{number}" for number in range(size)]
    there = _reached("chip0", onwards)
    if lost := [chip for chip in chips if chip not in there]:
        yield f"{_few(lost)} cannot be reached from chip0"
        return
    back = _reached("chip0", backwards)
    if lost := [chip for chip in chips if chip not in back]:
        yield f"{_few(lost)} cannot reach chip0"


def _reached(start: str, onwards: Mapping[str, Sequence[str]]) -> set[str]:
    found, front = {start}, [start]
    while front:
        front = [after for node in front for after in onwards.get(node, ()) if after not in found]
        front = list(dict.fromkeys(front))
        found.update(front)
    return found


def _few(names: Sequence[str]) -> str:
    listed = ", ".join(str(name)[:40] for name in names[:_SHOWN])
    return f"{listed} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else listed


_READERS: Mapping[str, Callable[[Path], Graph]] = {
    ".json": _read_json,
    ".graphml": _read_graphml,
    ".edges": _read_edges,
    ".txt": _read_edges,
    ".csv": _read_edges,
}
GRAPH_SUFFIXES = tuple(_READERS)
"""Endings of files that hold a graph."""
