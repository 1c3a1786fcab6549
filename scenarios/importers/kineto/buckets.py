"""Collectives of gradients joined into larger buckets.

Model: all-reduces and reduce-scatters of one group, kind and format that follow each other are one, as long as they hold no
more bytes together than a bucket may. The joined one begins when the last of them could, once everything is there that any
of them waited for; whatever waited for one of them waits for it. A bucket ends early where what comes next waits, in
whatever way, for something that waits for a collective of the bucket: joined, these would wait for each other.
Its time: start plus bytes over rate, as a line through all collectives of its group and kind says; where they are
all of one size nothing tells the start, and it takes what they took together. It is at least the longest of them, and
at most all of them together. Kernels that copy gradients into their buckets, and the launches of those that are gone,
stay as they were.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hw import Mark, Problem, SpecError
from scenarios.importers.collectives import collective_kind
from scenarios.importers.dtypes import dtype_named
from scenarios.importers.kineto.changes import Run
from scenarios.importers.kineto.nodes import Node, Took
from scenarios.importers.kineto.streams import by_stream, in_order
from simulator import DTYPE_BYTES

_KINDS = ("all_reduce", "reduce_scatter")
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    """A collective: its kernel on each rank, and the node in which they meet, None of one rank alone."""

    kernels: tuple[Node, ...]
    meet: Node | None
    elements: int
    item_bytes: float

    @property
    def nbytes(self) -> float:
        """What each rank gives."""
        return self.elements * self.item_bytes

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All that it is."""
        return self.kernels if self.meet is None else (self.meet, *self.kernels)

    @property
    def front(self) -> tuple[Node, ...]:
        """What waits before it."""
        return self.kernels if self.meet is None else (self.meet,)


def join(run: Run, most_bytes: float) -> None:
    """Join collectives of gradients into buckets of at most so many bytes. Raises SpecError where no collective can be."""
    calls = _calls(run.nodes)
    if not calls:
        problem = "no kernel of the trace says that it is an all-reduce or a reduce-scatter, and of what size"
        raise SpecError([Problem(Mark("--buckets"), problem)])
    queues = by_stream(in_order(run.nodes)).values()
    before = {id(node): earlier for queue in queues for earlier, node in pairwise(queue)}
    gone: dict[int, Node] = {}
    count = made = early = 0
    for those in calls.values():
        buckets, ended = _buckets(those, most_bytes, before)
        line = _Line.through(those)
        for bucket in buckets:
            gone |= _joined(bucket, line)
        count, made, early = count + len(those), made + len(buckets), early + ended
    _redirect(run, gone)
    run.notes.append(f"{count:,} collectives of gradients are joined into {made:,}")
    if early:
        run.notes.append(f"{early:,} of these end early: what comes next waits for something that waits for them")


def _calls(nodes: Sequence[Node]) -> dict[Key, list[_Call]]:
    """Collectives that can be joined, in order, by what they must have in common."""
    together: dict[int, list[Node]] = defaultdict(list)
    meets: dict[int, Node] = {}
    for node in in_order(nodes):
        if node.collective is not None:
            meet = next((each for each in node.after if each.meets), None)
            together[id(meet or node)].append(node)
            if meet is not None:
                meets[id(meet)] = meet
    found: dict[Key, list[_Call]] = defaultdict(list)
    for at, kernels in together.items():
        said = kernels[0].collective
        dtype = dtype_named(said.dtype) if said is not None else None
        if said is None or dtype is None or collective_kind(said.kind) not in _KINDS or not said.elements_in:
            continue
        kernels.sort(key=lambda node: (node.chip, node.queue))
        where = tuple((node.chip, node.queue) for node in kernels)
        key = said.kind, said.group, said.ranks, said.size, dtype, where
        found[key].append(_Call(tuple(kernels), meets.get(at), said.elements_in, DTYPE_BYTES[dtype]))
    return found


