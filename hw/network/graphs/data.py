"""Graphs as plain data, nodes and links with attributes, and as networkx has them.

Attributes of nodes and links that are not ours are passed over: graphs come from elsewhere and carry much. Only what looks
like a slip of the pen for one of ours is a mistake.
"""

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hw.input.document import Document, Key
from hw.input.errors import Mark, Problems, SpecError
from hw.input.validation import BytesPerSecond, Seconds, Spec, validate
from hw.input.wording import shown
from hw.network.graphs.check import check_links, finished
from hw.network.graphs.graph import CHIP, Graph, GraphLink

MAX_PORTS = 10_000
_ALIKE = 0.85
"""How alike two words must be for one to be taken for a slip of the other."""


def _name(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError(f"{shown(value)} will not do for {{key}}: it wants the name of a node")
    return str(value)


_Name = Annotated[str, BeforeValidator(_name)]


class _NodeSpec(BaseModel):
    model_config = ConfigDict(extra="allow", defer_build=True)
    id: _Name


class LinkSpec(Spec):
    """The attributes of a link that count."""

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
    for name in LinkSpec.model_fields:
        begins = word.startswith(name) and name in ("bandwidth", "latency")
        if name not in given and (begins or SequenceMatcher(None, word, name).ratio() >= _ALIKE):
            return True
    return False


class _GraphSpec(Spec):
    directed: bool = Field(default=False, strict=True)
    multigraph: bool = True
    graph: dict[str, Any] | list[Any] = Field(default_factory=dict)
    nodes: list[_NodeSpec]
    links: list[LinkSpec] | None = None
    edges: list[LinkSpec] | None = None


def graph_of(document: Document) -> Graph:
    """The graph in a document. Raises SpecError with every problem at its place."""
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
    check_links(links, lambda at, end: document.value_mark((where, at, *ends[end])), problems, seen)
    return finished(seen, links, spec.directed, document.value_mark(("nodes",)), problems)


def graph_from(network: Any, mark: Mark | None = None) -> Graph:
    """The graph that a networkx graph is: chips are the nodes chip0, chip1, ..., all others switches; if none is called so,
    all nodes are chips, in order. Raises SpecError with every problem."""
    nodes = list(network.nodes)
    numbered = set(nodes) == set(range(len(nodes))) and all(type(node) is int for node in nodes)
    alone = not any(isinstance(node, str) and CHIP.fullmatch(node) for node in nodes)
    names: dict[Any, str] = {}
    for at, node in enumerate(nodes):
        number = node if numbered else at
        names[node] = f"chip{number}" if alone else str(node)
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
    return graph_of(Document(place.file, data, {(): place}))


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    item = getattr(value, "item", None)
    return item() if callable(item) else value
