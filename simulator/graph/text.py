"""The one-line form of an op, read and printed: `out:dtype[dims]{U_X}@memory = kind(inputs, key=value)`.

Law: `print_items(read_items(text)) == text` for text in canonical spacing, and reading what was printed gives the same
graph. A tensor is typed where it first appears. A block is a mapping `{repeat: n, carry: {x: y}, ops: [...]}`, n a number
or the name of a dim, with `reverse: true` if it goes from its last round to its first.
Reading collects every problem with its line and column and goes on with the next line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hw import Mark, Problems
from hw.input import MOST_TOLD, Document, Key, did_you_mean, plain, shown, unknown
from simulator.graph.items import MAX_OPS, MAX_ROUNDS, Items, Op, Repeat, Source, Tensor, every_op, op_count
from simulator.graph.op_graph import OpGraph
from simulator.graph.op_line import MAX_LINE, Line, LineError, Written, take_apart, typed_tensors

_BLOCK_KEYS = ("repeat", "reverse", "carry", "ops")
_DIM = re.compile(r"[A-Za-z][A-Za-z0-9]*")

_ROUNDS = re.compile(r"(\.\d+)+$")

_NAME = re.compile(r"^\s*([\w.]+)\s*[:=]")
"""What a line calls its op, whatever else is wrong with it."""


class Reader:
    """Builds a graph from op lines and blocks, with every problem at its place."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self.document = document
        self.problems = problems
        self.unread: set[str] = set()
        """The names of ops whose lines cannot be read: who speaks of them is not to blame."""
        self.half_read: list[Op] = []
        """What of their lines can be read, as ops: parts that cannot are as good as any."""

    def read(self, data: Any, key: Key, scope: dict[str, Tensor], made: set[str]) -> Items:
        """The items in `data`, a list at `key`; `scope` has the typed tensors so far, `made` those an op made."""
        if not isinstance(data, list) or not data:
            told = "ops wants a list of op lines" + (", one at least" if data == [] else "")
            self.problems.add(self.document.value_mark(key), told)
            return ()
        items: list[Op | Repeat] = []
        for index, item in enumerate(data):
            here = (*key, index)
            if isinstance(item, str):
                op = self._op(item, self.document.value_mark(here), scope, made)
                items += [op] if op else []
            elif isinstance(item, dict):
                block = self._block(item, here, scope, made)
                items += [block] if block else []
            else:
                self.problems.add(self.document.value_mark(here), f"{shown(item)} is not an op line")
        return tuple(items)

    def _op(self, text: str, mark: Mark, scope: dict[str, Tensor], made: set[str]) -> Op | None:
        try:
            line = take_apart(text)
        except LineError as error:
            self._tell(mark, *error.others, error)
            self.unread.update(_NAME.findall(text[:MAX_LINE]))
            for tensor, is_output in typed_tensors(text):  # later lines are not to blame for this one
                if tensor.name not in scope:
                    scope[tensor.name] = tensor
                    made.update({tensor.name} if is_output else ())
            return None
        wrong = list(line.wrong)
        inputs = tuple(self._or_any(partial(self._input, written, scope), written, wrong) for written in line.inputs)
        known = line.output.name in scope
        output = self._or_any(partial(self._output, line, scope, made), line.output, wrong)
        sound = line.output.sound and line.output.type is not None
        if sound and not known:
            scope[output.name] = output
            made.add(output.name)
        op = Op(output, line.kind, inputs, tuple(line.options), Source(mark, line.columns))
        if not wrong and sound and all(each.name not in self.unread or each.name in scope for each in inputs):
            return op
        self._tell(mark, *sorted(wrong, key=lambda error: error.column))
        self.half_read.append(op)
        self.unread.add(output.name)
        return None

    def _tell(self, mark: Mark, *errors: LineError) -> None:
        for error in errors:
            self.problems.add(mark.moved(error.column), error.message)

    def _or_any(self, read: Callable[[], Tensor], written: Written, wrong: list[LineError]) -> Tensor:
        """A tensor of a line; one that may be anything where that cannot be told, and why goes to `wrong`."""
        try:
            return read()
        except LineError as error:
            wrong.append(error)
            return written.type or Tensor(written.name, "bf16", ())

    def _input(self, written: Written, scope: dict[str, Tensor]) -> Tensor:
        known = scope.get(written.name)
        if written.type is not None and not written.sound:
            self.unread.add(written.name)
            return written.type
        if written.type is None and known is None and written.name in self.unread:
            return Tensor(written.name, "bf16", ())
        if written.type is None:
            if known is None:
                message = f"tensor '{written.name}' has no type: write it where it first appears, e.g. "
                hint = did_you_mean(written.name, scope) if len(self.problems.found) < MOST_TOLD else ""
                raise LineError(written.column, f"{message}{written.name}:bf16[B,D]{hint}")
            return replace(known, rounds=written.rounds) if written.rounds else known
        if known is not None and known != written.type:
            raise LineError(written.column, f"'{written.name}' was {known.type_text} before")
        scope[written.name] = written.type
        return written.type

    def _output(self, line: Line, scope: dict[str, Tensor], made: set[str]) -> Tensor:
        written = line.output
        if written.name in made or written.name in scope:
            raise LineError(written.column, f"tensor '{written.name}' already exists; every op makes a new one")
        if written.type is None:
            raise LineError(written.column, f"the output needs a type, e.g. {written.name}:bf16[B,D]")
        return written.type

    def check_numbers(self, items: Items) -> None:
        """Refuse a name that a round of a block will have: two ops of one name would make one tensor twice."""
        blocks = (op for item in items if isinstance(item, Repeat) for op in every_op(item.items))
        inside = {tensor.name for op in blocks for tensor in (op.output, *op.inputs)}
        for op in every_op(items):
            for tensor in (op.output, *op.inputs):
                stem = _ROUNDS.sub("", tensor.name)
                if stem != tensor.name and stem in inside:
                    message = f"'{tensor.name}' is the name of a round of '{stem}', which stands in a block"
                    self.problems.add(op.source.mark, message)

    def _block(self, data: dict[str, Any], key: Key, scope: dict[str, Tensor], made: set[str]) -> Repeat | None:
        for name in data:
            if name not in _BLOCK_KEYS:
                self.problems.add(self.document.key_mark((*key, name)), unknown("key", name, _BLOCK_KEYS))
        count = self._count(data, key)
        reverse = data.get("reverse", False)
        if not isinstance(reverse, bool):
            self.problems.add(self.document.value_mark((*key, "reverse")), "reverse wants true or false")
            reverse = False
        inner, inner_made = dict(scope), set(made)
        items = self.read(data.get("ops"), (*key, "ops"), inner, inner_made)
        carry = self._carry(data.get("carry") or {}, (*key, "carry"), inner, inner_made - made)
        scope.update(inner)
        made.update(inner_made)
        where = self.document.value_mark((*key, "repeat")) if "repeat" in data else self.document.value_mark(key)
        ops = op_count((Repeat(count, items),), {})
        if ops > MAX_OPS:
            self.problems.add(where, f"the block has {ops} ops; more than {MAX_OPS} are refused")
        return Repeat(count, items, carry, reverse, Source(where)) if items else None

    def _count(self, data: Mapping[str, Any], key: Key) -> int | str:
        """How often a block is repeated: a number, or the name of a dim, which is known only with the graph."""
        count = data.get("repeat")
        if isinstance(count, str) and _DIM.fullmatch(count):
            return count
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_ROUNDS:
            where = self.document.value_mark((*key, "repeat"))
            message = f"repeat wants a whole number from 1 to {MAX_ROUNDS}, or the name of a dim"
            self.problems.add(where, message if "repeat" in data else f"{message}; it is missing")
            return 1
        return count

    def _carry(
        self, data: Any, key: Key, inner: Mapping[str, Tensor], made_inside: set[str]
    ) -> tuple[tuple[str, str], ...]:
        if not isinstance(data, dict):
            self.problems.add(self.document.value_mark(key), "carry wants a mapping {start: end}")
            return ()
        pairs: list[tuple[str, str]] = []
        for start, end in data.items():
            here = self.document.value_mark((*key, start))
            if start not in inner or start in made_inside:
                self.problems.add(here, f"carry: '{start}' is not a tensor that the block takes in")
            elif not isinstance(end, str) or end not in made_inside:
                self.problems.add(here, f"carry: '{end}' is not a tensor that the block makes")
            elif _type_of(inner[start]) != _type_of(inner[end]):
                message = f"carry: {start} is {inner[start].type_text}, {end} is {inner[end].type_text}"
                self.problems.add(here, message)
            else:
                pairs.append((start, end))
        return tuple(pairs)


