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

from hw import Mark, Problem, SpecError
from scenarios.importers.groups import Groups, Layout, layout_of
from scenarios.importers.imported import DEFAULT_CHIP, Imported, ImportOptions
from scenarios.importers.kineto.events import CollectiveSaid, RankTrace, read_rank
from scenarios.importers.kineto.host import read_host
from scenarios.importers.kineto.meetings import is_collective, meet, meetings, shifts_ps
from scenarios.importers.kineto.nodes import LONG_PS, Doubts, Node, settle
from scenarios.importers.kineto.ranks import by_rank, cut_to, launches_of, shifted
from scenarios.importers.kineto.streams import by_stream, infer_waits, ordered, work_nodes
from scenarios.importers.kineto.writing import lines_of, model_of

_PS_PER_S = 1e12
_EVENTS = re.compile(rb'"traceEvents"|^\s*\[\s*\{[^}]*"ph"')
_CHIPS = (
    ("H100.*(PCIe)", "h100_pcie"), ("H100.*NVL", "h100_nvl"), ("H100", "h100_sxm"), ("H200", "h200"), ("GB200", "gb200"),
    ("B200", "b200"), ("A100.*PCIE", "a100_80gb_pcie"), ("A100.*80", "a100_80gb_sxm"), ("A100", "a100_40gb_sxm"),
    ("V100", "v100_sxm2_32gb"), ("L40S", "l40s"), ("L4$", "l4"), ("A10$", "a10"), ("T4", "t4"), ("P100", "p100"),
    ("MI300X", "mi300x"), ("MI250", "mi250x"),
)  # fmt: skip
"""Names that drivers give to chips of the catalogue."""


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
        self.groups: dict[int, Groups] = {}
        self.world = self.chips.size
        self.alone = False
        """Whether one rank stands for all, so that ops run on all chips alike."""

    def imported(self) -> Imported:
        """The scenario."""
        queued = [*self.work_all(), *self.hosts]
        queued += self._meetings()
        self._faster(queued)
        self._settle(queued)
        queued = queued if self.options.launches else self._unlaunched(queued)
        self.nodes = ordered(queued)
        layout = self._layout()
        several = self.chips.size > 1 and not self.alone
        lines = list(lines_of(self.nodes, several, lambda node: layout.over[self.groups[id(node)]]))
        return Imported(
            name=plain_title(next(iter(self.ranks.values())).path),
            about=f"A replay of a measured run: {_ranks(self.ranks)}, {len(self.work_all()):,} kernels and copies.",
            system=layout.system,
            ops=lines,
            measured_s=(self.end_ps - self.start_ps) / _PS_PER_S,
            notes=(*self.notes, *self._told()),
        )

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
                self.notes.append(f"rank {rank} is shifted by {by_ps / 1e6:,.3f} us, so that collectives end together")
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
        """What makes kernels of one collective wait for each other; modelled ones take the place of their kernels."""
        before = {
            id(node): earlier for queue in by_stream(self.work_all()).values() for earlier, node in pairwise(queue)
        }
        if self.options.collectives == "modelled":
            self._model_alone()
        made: list[Node] = []
        numbers: dict[tuple[str, tuple[int, ...]], int] = {}
        for key, members in meetings(self.work) if len(self.ranks) > 1 else []:
            number = numbers.setdefault(key[:2], len(numbers))
            node = meet(members, before, number)
            made.append(node)
        return made

    def _model_alone(self) -> None:
        """Collectives of one rank's trace as ops of its whole group, of which it stands for all others."""
        if len(self.ranks) > 1:
            problem = "collectives of several ranks are replayed as measured; model those of one rank's trace, for all"
            raise SpecError([Problem(Mark("--collectives"), problem)])
        left = 0
        for node in self.work_all():
            said = node.collective
            if said is None or not is_collective(node):
                continue
            node.modelled = model_of(said)
            if node.modelled is None:
                left += 1
                continue
            self.groups[id(node)] = (_group(said),)
            self.world = max(self.world, max(_group(said)) + 1)
        self.alone = bool(self.groups)
        if not self.alone:
            raise SpecError([Problem(Mark("--collectives"), "no kernel of the trace says what collective it is")])
        if left:
            self.notes.append(f"{left:,} collectives lack a type or a size, and are replayed as measured")

    def _faster(self, queued: Sequence[Node]) -> None:
        """Make kernels faster whose names have a pattern in them. Raises SpecError for a pattern that none has."""
        for pattern, factor in self.options.faster.items():
            hits = [node for node in queued if node.work and (pattern in node.title or pattern in node.work.name)]
            if not hits:
                raise SpecError([Problem(Mark("--faster"), f"no kernel has '{pattern}' in its name or its op's")])
            for node in hits:
                node.faster *= factor
            self.notes.append(f"{len(hits):,} kernels with '{pattern}' in their names are {factor:g} times as fast")

    def _settle(self, queued: Sequence[Node]) -> None:
        for queue in by_stream(sorted(queued, key=lambda node: (node.begin_ps, node.end_ps))).values():
            for before, node in zip([None, *queue], queue, strict=False):
                settle(node, before, self.start_ps, self.doubts)

    def _unlaunched(self, queued: Sequence[Node]) -> list[Node]:
        """What is left where no host issues anything: what devices waited for it alone is no pause either."""
        hosts = {id(node) for node in self.hosts}
        kept = [node for node in queued if id(node) not in hosts]
        for node in kept:
            node.after = [each for each in node.after if id(each) not in hosts]
        self.notes.append(f"{len(hosts):,} launches and waits of hosts are left out")
        return kept

    def _layout(self) -> Layout:
        named = next((trace.chip_name for trace in self.ranks.values() if trace.chip_name), "")
        chip = self.options.chip or next((ours for pattern, ours in _CHIPS if re.search(pattern, named)), None)
        if chip is None:
            self.notes.append(
                f"no chip is known as '{named}': {DEFAULT_CHIP} stands in; measured times do not depend on it"
            )
        return layout_of(self.groups.values(), self.world, chip or DEFAULT_CHIP)

    def _told(self) -> list[str]:
        """What a reader should know of the replay."""
        told: list[str] = []
        doubts = self.doubts
        for kind, number in doubts.false_waits.items():
            told.append(f"{number:,} false dependencies on {kind}, which ended later than what waits began: dropped")
        if doubts.side_by_side:
            told.append(
                f"{doubts.side_by_side:,} kernels began before the one ahead of them on their stream had ended "
                f"({doubts.side_by_side_ps / 1e6:,.1f} us in all): they count from its end"
            )
        if self.inferred:
            told.append(f"{self.inferred:,} waits between streams follow from times alone")
        if self.no_room:
            told.append(
                f"{self.no_room:,} kernels began as one of another stream ended: no room was on the chip before"
            )
        idle = [node.delay_ps for node in self.nodes if node.delay_ps > LONG_PS and node.modelled is None]
        if idle:
            told.append(
                f"nothing explains {len(idle):,} pauses, {sum(idle) / 1e6:,.1f} us in all: they stand as ops *_idle"
            )
        return told


def plain_title(path: Path) -> str:
    """What a scenario of a file is called."""
    return path.name.partition(".")[0] or "imported"


def _ranks(ranks: Mapping[int, RankTrace]) -> str:
    return "one rank" if len(ranks) == 1 else f"{len(ranks)} ranks"


def _group(said: CollectiveSaid) -> tuple[int, ...]:
    """The ranks of a group; the first ones, where it does not say which."""
    return said.ranks or tuple(range(said.size))
