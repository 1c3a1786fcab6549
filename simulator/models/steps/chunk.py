"""A chunk of a training step: what one stage computes of a microbatch, forwards and backwards, and what becomes of it.

Model: forward items make the stream (or the loss) from the stream before; the backward pass goes from the gradient of
what the chunk makes to that of what it takes in, and leaves the gradients of its weights, part by part, where the last of
a part is made. Gradients are added up over microbatches, reduced over data-parallel chips, and the weights stepped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from simulator.graph.items import Items, Op, Repeat, Tensor, every_op
from simulator.graph.owners import Owner
from simulator.models.steps.buffers import Stored
from simulator.models.steps.carried_out.alike import marked
from simulator.models.steps.carried_out.passes import carried_out
from simulator.models.steps.layout import Parallel
from simulator.models.steps.megatron.added import added_by_matmuls
from simulator.models.steps.offloading.activations import activations_on_host
from simulator.models.steps.parts import Part
from simulator.models.steps.pytorch.pools import outside_of_blocks
from simulator.models.steps.roles import step_roles
from simulator.models.steps.rounds.layers import pace_of_layers
from simulator.models.steps.saved.kept import kept_by_blocks
from simulator.models.steps.stepping.stepped import Optimizer, stepped, summed
from simulator.models.steps.storage.buffer import Buffer, size_of
from simulator.models.steps.storage.held_back import Group, HeldBack, held_back
from simulator.models.steps.storage.one_after_another import one_after_another
from simulator.models.steps.storage.tied import Tie
from simulator.passes.differentiate import differentiate
from simulator.passes.pipeline.chunks import Left, PipelineChunk
from simulator.passes.pipeline.halves import split_backward
from simulator.passes.pipeline.paces import fetches_in, waiting
from simulator.passes.pipeline.schedules import Pass
from simulator.passes.pipeline.step import room_for


@dataclass(frozen=True, slots=True)
class Ends:
    """What a chunk takes in and makes, and the gradients of both; None where it begins or ends the model."""

    takes: Tensor | None
    makes: Tensor
    gives: Tensor | None
    gradient: Tensor | None


class Chunk:
    """One chunk being built. `takes`: the stream that it takes in, None in the first; `is_last`: it ends in the loss;
    `held`: what is there for the whole step and nothing computes with; `ties`: weights that another stage has, too;
    `returned`: what is made of the last microbatch that is held until the step is over."""

    def __init__(
        self,
        parts: Sequence[Part],
        stored: Stored,
        optimizer: Optimizer,
        takes: Tensor | None,
        is_last: bool,
        held: Sequence[Tensor] = (),
    ) -> None:
        self.parts, self.stored, self.optimizer, self.held = parts, stored, optimizer, held
        self.ties: Mapping[str, Tie] = {}
        self.returned = ""
        self.root = outside_of_blocks(parts, stored) if stored.pytorch else []
        self.forward: Items = tuple(item for part in parts for item in part.items)
        makes = parts[-1].makes
        seed = makes if is_last else replace(makes, name=f"d{makes.name}")
        again = frozenset().union(*(part.again for part in parts))
        wanted = {weight.name for buffer in self.buffers for weight in buffer.weights}
        if takes is not None:
            wanted.add(takes.name)
        remakes = {name: remake for part in parts for name, remake in part.remakes.items()}
        whole = frozenset().union(*(part.whole for part in parts))
        self.back = differentiate(self.forward, {makes.name: seed}, wanted, again, remakes, whole)
        self.back = kept_by_blocks(self.back, parts)
        self.added: frozenset[str] = frozenset()
        if stored.megatron:
            self.back, self.added = added_by_matmuls(self.back, self.buffers, stored)
        self.forward, self.back = carried_out(self.forward, self.back, stored)
        copies = max(buffer.key_copies for buffer in self.buffers)
        self.forward = marked(self.forward, stored.parallel, copies)
        self.back = replace(self.back, items=marked(self.back.items, stored.parallel, copies))
        gives = self.back.of.get(takes.name) if takes is not None else None
        self.fetched: Mapping[str, str] = {}
        if "activations" in stored.offload:
            moved = activations_on_host(self.forward, self.back)
            self.forward, self.back, self.fetched = moved.forward, moved.back, moved.fetched
        self.ends = Ends(takes, makes, gives, None if is_last else seed)
        fetches = fetches_in((*self.forward, *self.back.items), self.fetched, self._gathered_late())
        self.pace = pace_of_layers(parts, self.back, self.fetched, fetches, stored.parallel.prefetch)
        self.forward = self.pace.in_turn(self.forward)

    @property
    def buffers(self) -> list[Buffer]:
        """The buffers of all parts."""
        return [buffer for part in self.parts for buffer in part.buffers]

    @property
    def fuse(self) -> list[tuple[str, ...]]:
        """The ops that are one kernel, also where they are run again."""
        groups = [group for part in self.parts for group in part.fuse]
        again = {name: copy for copy, name in self.back.remade.items()}
        copies = (tuple(again[name] for name in group if name in again) for group in groups)
        return groups + [copy for copy in copies if len(copy) > 1]

    def roles(self) -> dict[str, Owner]:
        """Whose memory the tensors of the chunk take."""
        found = step_roles(self.parts, self.stored, self.back, self.added, self.optimizer.kind)
        if self.ends.gradient is not None:
            found[self.ends.gradient.name] = "temporaries"
        found |= dict.fromkeys((each.name for each in self.held), self._owner_of_held)
        for received in (self.ends.takes, self.ends.gradient):
            if received is not None:
                found[room_for(received).name] = "communication buffers"
        found |= {copy: found[name] for copy, name in self.fetched.items()}
        for _, tie, reduced in self._tied():
            found |= tie.roles(reduced)
        return found

    @property
    def _owner_of_held(self) -> Owner:
        return "communication buffers" if self.stored.pytorch else "temporaries"

    def dims(self, sizes: Mapping[str, int], parallel: Parallel | None = None) -> dict[str, int]:
        """The sizes of the buffers' dims; under another parallelism that has the same axes, if one is given."""
        parallel = parallel or self.stored.parallel
        extents = parallel.extents
        found = {buffer.dim: size_of(buffer, extents, sizes) for buffer in self.buffers}
        found |= {dim: sum(_elements(tensor, sizes) for tensor in parts) for dim, parts in self._packed.items()}
        found |= {tie.dim: tie.size(reduced, sizes, parallel) for _, tie, reduced in self._tied()}
        return found

    @cached_property
    def _packed(self) -> Mapping[str, Sequence[Tensor]]:
        """What is packed together and is no buffer, by its dim: the same under every parallelism."""
        found: dict[str, Sequence[Tensor]] = {}
        buffers = {buffer.dim for buffer in self.buffers}
        for buffer in self.buffers:
            ops, _ = self.stored.collected(buffer, self.back.of, self.added)
            for op in ops:
                for dim in op.output.dims if op.kind == "pack" else ():
                    if isinstance(dim.size, str) and dim.size not in buffers:
                        found.setdefault(dim.size, op.inputs)
        return found

    def _tied(self) -> Iterator[tuple[Buffer, Tie, Tensor]]:
        """The ties of the chunk, each with the buffer that has its weight and the sum of that's gradients."""
        for buffer in self.buffers:
            for weight in buffer.weights:
                if weight.name in self.ties:
                    yield buffer, self.ties[weight.name], summed(self.stored, buffer)[1]

    def declared(self) -> list[Op | Repeat]:
        """What is there before the step: stored weights and sums, under their names."""
        items: list[Op | Repeat] = []
        for part in self.parts:
            ops = [op for buffer in part.buffers for op in self.stored.declared(buffer)]
            items += part.for_each(ops)
        return items

    def backward(self, last: bool) -> list[Op | Repeat]:
        """The backward pass of a microbatch, each part's gradients collected where they are complete, and reduced where
        sums are: behind the last microbatch, or behind each."""
        passed = self.pace.in_turn(self.back.items)
        items = [self.pace.within(item) if isinstance(item, Repeat) else item for item in passed]
        for buffer in self.buffers:
            ops, packed = self.stored.collected(buffer, self.back.of, self.added)
            more, _ = self.stored.finished(buffer, packed, last and not self.stored.waits(buffer))
            _insert(items, [*ops, *more], {self.back.of[weight.name].name for weight in buffer.weights})
        return items

    def _gathered_late(self) -> frozenset[str]:
        """The names of stored weights that are gathered only when they are needed."""
        return frozenset(self.stored.owned(buffer).name for buffer in self.buffers if self.stored.gathers_late(buffer))

    def held_back(self, items: Sequence[Op | Repeat]) -> HeldBack:
        """Items in which the gradients of weights are made, held back so that those of no more than two parts are there at
        once, or of one, where nothing goes on beside what reduces them; as they are where gradients are not thrown away
        once they are reduced."""
        if not self.stored.parallel.overlap_gradients:
            inside = frozenset(name for group in self.fuse for name in group[1:])
            return HeldBack(tuple(one_after_another(items, self._reductions, inside)))
        groups = []
        for part in reversed(self.parts):
            layers = [[buffer for buffer in mine if self.stored.sums_late(buffer)] for mine in reversed(part.layers)]
            late = [mine for mine in layers if mine]
            if late:
                gradients = tuple(map(self._gradients_of, late))
                reduced = tuple(tuple(map(self.stored.reduction, mine)) for mine in late)
                groups.append(Group(gradients, reduced, part.rounds))
        return held_back(items, groups)

    def _gradients_of(self, buffers: Sequence[Buffer]) -> frozenset[str]:
        """The names of the gradients of some buffers' weights, and of parts of them."""
        weights = {weight.name for buffer in buffers for weight in buffer.weights}
        named = {name for name, of in self.back.stands_for.items() if of in weights}
        return frozenset(named | {self.back.of[name].name for name in weights})

    @property
    def _reductions(self) -> frozenset[str]:
        """The names of what reduces gradients that are thrown away then."""
        late = [buffer for buffer in self.buffers if self.stored.sums_late(buffer)]
        return frozenset(name for buffer in late for name in self.stored.reductions(buffer))

    def for_pipeline(self, splits: bool) -> PipelineChunk:
        """The chunk as a pipeline takes it; `splits`: its backward pass in two, the gradients of weights last."""
        others, final = self.backward(last=False), self.backward(last=True)
        takes, makes, gives, gradient = self.ends.takes, self.ends.makes, self.ends.gives, self.ends.gradient
        plain, late = self._split(others) if splits else ([], others)
        last, last_late = self._split(final) if splits else ([], final)
        held, last_held = self.held_back(late), self.held_back(last_late)
        last_pass: dict[Pass, Items] = {"backward": last_held.items}
        if splits:
            last_pass = {"backward": tuple(last), "weights": last_held.items}
        paced = self.paced
        paces: dict[Pass, Left] = {"forward": self.pace.of(self.forward), "backward": self.pace.of(self.back.items)}
        return PipelineChunk(
            forward=self.forward,
            backward=tuple(plain) if splits else held.items,
            weights=held.items if splits else (),
            begin=tuple(self.declared()),
            end=tuple(self.stepped()),
            takes=(takes.name,) if takes is not None else (),
            makes=(makes.name,) if gradient is not None else (),
            takes_back=(gradient.name,) if gradient is not None else (),
            makes_back=(gives.name,) if gives is not None else (),
            last=last_pass,
            fuse=tuple(self.fuse),
            held=(self.parts[-1].returns,) if self.parts[-1].returns else (),
            leaves=tuple(each.left for each in held.leaves),
            awaits=held.awaits,
            paced=paced,
            paces=paces if paced else {},
        )

    @property
    def paced(self) -> frozenset[str]:
        """The names of what the first blocks of passes fetch: weights that are gathered late, activations from the host."""
        return self.pace.first(self.forward) | self.pace.first(self.back.items)

    def behind_forward(self, backward: Items) -> Items:
        """A backward pass right behind the forward pass, which what it fetches waits for."""
        return waiting(backward, self.paced, self.pace.of(self.forward))

    def between_rounds(self) -> Items:
        """The forward pass in a block whose every round is a microbatch: what it fetches waits for the round before."""
        return waiting(self.forward, self.paced, self.pace.before(self.back.items))

    def behind_others(self, items: Items, names: Mapping[str, str]) -> Items:
        """Items behind such a block, in which those of the pass have other `names`: a forward pass waits for the last round
        of that."""
        made = {op.name for op in every_op(self.forward)}
        paced = [names[name] for name in self.paced if name in made and name in names]
        return waiting(items, paced, self.pace.of(self.back.items))

    def _split(self, items: Sequence[Op | Repeat]) -> tuple[list[Op | Repeat], list[Op | Repeat]]:
        return split_backward(
            items, {self.back.of[weight.name].name for buffer in self.buffers for weight in buffer.weights}
        )

    def stepped(self) -> list[Op | Repeat]:
        """The end of the step: gradients reduced, normed and exchanged where they are tied, then the weights stepped."""
        items: list[Op | Repeat] = []
        if self.root:
            # gathered once, and there until the backward pass is over
            items.append(_reader(f"root{self.root[0].name}", self.root))
        exchanged = {buffer.name: tie.ops(reduced) for buffer, tie, reduced in self._tied()}
        items += stepped(self.parts, self.stored, self.optimizer, exchanged)
        if self.held:
            # whoever reads it last keeps it so long
            items.append(_reader(f"held{self.held[0].name}", self.held))
        if self.returned:
            items.append(_reader("returned", [op.output for op in every_op(self.forward) if op.name == self.returned]))
        return items


def _reader(name: str, tensors: Sequence[Tensor]) -> Op:
    """An op that reads some tensors and does nothing: they are there until then."""
    return Op(Tensor(name, "fp32", ()), "custom", tuple(tensors), (("bytes", "0"),))


def _insert(items: list[Op | Repeat], ops: Sequence[Op], made: Collection[str]) -> None:
    """Put ops right behind the last of the ops that make some tensors, in the block in which they stand."""
    for at, item in enumerate(items):
        if isinstance(item, Repeat) and any(op.name in made for op in every_op(item.items)):
            inner = list(item.items)
            _insert(inner, ops, made)
            items[at] = replace(item, items=tuple(inner))
            return
    last = max(at for at, item in enumerate(items) if isinstance(item, Op) and item.name in made)
    items[last + 1 : last + 1] = ops


def _elements(tensor: Tensor, sizes: Mapping[str, int]) -> int:
    """Elements of a tensor that is whole on every chip."""
    count = 1
    for dim in tensor.dims:
        count *= sizes[dim.size] if isinstance(dim.size, str) else dim.size
    return count
