"""A measured run of PyTorch as a scenario that takes the same time, in which one thing can be changed.

Model: what was measured of every kernel, in an order given by streams, launches, events and collectives (see the other files
of this folder). Nothing is estimated but what `ImportOptions` asks for. Kernels of one stream that ran side by side
(programmatic dependent launch) count from when the one before had ended. Times count from the first launch or kernel.
Law: run as it is, the scenario takes as long as the run that was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

from hw import Dimension, Mark, Problem, SpecError
from hw.input import show
from scenarios.importers.driver_names import chip_of_driver
from scenarios.importers.groups import known_chip, layout_of
from scenarios.importers.imported import DEFAULT_CHIP, Imported, ImportOptions
from scenarios.importers.kineto.bounds import between_ps
from scenarios.importers.kineto.buckets import join
from scenarios.importers.kineto.changes import Run, leave_out, make_faster, overlap
from scenarios.importers.kineto.events import RankTrace, read_rank
from scenarios.importers.kineto.host import read_host
from scenarios.importers.kineto.meetings import meet, meetings, shifts_ps
from scenarios.importers.kineto.modelling import OnLinks, model
from scenarios.importers.kineto.nodes import LONG_PS, Doubts, Node, settle
from scenarios.importers.kineto.onto import move
from scenarios.importers.kineto.ranks import by_rank, cut_to, launches_of, shifted
from scenarios.importers.kineto.streams import by_stream, in_order, infer_waits, ordered, work_nodes
from scenarios.importers.kineto.writing import lines_of

_PS_PER_S = 1e12
_EVENTS = re.compile(rb'"traceEvents"|^\s*\[\s*\{[^}]*"ph"')


class Replay:
    """Kineto's traces, of one rank or of several."""

    name = "kineto"
    about = "a trace of PyTorch's profiler (JSON), replayed"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file begins as a trace of events."""
        return bool(_EVENTS.search(head))

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The replay of all ranks together. Raises SpecError."""
        ranks = by_rank([cut_to(read_rank(path), options.step) for path in paths])
        return replayed(ranks, options)


def replayed(ranks: Mapping[int, RankTrace], options: ImportOptions) -> Imported:
    """The replay of ranks. Raises SpecError."""
    options.check_dims(())
    return _Replayed(ranks, options).imported()


@dataclass
class _Chips:
    """The chip of every device of every rank, and how many there are."""

    of: dict[int, dict[int, int]]
    size: int


def _chips(ranks: Mapping[int, RankTrace]) -> _Chips:
    numbers = count()
    of = {rank: {each: next(numbers) for each in sorted({w.device for w in t.work})} for rank, t in ranks.items()}
    return _Chips(of, next(numbers))