def _buckets(calls: Sequence[_Call], most_bytes: float, before: Mapping[int, Node]) -> tuple[list[list[_Call]], int]:
    """Collectives, in buckets; and how many of these end although the next one would have gone into them."""
    found: list[list[_Call]] = []
    early, held, looked = 0, 0.0, _Looked(before)
    for call in calls:
        fits = bool(found) and held + call.nbytes <= most_bytes
        if fits and looked.is_free(call, found[-1]):
            found[-1].append(call)
            held += call.nbytes
            continue
        early += fits
        found.append([call])
        held, looked = call.nbytes, _Looked(before)
    return found, early


class _Looked:
    """What the collectives of a bucket wait for, as far as it was looked at: no node is looked at twice."""

    def __init__(self, before: Mapping[int, Node]) -> None:
        self.before = before
        self.seen: set[int] = set()

    def is_free(self, call: _Call, bucket: Sequence[_Call]) -> bool:
        """Whether nothing that a collective waits for waits for one of the bucket, but for its place in a queue."""
        inside = {id(node) for each in (*bucket, call) for node in each.nodes}
        first_ps = min(node.end_ps for node in bucket[0].kernels)
        left = [each for node in call.front for each in self._awaited(node) if id(each) not in inside]
        while left:
            node = left.pop()
            if id(node) in self.seen or node.end_ps < first_ps:
                continue
            self.seen.add(id(node))
            if any(id(each) in inside for each in node.after):
                return False
            left += (each for each in self._awaited(node) if id(each) not in inside)
        return True

    def _awaited(self, node: Node) -> list[Node]:
        earlier = self.before.get(id(node))
        return [*node.after, earlier] if earlier is not None else node.after


@dataclass(frozen=True, slots=True)
class _Line:
    """How long collectives take by their bytes: `start_ps` and `ps_per_byte`; None where they do not tell."""

    start_ps: float
    ps_per_byte: float

    @classmethod
    def through(cls, calls: Sequence[_Call]) -> _Line | None:
        """The line that is nearest to all kernels, of no negative start."""
        points = [(call.nbytes, float(node.took.likely_ps)) for call in calls for node in call.kernels]
        count = len(points)
        x, y = (sum(each) / count for each in zip(*points, strict=True))
        apart = sum((nbytes - x) ** 2 for nbytes, _ in points)
        if not apart:
            return None
        slope = sum((nbytes - x) * (time - y) for nbytes, time in points) / apart
        if slope <= 0 or y < slope * x:
            return None
        return cls(y - slope * x, slope)


def _joined(bucket: Sequence[_Call], line: _Line | None) -> dict[int, Node]:
    """Make the last of a bucket the whole of it: the nodes that are gone by their identity, and what stands for each."""
    last = bucket[-1]
    gone: dict[int, Node] = {}
    for call in bucket[:-1]:
        gone |= {id(node): own for node, own in zip(call.nodes, last.nodes, strict=True)}
    inside = {*gone, *(id(node) for node in last.nodes)}
    for at, own in enumerate(last.front):
        every = [each for call in bucket for each in call.front[at].after if id(each) not in inside]
        own.after = list({id(each): each for each in every}.values())
    if gone:
        for at, kernel in enumerate(last.kernels):
            kernel.given = sum(call.elements for call in bucket)
            kernel.changed = _took([call.kernels[at].took for call in bucket], last.item_bytes * kernel.given, line)
    return gone


def _took(each: Sequence[Took], nbytes: float, line: _Line | None) -> Took:
    """What a joined collective takes: no less than the longest of its parts, no more than all of them."""
    least, most = max(part.least_ps for part in each), sum(part.most_ps for part in each)
    likely = sum(part.likely_ps for part in each)
    if line is not None:
        likely = round(line.start_ps + line.ps_per_byte * nbytes)
    return Took(least, min(max(likely, least), most), most)


def _redirect(run: Run, gone: Mapping[int, Node]) -> None:
    """Leave nodes out; what waited for one of them waits for what stands for it."""
    run.freed |= set(gone)
    run.nodes = [node for node in run.nodes if id(node) not in gone]
    for node in run.nodes:
        if any(id(each) in gone for each in node.after):
            after = (gone.get(id(each), each) for each in node.after)
            node.after = list({id(each): each for each in after if each is not node}.values())
