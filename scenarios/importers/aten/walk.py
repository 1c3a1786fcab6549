"""A graph of aten ops, node by node, as op lines.

Model: every node has the format and the sizes of what it makes (`meta["val"]`), so rules need not work them out. What only
looks at storage otherwise (views, slices, transposes, expansions) makes no op; an expansion is made where something
wants all of it in memory. An op in place is that op. Parameters, buffers and inputs are tensors that nothing makes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hw import Mark, Problem, SpecError
from scenarios.importers.aten.masks import Masks
from scenarios.importers.aten.names import IN_MEMORY
from scenarios.importers.aten.sizes import OpenSizes
from scenarios.importers.dtypes import dtype_named
from scenarios.importers.groups import Groups
from scenarios.importers.op_lines import OpLines, Value

Tree = Any
"""A value, a tuple of trees, or what else an op takes: a number, a list of sizes, nothing."""

Like = tuple[str, tuple[int, ...]]
"""Format and sizes of what a node makes."""


Rule = Callable[["Walk", Any, list[Any], dict[str, Any]], Tree]
RULES: dict[str, Rule] = {}
"""Rules by the name of the op, from the files beside this one; an op in place (`add_`) has that of its name."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of ops."""

    def add(made: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, made))
        return made

    return add


class Walk:
    """A graph on its way to lines. `known`: what attention is told instead of a mask that is
    known, by its node; `masks`: how many others there are; `fused`: ops that are one kernel; `open`: sizes of open dims;
    `groups`: what collectives go over; `guessed`: sizes of process groups that nobody knows; `world`: how many
    ranks there are."""

    def __init__(self, lines: OpLines, dims: Mapping[str, int], name: str) -> None:
        self.lines, self.dims, self.name = lines, dims, name
        self.fused: list[list[str]] = []
        self.open = OpenSizes(dims)
        self.masks = 0
        self.known: Mapping[str, Sequence[str]] = {}
        self.groups: dict[Groups, str] = {}
        self.guessed: dict[str, int] = {}
        self.world = 1
        self.values: dict[str, Tree] = {}

    def run(self, nodes: Sequence[Any]) -> None:
        """Write the lines of a graph. Raises SpecError for a node that is not as its op says."""
        masks = Masks(nodes, op_name)
        self.known = masks.options
        for node in nodes:
            if node.name in masks.unread:
                continue
            if node.op in ("placeholder", "get_attr"):
                self.values[node.name] = self._source(node)
            elif node.op == "call_function":
                try:
                    self.values[node.name] = self._call(node)
                except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
                    problem = f"node {node.name} ({node.target}) cannot be read: {error}"
                    raise SpecError([Problem(Mark(self.name), problem)]) from error

    def like(self, node: Any, at: int = 0) -> Like:
        """The format and sizes of what a node makes; of several, of one of them."""
        made = node.meta.get("val")
        if isinstance(made, list | tuple):
            made = made[at]
        return self._typed(made)

    def made(self, node: Any, make: Callable[[str, Like], Value]) -> Tree:
        """What a node makes: one op, and beside its first result whatever else it has."""
        several = node.meta.get("val")
        if not isinstance(several, list | tuple):
            return make(node.name, self._typed(several))
        first: Value | None = None
        parts: list[Tree] = []
        for at, part in enumerate(several):
            if not is_tensor(part):
                parts.append(None)
            elif first is None:
                first = make(node.name, self._typed(part))
                parts.append(first)
            else:
                parts.append(self._beside(first, self._typed(part), f"{node.name}_{at}"))
        return tuple(parts)

    def nbytes(self, node: Any) -> float:
        """The size of all that a node makes."""
        made = node.meta.get("val")
        several = made if isinstance(made, list | tuple) else [made]
        return sum(Value("", *self._typed(part)).nbytes for part in several if part is not None)

    def whole(self, value: Value, dims: Sequence[int]) -> Value:
        """A value with all its elements in memory: what was expanded is written out."""
        if value.elements >= math.prod(dims):
            return self.lines.view(value, dims)
        like = (value.dtype, tuple(dims))
        full = Value("", *like)
        return self.lines.moved([value], f"{value.name}_expanded", like, value.nbytes + full.nbytes)

    def _all_of(self, given: Any, value: Value) -> Value:
        """An argument with all the elements that it stands for, in memory."""
        shape = getattr(given.meta.get("val"), "shape", None)
        return (
            value
            if shape is None or value.elements >= math.prod(self.sizes(shape))
            else self.whole(value, self.sizes(shape))
        )

    def sizes(self, said: Any) -> tuple[int, ...]:
        """Sizes as numbers; open ones by what is asked for, else by what the graph was traced with."""
        return tuple(self.open.size(each) for each in said)

    def _beside(self, first: Value, like: Like, label: str) -> Value:
        """What was made together with something else: who reads it waits for that."""
        other = Value("", *like)
        if other.nbytes <= first.nbytes and other.dtype == first.dtype:
            return self.lines.view(first, like[1])
        return self.lines.source(label, *like)

    def _typed(self, made: Any) -> Like:
        if not is_tensor(made):
            return "int64", ()
        dtype = dtype_named(str(made.dtype))
        if dtype is None:
            dtype = "fp64"  # complex numbers: as wide as those, or taken for it
        return dtype, self.sizes(made.shape)

    def _source(self, node: Any) -> Tree:
        made = node.meta.get("val")
        if made is None:
            made = node.meta.get("example_value")
        if not is_tensor(made):
            return made
        self.open.come_in(node.name, made.shape)
        return self.lines.source(node.name, *self._typed(made))

    def _call(self, node: Any) -> Tree:
        name = op_name(node.target)
        arguments = _resolved(node.args, self.values)
        named = {key: _resolved(value, self.values) for key, value in node.kwargs.items()}
        for at in IN_MEMORY.get(name, ()):
            if at < len(arguments) and isinstance(arguments[at], Value):
                arguments[at] = self._all_of(node.args[at], arguments[at])
        rule = RULES.get(name) or RULES.get(name.removesuffix("_"))
        if rule is not None:
            return rule(self, node, arguments, named)
        inputs = list(flat([*arguments, *named.values()]))
        if not inputs or getattr(node.meta.get("val"), "shape", 0) is None:
            return node.meta.get("val")
        return self.made(node, lambda label, like: self.lines.unknown(name, inputs, label, like))


def is_tensor(made: Any) -> bool:
    """Whether what a node makes is a tensor; the mesh of a graph of several ranks has a shape, too."""
    return getattr(made, "shape", None) is not None and getattr(made, "dtype", None) is not None


def op_name(target: Any) -> str:
    """What an op is called, without its namespace and its overload: `mm`."""
    packet = getattr(target, "overloadpacket", None)
    text = str(packet) if packet is not None else getattr(target, "__name__", str(target))
    return text.rpartition(".")[2].rpartition("::")[2]


def _resolved(said: Any, values: Mapping[str, Tree]) -> Any:
    """Arguments with nodes replaced by what they made."""
    if hasattr(said, "op") and hasattr(said, "meta"):
        return values.get(said.name)
    if isinstance(said, list | tuple):
        return [_resolved(each, values) for each in said]
    return said


def flat(tree: Any) -> Any:
    """The values in arguments."""
    if isinstance(tree, Value):
        yield tree
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from flat(part)