class _Replayed:
    """A replay in the making."""

    def __init__(self, ranks: Mapping[int, RankTrace], options: ImportOptions) -> None:
        self.ranks, self.options = ranks, options
        self.notes = [note for trace in ranks.values() for note in trace.notes]
        self.doubts = Doubts()
        self.chips = _chips(ranks)
        self._align()
        self.start_ps = min(min(trace.work[0].begin_ps, *launches_of(trace)) for trace in ranks.values())
        self.end_ps = max(work.end_ps for trace in ranks.values() for work in trace.work)
        self.inferred = self.no_room = 0
        self.work = self._work()
        self.nodes: list[Node] = []
        self.links = OnLinks(self.chips.size)

    def imported(self) -> Imported:
        """The scenario."""
        queued = [*self.work_all(), *self.hosts]
        queued += self._meetings()
        self._settle(queued)
        chip = self._chip()
        run = Run(queued)
        self._change(run, chip)
        self.nodes = ordered(run.nodes)
        between = between_ps(run, self.nodes, self.start_ps) if run.notes and not self.links.groups else None
        alike = self.links.alone or not self.links.groups
        layout = layout_of(self.links.groups.values(), self.links.world, self.options.onto or chip, alike)
        several = self.chips.size > 1 and not self.links.alone
        lines = list(lines_of(self.nodes, several, lambda node: layout.over[self.links.groups[id(node)]]))
        return Imported(
            name=plain_title(next(iter(self.ranks.values())).path),
            about=f"A replay of a measured run: {_ranks(self.ranks)}, {len(self.work_all()):,} kernels and copies.",
            system=layout.system,
            ops=lines,
            measured_s=(self.end_ps - self.start_ps) / _PS_PER_S,
            between_s=(between[0] / _PS_PER_S, between[1] / _PS_PER_S) if between else None,
            notes=(*self.notes, *run.notes, *self._told()),
        )

    def _change(self, run: Run, chip: str) -> None:
        """What is asked to be other than it was measured. Raises SpecError."""
        options = self.options
        if options.onto is not None:
            move(run, known_chip(chip), known_chip(options.onto, "--onto"))
        for pattern, factor in options.faster.items():
            make_faster(run, pattern, factor)
        if options.buckets is not None:
            join(run, options.buckets)
        for pattern in options.overlap:
            overlap(run, pattern)
        if options.collectives == "modelled":
            model(run, self.links, len(self.ranks) > 1)
        if not options.launches:
            leave_out(run, self.hosts)

    def work_all(self) -> list[Node]:
        """The nodes of all ranks' devices."""
        return [node for nodes in self.work.values() for node in nodes]

    def _align(self) -> None:
        """Lay the clocks of ranks side by side."""
        if len(self.ranks) < 2:
            return
        for rank, by_ps in shifts_ps(self.ranks).items():
            trace = self.ranks[rank]
            if by_ps:
                self.notes.append(
                    f"rank {rank} is shifted by {show(by_ps / 1e12, Dimension.TIME)}, so that collectives end together"
                )
            for work in trace.work:
                work.begin_ps += by_ps
                work.end_ps += by_ps
            trace.calls = [shifted(call, by_ps) for call in trace.calls]

    def _work(self) -> dict[int, list[Node]]:
        """The nodes of devices by rank, with what launches and events imply; the hosts' nodes beside them."""
        self.hosts: list[Node] = []
        found: dict[int, list[Node]] = {}
        for rank, trace in self.ranks.items():
            nodes = work_nodes(trace, self.chips.of[rank])
            of_work = {id(node.work): node for node in nodes}
            host = read_host(trace, next(iter(self.chips.of[rank].values())), self.start_ps, of_work)
            self.hosts += host.nodes
            inferred, no_room = infer_waits(nodes, host.flagged)
            self.inferred += inferred
            self.no_room += no_room
            found[rank] = nodes
        return found

    def _meetings(self) -> list[Node]:
        """What makes kernels of one collective wait for each other."""
        before = {
            id(node): earlier for queue in by_stream(self.work_all()).values() for earlier, node in pairwise(queue)
        }
        made: list[Node] = []
        numbers: dict[tuple[str, tuple[int, ...]], int] = {}
        for key, members in meetings(self.work) if len(self.ranks) > 1 else []:
            number = numbers.setdefault(key[:2], len(numbers))
            node = meet(members, before, number)
            made.append(node)
        return made

    def _settle(self, queued: Sequence[Node]) -> None:
        for queue in by_stream(in_order(queued)).values():
            for before, node in zip([None, *queue], queue, strict=False):
                settle(node, before, self.start_ps, self.doubts)

    def _chip(self) -> str:
        """The chip that was measured, as the catalogue calls it."""
        named = next((trace.chip_name for trace in self.ranks.values() if trace.chip_name), "")
        chip = self.options.chip or chip_of_driver(named)
        if chip is None and self.options.onto is not None:
            problem = f"no chip is known as '{named}': say with --chip on which one this was measured"
            raise SpecError([Problem(Mark("--onto"), problem)])
        if chip is None:
            self.notes.append(
                f"no chip is known as '{named}': {DEFAULT_CHIP} stands in; measured times do not depend on it"
            )
        return chip or DEFAULT_CHIP

    def _told(self) -> list[str]:
        """What a reader should know of the replay."""
        told: list[str] = []
        doubts = self.doubts
        for kind, number in doubts.false_waits.items():
            told.append(f"{number:,} false dependencies on {kind}, which ended later than what waits began: dropped")
        if doubts.side_by_side:
            told.append(
                f"{doubts.side_by_side:,} kernels began before the one ahead of them on their stream had ended "
                f"({show(doubts.side_by_side_ps / 1e12, Dimension.TIME)} in all): they count from its end"
            )
        if self.inferred:
            told.append(f"{self.inferred:,} waits between streams follow from times alone")
        if self.no_room:
            told.append(
                f"{self.no_room:,} kernels began as one of another stream ended: no room was on the chip before"
            )
        idle = [node.delay_ps for node in self.nodes if node.delay_ps > LONG_PS and node.modelled is None]
        if idle:
            long = show(sum(idle) / 1e12, Dimension.TIME)
            told.append(f"nothing explains {len(idle):,} pauses, {long} in all: they stand as ops *_idle")
        return told


def plain_title(path: Path) -> str:
    """What a scenario of a file is called."""
    return path.name.partition(".")[0] or "imported"


def _ranks(ranks: Mapping[int, RankTrace]) -> str:
    return "one rank" if len(ranks) == 1 else f"{len(ranks)} ranks"
