"""Backward passes that are held back, so that the gradients of no more than two groups are there at once.

Model: the weights of a part of a model (of a block: those of each layer of one of its rounds) are a group. With ZeRO-2
and 3 their gradients are made, reduced over data-parallel chips and thrown away together. One group is filled while the
one before it is sent: the first kernel that makes gradients of a group waits until those of the group two before it are
reduced, in whichever microbatch, or chunk of the stage, that was. So where reducing is slower than computing, compute
waits, and gradients do not pile up. Blocks say it of themselves by rounds. Of the two layers that come first the second
waits for the part before; that is said of the last kernel that makes gradients in the first one: it runs right before the
second.
Assumes: nothing of how frameworks go about it but that. FSDP waits a little sooner, when a group is whole, before it is
packed for sending, and DeepSpeed when a bucket is full, however many groups are in it.
Source: PyTorch, torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py (`post_backward`: the current stream waits for
`comm_ctx.reduce_scatter_state`); DeepSpeed, deepspeed/runtime/zero/stage_1_and_2.py (`average_tensor` with `overlap_comm`:
the current stream waits for the `reduction_stream`; two buckets).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simulator.graph.items import Items, Op, Repeat, Round, every_op, reference
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import Left
from simulator.passes.pipeline.paces import layer_before

AT_ONCE = 2
"""Groups whose gradients are there at once."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The reductions of a group, by name, and the number of its round; None where its part has no block."""

    names: tuple[str, ...]
    round: int | None = None

    @property
    def left(self) -> Left:
        """What an op behind the part waits for."""
        # round 0 is the last one of a backward pass: what a name means without a number
        rounds = (Round(self.round),) if self.round else ()
        return tuple((name, rounds) for name in self.names)

    @property
    def left_before(self) -> Left:
        """The same of the round before, for an op in a block around both."""
        inner = () if self.round is None else (Round(self.round),)
        return tuple((name, (Round(-1, relative=True), *inner)) for name in self.names)


@dataclass(frozen=True, slots=True)
class Group:
    """A part whose gradients are thrown away once they are reduced: of each layer of its rounds, in the order of the
    backward pass, the names of its gradients and of what is made of them, and those of its reductions; and the rounds of
    its block, if it has one."""

    gradients: tuple[frozenset[str], ...]
    reduced: tuple[tuple[str, ...], ...]
    rounds: int | str | None

    @property
    def layers(self) -> int | None:
        """How many layers it has in all; None where that is not known."""
        return len(self.reduced) * self.rounds if isinstance(self.rounds, int) else None

    @property
    def last(self) -> list[Reduced]:
        """What of it is reduced last, as much as later ones wait for."""
        if self.rounds is None:
            return [Reduced(names) for names in self.reduced]
        found = []
        for back in range(AT_ONCE):
            number, layer = divmod(back, len(self.reduced))
            if not isinstance(self.rounds, int) or number < self.rounds:
                found.append(Reduced(self.reduced[-1 - layer], number))
        return found[::-1]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The items of a pass in which gradients are made. `awaits`: by the names of ops, which group of the passes before they
    wait for, 1 the last of those; `leaves`: the last groups of this pass, as many as later ones wait for."""

    items: tuple[Op | Repeat, ...]
    awaits: Mapping[str, int] = field(default_factory=dict)
    leaves: tuple[Reduced, ...] = ()

    def between_rounds(self) -> Items:
        """The items in a block whose every round is a microbatch: they wait for the round before."""
        return _waiting(self.items, self.awaits, [each.left_before for each in self.leaves])

    def behind_others(self, items: Items, names: Mapping[str, str]) -> Items:
        """Items behind such a block, in which those of the pass have other `names`: they wait for its last round."""
        awaits = {names[name]: back for name, back in self.awaits.items() if name in names}
        return _waiting(items, awaits, [each.left for each in self.leaves])


def held_back(items: Sequence[Op | Repeat], groups: Sequence[Group]) -> HeldBack:
    """Some items of a backward pass, whose gradients are those of `groups`, in the order in which they are complete."""
    found = list(items)
    awaits: dict[str, int] = {}
    before: list[Reduced] = []
    behind = -1
    for group in groups:
        at = _place_of(found, group)
        item = found[at]
        inside = list(item.items) if isinstance(item, Repeat) else found
        makers = [_makers(inside, gradients) for gradients in group.gradients]
        if isinstance(item, Repeat):
            for layer, mine in enumerate(makers):
                _wait_in_round(inside, mine[:1], group, layer)
            _wait(inside, makers[0][:1], before, AT_ONCE, awaits)
            if group.layers != 1:
                _wait(inside, makers[0][-1:], before, AT_ONCE - 1, awaits)
            found[at] = replace(item, items=tuple(inside))
        else:
            # a weight that two parts have in common has some of its gradient before
            _wait(inside, [each for each in makers[0] if each > behind][:1], before, AT_ONCE, awaits)
        before += group.last
        behind = at
    return HeldBack(tuple(found), awaits, tuple(before[-AT_ONCE:]))


def _waiting(items: Items, awaits: Mapping[str, int], left: Sequence[Left]) -> Items:
    """Items whose ops wait for what passes before have left, the last of it or the one before that."""
    found: list[Op | Repeat] = []
    for item in items:
        if isinstance(item, Repeat):
            found.append(replace(item, items=_waiting(item.items, awaits, left)))
        elif item.name in awaits:
            # where a pass has one group only, that of the pass before is waited for
            back = min(awaits[item.name], len(left))
            found.append(item.waiting_for(_references(left[-back])))
        else:
            found.append(item)
    return tuple(found)


def _references(left: Left) -> list[str]:
    return [reference(name, rounds) for name, rounds in left]


def _place_of(items: Sequence[Op | Repeat], group: Group) -> int:
    """Where the last of the reductions of a group stands, or the block in which they stand."""
    names = {name for mine in group.reduced for name in mine}
    return max(at for at, item in enumerate(items) if any(op.name in names for op in every_op((item,))))


def _makers(items: Sequence[Op | Repeat], gradients: Collection[str]) -> list[int]:
    """Where the ops stand that make some gradients, in their order: what is only a view of one is made by what is behind."""
    places = {op.name: at for at, op in enumerate(items) if isinstance(op, Op)}
    found = []
    for name in gradients & places.keys():
        op = items[places[name]]
        assert isinstance(op, Op)
        while find_kind(op).view and op.inputs[0].name in places:
            op = items[places[op.inputs[0].name]]
            assert isinstance(op, Op)
        if not find_kind(op).view:
            found.append(places[op.name])
    return sorted(found)


def _wait_in_round(items: list[Op | Repeat], makers: Sequence[int], group: Group, layer: int) -> None:
    """An op, if there is one, of a layer of a round waits for the layer of its part that is so many before its own."""
    for at in makers:
        op = items[at]
        assert isinstance(op, Op)
        before, rounds = layer_before(len(group.reduced), layer, AT_ONCE, reverse=True)
        items[at] = op.waiting_for([reference(name, rounds) for name in group.reduced[before]])


def _wait(
    items: list[Op | Repeat], makers: Sequence[int], before: Sequence[Reduced], back: int, awaits: dict[str, int]
) -> None:
    """An op, if there is one, waits for the group so many before its own."""
    for at in makers:
        op = items[at]
        assert isinstance(op, Op)
        if back <= len(before):
            items[at] = op.waiting_for(_references(before[-back].left))
        else:
            awaits[op.name] = back - len(before)
