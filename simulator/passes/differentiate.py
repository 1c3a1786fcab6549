"""Differentiation: from the ops of a forward pass to those of its backward pass.

Model: reverse mode over ops and blocks. A block is walked backwards, from its last round to its first, by a block whose
rounds read what the same round of the forward pass left behind (`h@round`). The gradient of tensor `h` is called `dh`;
where several ops use h, each makes its part (`dh_q`, `dh_k`) and they are added up in the order in which they come; those of
parts of h (`part`) are put one behind the other by a kernel, as autograd does behind a split.
Gradients that are partial sums are added up over their axes where they are those of activations, before anything uses
them; those of weights are left as they are, for whoever steps the weights.
Recomputation: ops in `recompute` are run again in the backward pass, right before what needs them, marked
`recompute=true`; then only what they take in is kept. Ops in `whole` are run again where their own backward pass begins,
with all that they are made of, though nothing there reads them.
Law: backward matmuls cost twice their forward ones; recomputing changes no gradient and adds its ops' FLOPs alone.
Source: Griewank and Walther 2008; Chen et al. 2016 for recomputation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hw import RunError
from simulator.graph.dtypes import is_narrow
from simulator.graph.items import Items, Op, Repeat, Round, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.ops.adjoint import Adjoint, Piece
from simulator.ops.registry import find_kind

_HERE = (Round(0, relative=True),)
"""The round of the block in which it is asked for."""


@dataclass(frozen=True, slots=True)
class Remake:
    """How the backward pass makes a tensor again, otherwise than the forward pass did; `ahead`: what else is made again
    before an op that reads it, so that it is there when its own turn comes."""

    op: Op
    ahead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gradients:
    """The items of a backward pass, and the gradients that they end in, by the name of their tensor. `stands_for`: by its
    name, what a tensor is a part of the gradient of; `remade`: what it is made once more."""

    items: Items
    of: Mapping[str, Tensor] = field(default_factory=dict)
    stands_for: Mapping[str, str] = field(default_factory=dict)
    remade: Mapping[str, str] = field(default_factory=dict)

    def ops_for(self, names: Collection[str]) -> frozenset[str]:
        """The ops that nothing needs but the gradients of some tensors: the weights' part of a backward pass."""
        ops = [item for item in self.items if isinstance(item, Op)]
        others = {tensor.name for name, tensor in self.of.items() if name not in names}
        needed = set(others)
        for op in reversed(ops):
            if op.name in needed:
                needed.update(tensor.name for tensor in op.inputs)
        return frozenset(op.name for op in ops if op.name not in needed)


def differentiate(
    items: Items,
    seeds: Mapping[str, Tensor],
    wanted: Collection[str],
    recompute: Collection[str] = (),
    remakes: Mapping[str, Remake] | None = None,
    whole: Collection[str] = (),
) -> Gradients:
    """The backward pass of some ops and blocks: from gradients of what they make (`seeds`, by name) to those of the
    tensors `wanted`. `remakes`: how some of what is recomputed is made again; `whole`: what ends a block that is run
    again to its end. Raises RunError for an op of a kind that has no rule."""
    walk = _Walk(seeds, wanted, recompute, inside=False)
    walk.remakes, walk.whole = remakes or {}, frozenset(whole)
    return walk.back(items)


def with_backward(graph: OpGraph, made: str, wanted: Collection[str]) -> OpGraph:
    """A graph and its backward pass: from a gradient of what one of its ops made, which is given (`d` before its name), to
    those of the tensors `wanted`. Raises RunError for an op that is not there or of a kind that has no rule, and for a
    tensor of which one part alone leads there."""
    output = next((op.output for op in graph.every_op() if op.name == made), None)
    if output is None:
        raise RunError(f"there is no op {made}")
    found = differentiate(graph.items, {made: replace(output, name=f"d{made}")}, wanted)
    return replace(graph, items=(*graph.items, *found.items))