def _type_of(tensor: Tensor) -> str:
    return tensor.type_text


def read_graph_items(
    data: Any, document: Document, problems: Problems, key: Key
) -> tuple[Items, frozenset[str], tuple[Op, ...]]:
    """All items of a graph, the names of ops that cannot be read, and what can be read of them; what is wrong goes to
    `problems`."""
    reader = Reader(document, problems)
    items = reader.read(data, key, {}, set())
    reader.check_numbers(items)
    return items, frozenset(reader.unread), tuple(reader.half_read)


def read_items(data: Sequence[Any], document: Document | None = None, key: Key = ()) -> Items:
    """The ops and blocks in plain data (lines and mappings). Raises SpecError with every problem."""
    problems = Problems()
    items, _, _ = read_graph_items(list(data), document or Document("ops"), problems, key)
    problems.raise_if_any()
    return items


def parse_graph(lines: Sequence[Any], dims: Mapping[str, int]) -> OpGraph:
    """An op graph from op lines (and blocks as mappings), e.g. for use from Python. Raises SpecError."""
    document = Document("ops", list(lines), {(at,): Mark("ops", at + 1) for at in range(len(lines))})
    return OpGraph(plain(dims), read_items(lines, document))


def print_items(items: Items, typed: set[str] | None = None) -> list[Any]:
    """Ops and blocks in the words of the language; the reverse of `read_items`."""
    seen: set[str] = set() if typed is None else typed
    printed: list[Any] = []
    for item in items:
        if isinstance(item, Op):
            printed.append(print_op(item, seen))
            continue
        block: dict[str, Any] = {"repeat": item.count}
        if item.reverse:
            block["reverse"] = True
        if item.carry:
            block["carry"] = dict(item.carry)
        block["ops"] = print_items(item.items, seen)
        printed.append(block)
    return printed


def print_op(op: Op, typed: set[str] | None = None) -> str:
    """One op as a line; tensors in `typed` are not typed again."""
    seen: set[str] = set() if typed is None else typed
    arguments: list[str] = []
    for tensor in op.inputs:
        arguments.append(tensor.reference if tensor.name in seen else f"{tensor.name}:{tensor.type_text}")
        seen.add(tensor.name)
    arguments += [f"{key}={raw}" for key, raw in op.options]
    seen.add(op.name)
    return f"{op.name}:{op.output.type_text} = {op.kind}({', '.join(arguments)})"
