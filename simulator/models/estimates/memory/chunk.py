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
from simulator.models.estimates.memory.beside import Late, Parts, Timed, clock_of, late_of, seconds_of, timed
from simulator.models.estimates.memory.held import Rise, Sizes, Swing, rises_of, swings_of
from simulator.models.estimates.memory.lives import Lives, lives_of, rounds_of
from simulator.models.estimates.memory.walk import Part
from simulator.models.estimates.passes import PASSES
from simulator.models.estimates.prices import Price
from simulator.models.estimates.program import LEFT
from simulator.models.estimates.rows import COMPUTE, Binder, Rows
from simulator.ops.kernel import maker_of

Key = tuple[str, bool]
"""A pass, and whether it is that of the last microbatch."""

Move = TypeVar("Move", Swing, Rise)

_NUMBER = {owner: at for at, owner in enumerate(OWNERS)}


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a chunk holds: `given` once, `each`: given for each microbatch, by owner; how passes move it, and, `sure`, how
    they move what every run holds; `late`: how, where what goes to the host goes as late as it may. `seconds`: what any
    microbatch takes, and the last with the end of the step, where what is computed waits for what is on the host."""

    given: Any
    each: Any
    passes: Mapping[Key, Swing]
    sure: Mapping[Key, Rise]
    late: Mapping[Key, Rise] | None
    seconds: tuple[float, float] = (0.0, 0.0)


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
        seconds = 0.0, 0.0
        if sort.waits:
            stored, programs = sort.chunk.stored, list(zip((plain, last), parts, strict=True))
            whens = _timed(rows, programs, is_sent, stored.adds_up)
            passes = _clocked(rows, programs, whens, sizes, more)
            if "activations" in stored.offload:
                seconds = whens[0].clock.behind(plain.bounds[1]), whens[1].clock.behind(0)
        else:
            middle = swings_of(plain, sizes, plain.whole, more, since=1)
            passes = _named(middle, swings_of(last, sizes, last.whole, more))
        sure = _named(rises_of(plain, certain, plain.sure, more, since=1), rises_of(last, certain, last.sure, more))
        late = None
        if plain.late is not None or last.late is not None:
            ends = plain.late or plain.whole, last.late or last.whole
            late = _named(rises_of(plain, sizes, ends[0], more, since=1), rises_of(last, sizes, ends[1], more))
        shared = {sort.structure.slots.get(name) for name in sort.begun}
        for slot, (times, by_round, part) in last.given.items():
            if slot not in taken:
                total = given if slot in shared or part in ("begin", "end") else each
                total[sizes.owner[slot]] += (times + more * by_round) * sizes.nbytes[slot]
        return Held(given, each, passes, sure, late, seconds)

    def _lives(
        self, sort: ChunkSort, rows: Mapping[Key, Rows], parts: tuple[Sections, Sections]
    ) -> tuple[Lives, Lives, int]:
        """The lives of any microbatch and of the last, and how many more rounds there are than in those."""
        plain, last = (
            [self._part(sort, name, rows[name, is_last], fetched) for name, is_last, fetched in each] for each in parts
        )
        # what waits to go to the host may be of any round
        long, few = (0, 0) if "activations" in sort.chunk.stored.offload else rounds_of([*plain, *last])
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
            paced=frozenset(sort.fetched_by_layer) if name in ("forward", "backward") else frozenset(),
        )


_PLAIN = ("begin", *PASSES)
_LAST = (*_PLAIN, "end")
"""The sections of any microbatch, and those of the last one."""

Fetched = tuple[int, Price]
"""A slot of what is fetched for the next pass, and the price of that."""

Sections = Sequence[tuple[str, bool, Sequence[Fetched]]]
"""Sections by their names, whether each is that of the last microbatch, and what it fetches for the next one."""


def _parts(
    sort: ChunkSort, rows: Mapping[Key, Rows], names: Sequence[str]
) -> list[tuple[str, bool, Sequence[Fetched]]]:
    """Sections by their names, whether each is that of the last microbatch, and what it fetches for the next one."""
    if names is _PLAIN:
        return [(name, False, _fetched(sort, name, rows)) for name in names]
    # behind the last backward pass none is left to fetch for
    return [(name, name in PASSES, _fetched(sort, name, rows) if name == "forward" else ()) for name in names]


Program = tuple[Lives, Sections]
"""The sections of a microbatch, one behind the other, and the lives of what they make."""


def _clocked(
    rows: Mapping[Key, Rows], programs: Sequence[Program], whens: Sequence[Timed], sizes: Sizes, more: int
) -> dict[Key, Swing]:
    """How passes of any microbatch and of the last one move what is held, by a clock."""
    found = []
    for (mine, sections), when, since in zip(programs, whens, (1, 0), strict=True):
        span = replace(mine.whole, begin=when.begin, end=when.end)
        walked = swings_of(mine, sizes, span, more, since, when)
        long = [_left_out(rows[name, is_last], more) for name, is_last, _ in sections]
        found.append([each.lasting(seconds) for each, seconds in zip(walked, long, strict=True)])
    return _named(*found)


def _timed(rows: Mapping[Key, Rows], programs: Sequence[Program], is_sent: bool, several: bool) -> tuple[Timed, Timed]:
    """The lives of any microbatch and of the last by a clock, `several`: which is not the first as well."""
    (plain, _), (last, _) = programs
    taken = [_seconds(rows, *each) for each in programs]
    # what stands before all passes is done before the first one
    taken[0][: plain.bounds[1]] = 0.0
    if several:
        taken[1][: last.bounds[1]] = 0.0
    # between passes of a pipeline there may be time for what is fetched
    late: Late | None = None if is_sent else {}
    clock = clock_of(plain.beside, taken[0], late)
    if late is not None and (late := late_of(plain.beside, clock)):
        clock = clock_of(plain.beside, taken[0], late)
    clocks = clock, clock_of(last.beside, taken[1], late)
    # behind the passes of the last microbatch stands the end of the step, which is in the same program
    final = max(at for at in range(len(_PLAIN)) if last.bounds[at + 1] > last.bounds[at] or not at)
    of_plain, of_last = (
        timed(each.beside, clock, each.whole.begin, each.whole.end, Parts(each.bounds, each.since, apart))
        for each, clock, apart in zip((plain, last), clocks, (len(_PLAIN), final), strict=True)
    )
    return of_plain, of_last


def _seconds(rows: Mapping[Key, Rows], lives: Lives, sections: Sections) -> Any:
    """What the steps of some sections take, and what they fetch."""
    stretches: list[list[float]] = []
    fetched: list[float] = []
    for name, is_last, more in sections:
        stretches += [[price.least for price in stretch.prices] for stretch in rows[name, is_last]]
        fetched += [price.least for _, price in more]
    return seconds_of(lives.beside, stretches, fetched)


def _left_out(rows: Rows, more: int) -> float:
    """Seconds of the compute queue in so many rounds that are not walked through."""
    long = (stretch for stretch in rows if stretch.block and more and stretch.count > more)
    return more * sum(price.least for stretch in long for price in stretch.prices if price.queue == COMPUTE)


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