class _Walk:
    """One way back through the items of a graph or of a block's round."""

    def __init__(
        self, seeds: Mapping[str, Tensor], wanted: Collection[str], recompute: Collection[str], inside: bool
    ) -> None:
        self.wanted, self.recompute, self.inside = frozenset(wanted), frozenset(recompute), inside
        self.seeds = seeds
        self.remakes: Mapping[str, Remake] = {}
        self.whole: frozenset[str] = frozenset()
        self.parts: dict[str, list[Tensor]] = {name: [tensor] for name, tensor in seeds.items()}
        self.pieces: dict[str, list[Piece]] = {}
        self.made: dict[str, Op] = {}
        self.again: dict[str, Tensor] = {}
        self.names: set[str] = set()
        self.stands_for: dict[str, str] = {}
        self.remade: dict[str, str] = {}
        self.out: list[Op | Repeat] = []
        self.users: Counter[str] = Counter()

    def back(self, items: Items) -> Gradients:
        """Walk backwards."""
        self.made = {item.name: item for item in items if isinstance(item, Op)}
        # a gradient is not called what an op of the forward pass is called
        self.names.update(self.made)
        self.needed = self._leading(items)
        self.users = Counter(tensor for item in items for tensor in _taken_in(item))
        for item in reversed(items):
            if isinstance(item, Repeat):
                self._block(item)
                continue
            if self.whole and item.name in self.whole:
                if item.name in self.parts:
                    self._gathered(item.name, weights=True)  # the last of what comes before
                self.out += self._to_its_end(item.name)
            if item.name in self.needed and item.name in self.parts:
                self._op(item)
        ends = {name: self._gathered(name, weights=True) for name in self._ends()}
        return Gradients(tuple(self.out), ends, self.stands_for, self.remade)

    def _leading(self, items: Items) -> frozenset[str]:
        """The tensors whose gradient leads to one that is wanted."""
        found = set(self.wanted)
        for item in items:
            if isinstance(item, Repeat):
                found.update(_carried(item).values())
            elif item.name not in found and any(tensor.name in found for tensor in item.inputs):
                found.add(item.name)
        return frozenset(found)

    def _ends(self) -> Iterable[str]:
        return [name for name in self.parts if name in self.wanted]

    def _op(self, op: Op) -> None:
        """The rule of one op, asked for its inputs' gradients."""
        if op.name in self.wanted:
            return  # whoever wants the gradient of what it makes wants nothing behind it
        kind = find_kind(op)
        if kind.backward is None:
            raise RunError(f"{op.name}: {op.kind} cannot be differentiated")
        # what is only a weight in another format, or rows of it, has a gradient that is left as a sum as the weight's is
        of_weight = op.kind in ("cast", "embedding") and op.inputs[0].name in self.wanted
        # the gradient of an operand in a narrow format is as wide as what it is made of: it passes as it is, sums as well
        passes = op.kind == "cast" and is_narrow(op.output.dtype)
        given = self._gathered(op.name, weights=False, takes_sums=of_weight or passes or op.kind in _TAKES_SUMS)
        wants = [tensor.name in self.needed for tensor in op.inputs]
        if not any(wants):
            return
        saved = replace(op, inputs=tuple(map(self._saved, op.inputs)), output=self._saved(op.output))
        adjoint = Adjoint(saved, given, wants, lambda like: self._named(like.base, op.name))
        kind.backward(adjoint)
        self.out += self._recomputed(adjoint.ops)
        for place, tensor in adjoint.found:
            self.parts.setdefault(op.inputs[place].name, []).append(tensor)
        for place, piece in adjoint.pieces:
            self.parts.setdefault(op.inputs[place].name, [])
            self.pieces.setdefault(op.inputs[place].name, []).append(piece)

    def _saved(self, tensor: Tensor) -> Tensor:
        """A tensor of the forward pass as the backward pass asks for it."""
        if tensor.rounds or not self.inside:
            return tensor
        return replace(tensor, rounds=_HERE)

    def _recomputed(self, ops: Sequence[Op]) -> list[Op]:
        """Ops of the backward pass behind those that must be run again for them, each once."""
        before: list[Op] = []
        ready = [replace(op, inputs=tuple(self._remade(tensor, before) for tensor in op.inputs)) for op in ops]
        for name in dict.fromkeys(tensor.name for op in ops for tensor in op.inputs if tensor.name in self.remakes):
            for other in self.remakes[name].ahead:
                self._remade(self._saved(self.made[other].output), before)
        return [*before, *ready]

    def _to_its_end(self, name: str) -> list[Op]:
        """An op that is run again though nothing reads it, behind what it is made of."""
        op, before = self.made[name], list[Op]()
        inputs = tuple(self._remade(self._saved(each), before) for each in op.inputs)
        output = replace(op.output, name=self._fresh(f"r{name}"))
        self.remade[output.name] = name
        return [*before, replace(op, output=output, inputs=inputs, options=_marked(op))]

    def _remade(self, tensor: Tensor, before: list[Op]) -> Tensor:
        """A tensor that is run again, if its op is one of those; ops that make it are added to `before`."""
        if tensor.name not in self.recompute or tensor.name not in self.made:
            return tensor
        if tensor.name not in self.again:
            remake = self.remakes.get(tensor.name)
            op = remake.op if remake is not None else self.made[tensor.name]
            inputs = tuple(self._remade(self._saved(each), before) for each in op.inputs)
            output = replace(op.output, name=self._fresh(f"r{op.name}"))
            self.remade[output.name] = op.name
            before.append(replace(op, output=output, inputs=inputs, options=_marked(op)))
            self.again[tensor.name] = output
        return self.again[tensor.name]

    def _gathered(self, name: str, weights: bool, takes_sums: bool = False) -> Tensor:
        """The whole gradient of a tensor: its parts added up, and over chips where it is an activation's."""
        parts = [*self.parts[name], *self._put_together(name)]
        total = parts[0]
        for at, part in enumerate(parts[1:], start=2):
            total, part = self._alike(total, part, name)
            last = at == len(parts)
            called = self._told(self._fresh(f"d{name}" if last else f"d{name}_{at}"), name)
            total = self._add("add", (total, part), called, total)
        if total.partial and not weights and not takes_sums:
            total = self._summed(total, total.partial, self._told(self._fresh(f"d{name}_whole"), name))
        self.parts[name] = [total]
        return total

    def _put_together(self, name: str) -> list[Tensor]:
        """The gradient of a tensor that was read in parts: theirs, one behind the other, in the order of the parts."""
        pieces = self.pieces.pop(name, [])
        if not pieces:
            return []
        like = replace(self.made[name].output, partial=pieces[0].tensor.partial)
        inputs = tuple(piece.tensor for piece in reversed(pieces))
        if len(inputs) == 1:
            raise RunError(f"one part of {name} alone has a gradient; those of its other parts are not known")
        called = self._told(self._fresh(f"d{name}"), name)
        return [self._add("concat", inputs, called, like, (("axis", pieces[0].axis),))]

    def _alike(self, one: Tensor, other: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Two parts of a gradient with the same partial sums: what only one of them has is added up first."""
        whole = []
        for tensor, beside in ((one, other), (other, one)):
            own = "".join(axis for axis in tensor.partial if axis not in beside.partial)
            whole.append(self._summed(tensor, own, self._told(self._fresh(f"d{name}_whole"), name)) if own else tensor)
        return whole[0], whole[1]

    def _summed(self, tensor: Tensor, axes: str, name: str) -> Tensor:
        left = "".join(axis for axis in tensor.partial if axis not in axes)
        return self._add("all_reduce", (tensor,), name, replace(tensor, partial=left), (("over", axes),))

    def _add(
        self, kind: str, inputs: tuple[Tensor, ...], name: str, like: Tensor, options: tuple[tuple[str, str], ...] = ()
    ) -> Tensor:
        out = replace(like, name=name, rounds=(), written="")
        self.out.append(Op(out, kind, inputs, options))
        return out

    def _named(self, tensor: str, user: str) -> str:
        """The name of what the op `user` makes of the gradient of a tensor: of a tensor with one user it is the whole."""
        found = self._fresh(f"d{tensor}" if self.users[tensor] == 1 else f"d{tensor}_{user}")
        return self._told(found, tensor)

    def _told(self, name: str, tensor: str) -> str:
        """A name, remembered as that of a part of a tensor's gradient."""
        self.stands_for[name] = tensor
        return name

    def _fresh(self, name: str) -> str:
        """A name that no op of this walk has."""
        found, at = name, 1
        while found in self.names:
            at += 1
            found = f"{name}_{at}"
        self.names.add(found)
        return found

    def _block(self, block: Repeat) -> None:
        """A block backwards: in its first turn, that of the last round, it takes in the gradients of what the block ends
        in; from turn to turn it carries those of what each round took in."""
        carried = {end: start for start, end in block.carry}
        given = {end: self._gathered(end, weights=False) for end in carried if end in self.parts}
        if not given:
            return
        inner = _Walk(given, self._wanted_in(block), self.recompute, inside=True)
        inner.names = self.names  # a name is one thing, inside a block and outside
        inner.stands_for, inner.remade = self.stands_for, self.remade
        inner.remakes, inner.whole = self.remakes, self.whole
        round_of = inner.back(block.items)
        carry = []
        for end, start in carried.items():
            if end not in given or start not in round_of.of:
                continue
            carry.append((given[end].name, round_of.of[start].name))
            self.parts.setdefault(start, []).append(round_of.of[start])
        self.out.append(
            Repeat(block.count, round_of.items, tuple(carry), reverse=not block.reverse, source=block.source)
        )
        starts = {start for start, _ in block.carry}
        for name, tensor in round_of.of.items():
            if name in self.wanted and name not in starts:
                self.parts.setdefault(name, []).append(tensor)

    def _wanted_in(self, block: Repeat) -> frozenset[str]:
        return self.wanted | {start for start, _ in block.carry}


_TAKES_SUMS = ("all_gather", "copy", "view")
"""Kinds whose backward rule takes a gradient as partial sums."""


def _carried(block: Repeat) -> Mapping[str, str]:
    return dict(block.carry)


def _marked(op: Op) -> tuple[tuple[str, str], ...]:
    """The options of an op that is run again; what it waited for was for its first time."""
    kept = tuple(each for each in op.options if each[0] not in ("recompute", "after"))
    return kept if find_kind(op).view else (*kept, ("recompute", "true"))


def _taken_in(item: Op | Repeat) -> Iterable[str]:
    """The tensors that an item takes in, one for each op, or for each carried tensor of a block."""
    if isinstance(item, Repeat):
        return [start for start, _ in item.carry]
    return [tensor.name for tensor in item.inputs]
