"""How far ahead of its turn a chip fetches what a pass reads: weights that are gathered, activations from the host.

Model: a block of ops is a layer a round, or, where layers repeat in a pattern, some layers, one after the other, each with
what it fetches: the `ends` of a round are what its layers end in. Blocks say by rounds how many layers ahead they fetch; at
their begin there is no round before. So what a block fetches waits for the layers before it, also those of other blocks, or,
the first of a pass, for the pass before of its stage, until that is as many layers before its end. Without it short models
and chunks, all of whose layers are the first ones, would fetch for all microbatches as soon as the wires are free, and hold
it.
Source: PyTorch, torch/distributed/fsdp/_fully_shard/_fsdp_state.py (`_root_pre_forward`: the streams that gather wait for
the one that computes).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from simulator.graph.items import Items, Op, Repeat, Round, every_op, reference
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import Left


def layer_before(layers: int, layer: int, back: int, reverse: bool = False) -> tuple[int, tuple[Round, ...]]:
    """Which layer, of so many in a round, comes so many before another one, and how that asks for its round; `reverse`:
    the block goes from its last round to its first."""
    rounds, at = divmod(layer - back, layers)
    return at, (Round(-rounds if reverse else rounds, relative=True),) if rounds else ()


@dataclass(frozen=True, slots=True)
class Pace:
    """What fetches, by the names of ops, and so many layers `ahead`. Of rounds that have several layers: `ends`, by what a
    round ends in, what each layer does; `layers`: by the names of ops, in which of them they stand, if not in the first."""

    fetches: Collection[str]
    ahead: int
    ends: Mapping[str, Sequence[str]] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)

    def of(self, items: Items) -> Left:
        """What fetches of the pass behind some items wait for: what is over `ahead` layers before the end of their
        last block, or, where there are not as many, when the first layer is over; without a block their last op."""
        return self._left(items, ())

    def before(self, items: Items) -> Left:
        """The same of the pass of the round before, where each round of a block around the items is a microbatch."""
        return self._left(items, (Round(-1, relative=True),))

    def _left(self, items: Items, around: tuple[Round, ...]) -> Left:
        found: Left = ()
        for back, left in self._layers_back(items, around):
            if back > self.ahead:
                break
            found = left
        if found:
            return found
        ops = [item for item in items if isinstance(item, Op) and not find_kind(item).view]
        return ((ops[-1].name, around),) if ops else ()

    def _layers_back(self, items: Sequence[Op | Repeat], around: tuple[Round, ...] = ()) -> Iterator[tuple[int, Left]]:
        """What the layers of the blocks of some items end in, from the last one on."""
        for back, (name, number, is_last) in enumerate(self._ends_back(items)):
            # the last round is what a name means without a number, but for where a round around it has one
            yield back, ((name, () if is_last and not around else (*around, Round(number))),)

    def _ends_back(self, items: Sequence[Op | Repeat]) -> Iterator[tuple[str, int, bool]]:
        """The same as a name, the number of its round, and whether that is the last one of its block."""
        for item in reversed(items):
            ends = self._ends(item) if isinstance(item, Repeat) else ()
            if not isinstance(item, Repeat) or not ends or not isinstance(item.count, int):
                continue
            for layer in range(item.count * len(ends)):
                rounds, at = divmod(layer, len(ends))
                yield ends[-1 - at], rounds if item.reverse else item.count - 1 - rounds, rounds == 0

    def _ends(self, block: Repeat) -> Sequence[str]:
        name = next(iter(dict(block.carry).values()), None)
        return () if name is None else self.ends.get(name, (name,))

    def in_turn(self, items: Items) -> Items:
        """A pass in which what a block fetches waits for the blocks before."""
        found: list[Op | Repeat] = []
        for item in items:
            if isinstance(item, Repeat) and found:
                item = self._behind(item, found)
            found.append(item)
        return tuple(found)

    def _behind(self, block: Repeat, items: Sequence[Op | Repeat]) -> Repeat:
        """A block behind some items of its pass."""
        ends = self._ends(block)
        wanted = {op.name for op in block.items if isinstance(op, Op) and op.name in self.fetches} if ends else ()
        if not wanted or not isinstance(block.count, int):
            return block
        rounds, before = block.count, list(islice(self._ends_back(items), self.ahead + 1))

        def awaited(name: str) -> list[str]:
            """Of each round that has no more than `ahead` layers of its own block before it: the layer so many before, by
            how far its round is from that one, so that others wait for earlier ones, or for none that there is."""
            found = []
            layers = range(self.layers.get(name, 0), self.ahead + 1, len(ends))
            for turn, layer in enumerate(islice(layers, rounds)):
                back, number = self.ahead - layer, rounds - 1 - turn if block.reverse else turn
                if back < len(before):
                    end, at, _ = before[back]
                    found.append(reference(end, (Round(at - number, relative=True),)))
            return list(dict.fromkeys(found))

        return replace(block, items=_waiting(block.items, wanted, awaited))

    def within(self, block: Repeat) -> Repeat:
        """A block whose fetches wait for the layers of its own rounds."""
        ends = self._ends(block)
        if not ends:
            return block

        def awaited(name: str) -> list[str]:
            at, rounds = layer_before(len(ends), self.layers.get(name, 0), self.ahead + 1, block.reverse)
            return [reference(ends[at], rounds)]

        return replace(block, items=_waiting(block.items, self.fetches, awaited))

    def first(self, items: Items) -> frozenset[str]:
        """The names of the ops that fetch in the first blocks of a pass, before which there are no more than `ahead`
        layers."""
        found: set[str] = set()
        layers = 0
        for item in items:
            if not isinstance(item, Repeat) or layers > self.ahead:
                continue
            found.update(op.name for op in every_op((item,)) if op.name in self.fetches)
            layers += len(self._ends(item)) * item.count if isinstance(item.count, int) else self.ahead + 1
        return frozenset(found)


def waiting(items: Items, names: Collection[str], left: Left) -> Items:
    """Items in which ops of some names wait for what a pass before has left."""
    references = [reference(name, rounds) for name, rounds in left]
    return _waiting(items, names, lambda name: references) if references else items


def _waiting(items: Items, names: Collection[str], awaited: Callable[[str], Sequence[str]]) -> Items:
    """Items in which ops of some names wait for what is told of each."""
    return tuple(
        replace(item, items=_waiting(item.items, names, awaited))
        if isinstance(item, Repeat)
        else item.waiting_for(awaited(item.name))
        if item.name in names
        else item
        for item in items
    )


def fetches_in(items: Items, fetched: Collection[str], gathered: Collection[str]) -> frozenset[str]:
    """The names of the ops in blocks that fetch: those of `fetched`, and gathers of what is in `gathered`."""
    inside = (op for item in items if isinstance(item, Repeat) for op in item.items if isinstance(op, Op))
    return frozenset(
        op.name for op in inside if op.name in fetched or (op.kind == "all_gather" and op.inputs[0].name in gathered)
    )
