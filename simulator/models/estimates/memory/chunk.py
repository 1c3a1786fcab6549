"""What a chunk holds: bytes that are given, and how each of its passes moves the level.

Model: weights, states of the optimizer and sums of gradients are given, and so is what each microbatch brings along; a pass
moves the level by what it keeps for a later one or lets go of (`held`), given how long that lives (`lives`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from simulator.graph.items import Tensor
from simulator.graph.owners import OWNERS
from simulator.models.estimates.chunks import ChunkSort
from simulator.models.estimates.memory.clocked import (
    Fetched,
    Key,
    Sections,
    clocked,
    microbatches_of,
    taken_s,
    timed_of,
)
from simulator.models.estimates.memory.held import Rise, Sizes, Swing, rises_of, swings_of
from simulator.models.estimates.memory.in_time import Microbatch
from simulator.models.estimates.memory.lives import Lives, lives_of, rounds_of
from simulator.models.estimates.memory.walk import Part
from simulator.models.estimates.passes import PASSES
from simulator.models.estimates.program import LEFT
from simulator.models.estimates.rows import Binder, Rows
from simulator.ops.kernel import maker_of

Move = TypeVar("Move", Swing, Rise)

_NUMBER = {owner: at for at, owner in enumerate(OWNERS)}


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a chunk holds: `given` once, `each`: given for each microbatch, by owner; how passes move it, and, `sure`, how
    they move what every run holds; `late`: how, where what goes to the host goes as late as it may. `in_time`: any
    microbatch and the last one, to be gone through with those of other chunks, where something is on the host; `beside`:
    the same, with what goes on beside the compute queue in seconds of what that does meanwhile."""

    given: Any
    each: Any
    passes: Mapping[Key, Swing]
    sure: Mapping[Key, Rise]
    late: Mapping[Key, Rise] | None
    in_time: tuple[Microbatch, Microbatch] | None = None
    beside: tuple[Microbatch, Microbatch] | None = None


@dataclass
class Holdings:
    """What chunks hold; lives are the same for all configurations of a structure."""

    _known: dict[tuple[ChunkSort, bool, tuple[int, ...]], tuple[Lives, Lives]] = field(default_factory=dict)

    _kinds: dict[ChunkSort, _Kinds] = field(default_factory=dict)

    def of(self, sort: ChunkSort, rows: Mapping[Key, Rows], binder: Binder, is_sent: bool) -> Held:
        """What a chunk holds; `is_sent`: what it takes in comes from another chip."""
        parts = _parts(sort, rows, _PLAIN), _parts(sort, rows, _LAST)
        plain, last, more = self._lives(sort, rows, parts)
        if sort not in self._kinds:
            self._kinds[sort] = _Kinds(sort, rows)
        sizes = self._kinds[sort].sizes(rows, binder)
        taken = {slot for part in ("forward", "backward") for slot in sort.takes(part)}
        given, each = np.zeros(len(OWNERS)), np.zeros(len(OWNERS))
        if is_sent and sort.is_buffered:
            # what is received lies in a buffer that is there from the begin, for each microbatch
            for slot in taken:
                each[sizes.owner[slot]] += sizes.nbytes[slot]
            sizes = _without(sizes, tuple(taken))
        certain = sizes if is_sent else _without(sizes, (*sort.takes("forward"), *sort.takes("backward")))
        stored, programs = sort.chunk.stored, list(zip((plain, last), parts, strict=True))
        in_time = beside = None
        if stored.offload:
            in_time = microbatches_of(sort, programs, taken_s(rows, programs, stored.adds_up), sizes)
            slowed = taken_s(rows, programs, stored.adds_up, beside=True)
            beside = replace(in_time[0], seconds=slowed[0]), replace(in_time[1], seconds=slowed[1])
        if sort.waits and in_time is None:
            whens = timed_of(programs, taken_s(rows, programs, stored.adds_up), is_sent)
            passes = _named(*clocked(rows, programs, whens, sizes, more))
        else:
            middle = swings_of(plain, sizes, plain.whole, more, since=1)
            passes = _named(middle, swings_of(last, sizes, last.whole, more))
        sure = _named(rises_of(plain, certain, plain.sure, more, since=1), rises_of(last, certain, last.sure, more))
        late = _late(plain, last, sizes, more)
        shared = {sort.structure.slots.get(name) for name in sort.begun}
        for slot, (times, by_round, part) in last.given.items():
            if slot not in taken:
                total = given if slot in shared or part in ("begin", "end") else each
                total[sizes.owner[slot]] += (times + more * by_round) * sizes.nbytes[slot]
        return Held(given, each, passes, sure, late, in_time, beside)

    def _lives(
        self, sort: ChunkSort, rows: Mapping[Key, Rows], parts: tuple[Sections, Sections]
    ) -> tuple[Lives, Lives, int]:
        """The lives of any microbatch and of the last, and how many more rounds there are than in those."""
        plain, last = (
            [self._part(sort, name, rows[name, is_last], fetched) for name, is_last, fetched in each] for each in parts
        )
        # what waits to go to the host, or comes from there, may be of any round
        long, few = (0, 0) if sort.chunk.stored.offload else rounds_of([*plain, *last])
        counts = tuple(min(stretch.count, few or stretch.count) for part in (*plain, *last) for stretch in part.rows)
        key = sort, bool(few), counts
        if key not in self._known:
            self._known[key] = lives_of(plain, (long, few), sort.waits), lives_of(last, (long, few), sort.waits)
        return *self._known[key], long - few

    @staticmethod
    def _part(sort: ChunkSort, name: str, rows: Rows, fetched: Sequence[Fetched]) -> Part:
        return Part(
            name=name,
            rows=rows,
            takes=sort.takes(name),
            gives=sort.gives(name),
            stays=sort.stays(name),
            fetched=tuple((slot, price.queue) for slot, price in fetched),
            ahead=sort.chunk.pace.ahead,
            ends=sort.layer_ends,
            left=sort.structure.slot(LEFT),
            leaves=frozenset(map(sort.structure.slot, sort.reductions)),
            paced=frozenset(sort.fetched_by_layer) if name in ("forward", "backward") else frozenset(),
        )


