"""Names of tensors changed in ops and blocks: for copies of items that stand in one graph.

Model: a copy names anew what it makes and what it takes in of its own; what it shares with others keeps its name. Rounds
that are asked for (`h@round`) and ops to wait for (`after=`) follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat, Tensor, every_op
from simulator.graph.op_line import read_reference


def own_names(items: Items, shared: Collection[str]) -> frozenset[str]:
    """The tensors that items make or take in, those that are shared with others left out."""
    found = {tensor.name for op in every_op(items) for tensor in (*op.inputs, op.output)}
    return frozenset(found.difference(shared))


def renamed(items: Items, names: Mapping[str, str]) -> Items:
    """The same items with some tensors under other names."""
    return tuple(_Renamer(names).items(items))


class _Renamer:
    """Renames each tensor once, however often it stands."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self._known: dict[Tensor, Tensor] = {}

    def items(self, items: Iterable[Op | Repeat]) -> Iterator[Op | Repeat]:
        for item in items:
            if isinstance(item, Op):
                yield self._op(item)
                continue
            carry = tuple((self._name(start), self._name(end)) for start, end in item.carry)
            yield replace(item, items=tuple(self.items(item.items)), carry=carry)

    def _op(self, op: Op) -> Op:
        options = op.options
        if any(key == "after" for key, _ in options):
            options = tuple((key, self._awaited(raw) if key == "after" else raw) for key, raw in options)
        return replace(op, output=self._tensor(op.output), inputs=tuple(map(self._tensor, op.inputs)), options=options)

    def _tensor(self, tensor: Tensor) -> Tensor:
        if tensor.name not in self.names:
            return tensor
        found = self._known.get(tensor)
        if found is None:
            found = self._known[tensor] = replace(tensor, name=self.names[tensor.name])
        return found

    def _name(self, name: str) -> str:
        return self.names.get(name, name)

    def _awaited(self, raw: str) -> str:
        """The names in an `after=`, renamed."""
        parts = [part.strip() for part in raw.strip("[]").split(",")]
        told = []
        for part in parts:
            name, _ = read_reference(part)
            told.append(self._name(name) + part[len(name) :])
        return f"[{', '.join(told)}]" if raw.startswith("[") else ", ".join(told)
