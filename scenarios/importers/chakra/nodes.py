"""Chakra execution traces of one rank: nodes with their dependencies and attributes, from protobuf or from JSON.

Model: a file is a stream of protobuf messages, the first about the whole, the others a node each; or the same in JSON, as
Chakra's own tools print it (object after object), or as one object with `nodes`. Names of JSON are those of the schema, in
either way of writing them (`data_deps`, `dataDeps`); whole numbers may stand in quotes.
Source: mlcommons/chakra, schema/protobuf/et_def.proto.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw import Mark, Problem, SpecError
from scenarios.importers.wire import Field, WireError, fields, messages

TYPES = (
    "INVALID_NODE", "METADATA_NODE", "MEM_LOAD_NODE", "MEM_STORE_NODE", "COMP_NODE", "COMM_SEND_NODE", "COMM_RECV_NODE",
    "COMM_COLL_NODE", "STORAGE_NODE", "BATCH_NODE", "CHECKPOINT_NODE",
)  # fmt: skip
"""Kinds of nodes, by their number in the schema."""

MOST_FIELD = 11
"""The last field of a node."""

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_MOST_BYTES = 1 << 30
_MOST_TOLD = 20


@dataclass(slots=True)
class ChakraNode:
    """One node of a rank."""

    id: int
    name: str
    type: str
    deps: tuple[int, ...]
    duration_us: float = 0.0
    attributes: dict[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """A number among the attributes; 0 where there is none."""
        said = self.attributes.get(name, 0)
        return float(said) if isinstance(said, int | float) else 0.0


def read_nodes(path: Path) -> list[ChakraNode]:
    """The nodes of a file. Raises SpecError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SpecError(
                [Problem(Mark(str(path)), f"the file is over {_MOST_BYTES >> 30} GiB, the most that is read")]
            )
        data = path.read_bytes()
    except OSError as error:
        raise SpecError([Problem(Mark(str(path)), f"cannot read the file: {error.strerror or error}")]) from None
    read = _from_json if data.lstrip()[:1] in (b"{", b"[") else _from_wire
    nodes = read(path, data)
    if not nodes:
        raise SpecError([Problem(Mark(str(path)), "there is no node in this trace")])
    seen: set[int] = set()
    twice = [node for node in nodes if node.id in seen or seen.add(node.id)]  # type: ignore[func-returns-value]
    if twice:
        names = ", ".join(str(node.id) for node in twice[:5])
        raise SpecError([Problem(Mark(str(path)), f"nodes of one number stand there more than once: {names}")])
    return nodes


def _from_wire(path: Path, data: bytes) -> list[ChakraNode]:
    found: list[ChakraNode] = []
    try:
        for at, (begin, end) in enumerate(messages(data)):
            if at or _is_node(data, begin, end):  # the first is about the trace, unless that was left out
                found.append(_wire_node(data, begin, end))
    except (WireError, OverflowError, ValueError) as error:
        at = error.at if isinstance(error, WireError) else 0
        message = f"byte {at + 1:,} of this file is no Chakra protobuf: {error}"
        raise SpecError([Problem(Mark(str(path), 1, at + 1), message)]) from None
    return found


def _is_node(data: bytes, begin: int, end: int) -> bool:
    """Whether a message is a node: what is about a trace has text and attributes only, a node a type at least."""
    return any(each.is_number for each in fields(data, begin, end))


def _wire_node(data: bytes, begin: int, end: int) -> ChakraNode:
    node = ChakraNode(0, "", "INVALID_NODE", ())
    for each in fields(data, begin, end):
        _NODE_FIELDS.get(each.number, _skip)(node, each)
    return node


def _skip(_node: ChakraNode, _field: Field) -> None:
    pass


def _take_id(node: ChakraNode, said: Field) -> None:
    node.id = said.whole


def _take_name(node: ChakraNode, said: Field) -> None:
    node.name = said.text


def _take_type(node: ChakraNode, said: Field) -> None:
    if said.whole >= len(TYPES):
        raise WireError(said.end, f"node {node.id} is of type {said.whole}, which does not exist")
    node.type = TYPES[said.whole]


def _take_deps(node: ChakraNode, said: Field) -> None:
    node.deps = (*node.deps, *said.wholes())


def _take_duration(node: ChakraNode, said: Field) -> None:
    node.duration_us = float(said.whole)


def _take_attribute(node: ChakraNode, said: Field) -> None:
    name, value = "", None
    for each in fields(said.data, *said.content):
        if each.number == 1:
            name = each.text
        elif each.number in _VALUES:
            value = _VALUES[each.number](each)
    node.attributes[name] = value


_NODE_FIELDS: Mapping[int, Callable[[ChakraNode, Field], None]] = {
    1: _take_id, 2: _take_name, 3: _take_type, 4: _take_deps, 5: _take_deps, 7: _take_duration, 10: _take_attribute,
}  # fmt: skip


def _signed(number: int, bits: int = 64) -> int:
    """A number whose highest bit says that it is negative."""
    return number - (1 << bits) if number >> (bits - 1) else number


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _list_of(said: Field) -> Iterator[Field]:
    """The fields of a list: one for each value, or one in which they are packed."""
    return fields(said.data, *said.content)