_PLAIN = ("begin", *PASSES)
_LAST = (*_PLAIN, "end")
"""The sections of any microbatch, and those of the last one."""


def _parts(
    sort: ChunkSort, rows: Mapping[Key, Rows], names: Sequence[str]
) -> list[tuple[str, bool, Sequence[Fetched]]]:
    """Sections by their names, whether each is that of the last microbatch, and what it fetches for the next one."""
    if names is _PLAIN:
        return [(name, False, _fetched(sort, name, rows)) for name in names]
    # behind the last backward pass none is left to fetch for
    return [(name, name in PASSES, _fetched(sort, name, rows) if name == "forward" else ()) for name in names]


def _fetched(sort: ChunkSort, name: str, rows: Mapping[Key, Rows]) -> Sequence[Fetched]:
    """The slots of what the pass behind one fetches before that is over: what its first layers do."""
    behind = {"forward": "backward", "backward": "forward"}.get(name)
    layers = sort.fetched_by_layer
    if behind is None or not layers:
        return ()
    found: list[Sequence[Fetched]] = []
    for stretch in rows[behind, False]:
        priced = zip(stretch.places, stretch.prices, strict=True)
        made = [(slot, price) for place, price in priced for slot in place.makes[: place.written] if slot in layers]
        if not stretch.block or not made:
            continue
        ends = [end for _, end in stretch.carry]
        count = next((sort.layers_of_rounds[end] for end in ends if end in sort.layers_of_rounds), 1)
        mine = [[each for each in made if layers[each[0]] == layer] for layer in range(count)]
        left = sort.chunk.pace.ahead + 1 - len(found)
        found += (mine * min(stretch.count, -(-left // count)))[:left]
    return tuple(each for layer in found for each in layer)


def _named(middle: Sequence[Move], whole: Sequence[Move]) -> dict[Key, Move]:
    """Moves by their passes: those of any microbatch, behind the begin, and those of the last."""
    found = {(name, False): swing for name, swing in zip(PASSES, middle[1:], strict=True)}
    return found | {(name, True): swing for name, swing in zip(("begin", *PASSES, "end"), whole, strict=True)}


def _late(plain: Lives, last: Lives, sizes: Sizes, more: int) -> dict[Key, Rise] | None:
    """How passes move what is held where copies to other memories are late; None where there are none."""
    if plain.late is None and last.late is None:
        return None
    ends = plain.late or plain.whole, last.late or last.whole
    return _named(rises_of(plain, sizes, ends[0], more, since=1), rises_of(last, sizes, ends[1], more))


def _without(sizes: Sizes, slots: Sequence[int]) -> Sizes:
    """Sizes without some slots, which the chunk before has already."""
    nbytes = sizes.nbytes.copy()
    nbytes[list(slots)] = 0.0
    return Sizes(nbytes, sizes.owner)


class _Kinds:
    """What is in the slots of a sort of chunk, for all configurations: owners, and tensors of one kind once."""

    def __init__(self, sort: ChunkSort, rows: Mapping[Key, Rows]) -> None:
        structure = sort.structure
        self._owner = np.full(len(structure.slots), _NUMBER["activations"])
        self._kind = np.zeros(len(structure.slots), dtype=np.int64)
        numbers: dict[tuple[Any, ...], int] = {}
        self._tensors: list[Tensor] = []
        beside: dict[str, int] = {}
        for name, slot in structure.slots.items():
            self._owner[slot] = _NUMBER[sort.roles.get(maker_of(name)[0], "activations")]
            tensor = structure.types.get(name)
            if tensor is None:
                beside[name] = slot
                continue
            number = numbers.setdefault((tensor.dtype, tensor.dims, tensor.memory), len(numbers))
            if number == len(self._tensors):
                self._tensors.append(tensor)
            self._kind[slot] = number
        self._beside = list(beside.values())
        self._written = _written(rows, beside)

    def sizes(self, rows: Mapping[Key, Rows], binder: Binder) -> Sizes:
        """Bytes and owners of all slots: of a tensor what it takes on a chip, of what is made beside one what is written."""
        nbytes = np.asarray([binder.nbytes(tensor) for tensor in self._tensors])[self._kind]
        nbytes[self._beside] = 0.0
        for slot, (key, stretch, kernel, write) in self._written.items():
            access = rows[key][stretch].kernels[kernel].writes[write]
            nbytes[slot] = access.nbytes if access.memory == "hbm" else 0.0
        return Sizes(nbytes, self._owner)


def _written(rows: Mapping[Key, Rows], beside: Mapping[str, int]) -> dict[int, tuple[Key, int, int, int]]:
    """The last write of what is made beside tensors, by slot: section, stretch, kernel and place among its writes."""
    found: dict[int, tuple[Key, int, int, int]] = {}
    for key, stretches in rows.items():
        for at, stretch in enumerate(stretches):
            for number, kernel in enumerate(stretch.kernels):
                for place, access in enumerate(kernel.writes):
                    if access.tensor in beside and access.memory == "hbm":
                        found[beside[access.tensor]] = key, at, number, place
    return found