def _numbers(read: Callable[[int], Any]) -> Callable[[Field], list[Any]]:
    """A reader of lists of varints."""
    return lambda said: [read(number) for each in _list_of(said) for number in each.wholes()]


def _fixed(code: str) -> Callable[[Field], list[Any]]:
    """A reader of lists of numbers of 4 or 8 bytes each, by the code that `struct` has for one."""
    size = struct.calcsize(f"<{code}")

    def read(said: Field) -> list[Any]:
        made: list[Any] = []
        for each in _list_of(said):
            if each.is_number:
                made += struct.unpack(f"<{code}", each.whole.to_bytes(size, "little"))
                continue
            begin, end = each.content
            if (end - begin) % size:
                raise WireError(begin, f"a list of numbers of {size} bytes has {end - begin:,} bytes")
            made += (number for (number,) in struct.iter_unpack(f"<{code}", said.data[begin:end]))
        return made

    return read


_VALUES: Mapping[int, Callable[[Field], Any]] = {
    3: lambda said: said.double,
    4: _fixed("d"),
    5: lambda said: said.double,
    6: _fixed("f"),
    **dict.fromkeys((7, 9), lambda said: _signed(said.whole)),
    **dict.fromkeys((8, 10), _numbers(_signed)),
    **dict.fromkeys((11, 13, 19, 21), lambda said: said.whole),
    **dict.fromkeys((12, 14), _numbers(int)),
    **dict.fromkeys((15, 17), lambda said: _zigzag(said.whole)),
    **dict.fromkeys((16, 18), _numbers(_zigzag)),
    20: _fixed("I"),
    22: _fixed("Q"),
    23: lambda said: _signed(said.whole, 32),
    24: _fixed("i"),
    25: lambda said: _signed(said.whole),
    26: _fixed("q"),
    27: lambda said: bool(said.whole),
    28: _numbers(bool),
    **dict.fromkeys((29, 31), lambda said: said.text),
    **dict.fromkeys((30, 32), lambda said: [each.text for each in _list_of(said)]),
}
"""How the value of an attribute is read, by its field in the schema (`AttributeProto.value`)."""


def _from_json(path: Path, data: bytes) -> list[ChakraNode]:
    text = data.decode("utf-8", "replace")
    problems: list[Problem] = []
    found: list[ChakraNode] = []
    for at, node in _json_nodes(path, text):
        try:
            found.append(_json_node(node))
        except (TypeError, ValueError) as error:
            line = text.count("\n", 0, at) + 1
            mark = Mark(str(path), line, at - text.rfind("\n", 0, at))
            problems.append(Problem(mark, f"a node is not as Chakra's schema says: {error}"))
            if len(problems) == _MOST_TOLD:
                break
    if problems:
        raise SpecError(problems)
    return found


def _json_nodes(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every object that is a node, and where what holds it begins. Raises SpecError."""
    decoder = json.JSONDecoder()
    at = _blank(text, 0)
    while at < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            place = error.pos if isinstance(error, json.JSONDecodeError) else at
            line = text.count("\n", 0, place) + 1
            mark = Mark(str(path), line, place - text.rfind("\n", 0, place))
            why = error.msg if isinstance(error, json.JSONDecodeError) else "it nests too deeply"
            raise SpecError([Problem(mark, f"this is not JSON: {why}")]) from None
        for each in _objects(value):
            yield at, each
        at = _blank(text, end)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The nodes in a value: itself, those of a list, or those that it has under `nodes`."""
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
    elif isinstance(value, dict):
        inside = value.get("nodes", value.get("node"))
        if isinstance(inside, list):
            yield from (each for each in inside if isinstance(each, dict))
        elif "id" in value or "type" in value:
            yield value


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _json_node(data: Mapping[str, Any]) -> ChakraNode:
    """A node in JSON. Raises TypeError, ValueError."""
    said = {_snake(key): value for key, value in data.items()}
    kind = said.get("type", "INVALID_NODE")
    name = TYPES[int(kind)] if str(kind).isdigit() and int(kind) < len(TYPES) else str(kind)
    if name not in TYPES:
        raise ValueError(f"its type is {kind!s:.40}, which does not exist")
    deps = [*_list(said, "ctrl_deps"), *_list(said, "data_deps")]
    node = ChakraNode(
        id=int(said.get("id", 0)),
        name=str(said.get("name", "")),
        type=name,
        deps=tuple(int(each) for each in deps),
        duration_us=float(said.get("duration_micros", 0)),
    )
    for each in _list(said, "attr") or _list(said, "attrs"):
        if not isinstance(each, dict):
            raise ValueError("an attribute is no object")
        values = [value for key, value in each.items() if key not in ("name", "doc_string", "docString", "type")]
        node.attributes[str(each.get("name", ""))] = _plain(values[0]) if values else None
    return node


def _snake(key: str) -> str:
    return _CAMEL.sub(r"_\1", key).lower()


def _list(said: Mapping[str, Any], key: str) -> list[Any]:
    value = said.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"{key} is no list")
    return value


def _plain(value: Any) -> Any:
    """A value of an attribute: numbers in quotes as numbers, lists out of their objects."""
    if isinstance(value, dict):
        value = next(iter(value.values()), [])
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value):
        return int(value)
    return value
