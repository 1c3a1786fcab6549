"""Data loaders in a run: batches are prepared beside the ops, and ops wait for them.

Model: a loader's workers take batches in turn (worker i makes batches i, i + n, ...), each spends `every`, then what the
batch asks of chips and wires (`uses`, all at once, shared max-min fair with the ops), and hands it over; an op whose batch
is not there waits, and its queue with it. At most `prefetch` batches are made or being made beyond the one in use: batch i
is begun when the op of batch i - prefetch - 1 has ended. What is fed in a `repeat` block takes one batch a round.
A tensor without an op (an input) is fed by holding all ops that read it, one with an op by holding that op.
Assumes: batches are alike; a loader stops after the last one; handing over takes no time of its own.
Source: the workers' turns and two batches a worker are those of PyTorch's DataLoader (`prefetch_factor`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from analysis.runs import BesideWork
from hw import Dimension, Problems, SpecError, System
from hw.input import Document, Key, parse, show, unknown, validate
from scenarios.language.process_spec import LoaderSpec
from simulator import Op, OpGraph, Plan, Program, RunOptions, Simulation, SystemResources

if TYPE_CHECKING:
    from simpy.events import Event

BATCHES_PER_WORKER = 2
"""Batches that a worker may be ahead unless `prefetch` says otherwise."""

SHOWN_RESOURCES = 24
"""Resources that a message names beside the chip's own."""

_UNITS = ("matrix_unit", "vector_unit")
"""Resources whose amounts are times; those of all others are bytes."""


@dataclass(frozen=True, slots=True)
class Loader:
    """A data loader. `uses_of` has, for each chip that prepares, the amounts of a batch by full name of the resource."""

    name: str
    feeds: tuple[str, ...]
    every_s: float
    uses_of: tuple[Mapping[str, float], ...]
    workers_per_chip: int
    prefetch: int

    @property
    def workers(self) -> int:
        """How many prepare batches at once."""
        return self.workers_per_chip * len(self.uses_of)

    def uses(self, worker: int) -> Mapping[str, float]:
        """What a worker's batch asks: workers are dealt out to the chips in turn."""
        return self.uses_of[worker % len(self.uses_of)]

    def batches_of(self, worker: int, batches: int) -> int:
        """How many of all batches a worker makes."""
        return len(range(worker, batches, self.workers))


@dataclass(frozen=True, slots=True)
class Loaders:
    """The loaders of a scenario: they take part in every run of it."""

    loaders: tuple[Loader, ...] = ()

    def join(self, simulation: Simulation) -> None:
        """Put them into a simulation that has not begun."""
        for loader in self.loaders:
            _Feed(loader, simulation).start()

    @property
    def names(self) -> Sequence[str]:
        """What they are called."""
        return [each.name for each in self.loaders]

    def faster(self, name: str, factor: float) -> Loaders:
        """The same with one of them `factor` times as fast at what it does on its own; what it asks of others stays."""
        changed = (replace(each, every_s=each.every_s / factor) if each.name == name else each for each in self.loaders)
        return Loaders(tuple(changed))

    def lines(self, plan: Plan) -> Iterator[str]:
        """What each does in a run of a plan, for people."""
        for loader in self.loaders:
            batches = len(rounds(plan.graph, loader.feeds))
            workers = f", {loader.workers} at a time" if loader.workers > 1 else ""
            uses = "".join(f", {show(amount, _dimension(name))} of {name}" for name, amount in loader.uses(0).items())
            turns = f" (and of {len(loader.uses_of) - 1} more in turn)" if uses and len(loader.uses_of) > 1 else ""
            takes = f", {show(loader.every_s, Dimension.TIME)} each" if loader.every_s else ""
            yield f"{loader.name}: {batches} batches for {' and '.join(loader.feeds)}{takes}{workers}{uses}{turns}"

    def work(self, plan: Plan) -> BesideWork:
        """What all batches ask. A batch alone takes its time and then its slowest resource."""
        host_s, serial_s = 0.0, 0.0
        resource_s: dict[str, float] = {}
        per_s = {resource.name: resource.per_s for resource in plan.program.resources} if self.loaders else {}
        for loader in self.loaders:
            batches = len(rounds(plan.graph, loader.feeds))
            host_s = max(host_s, loader.batches_of(0, batches) * loader.every_s)
            for worker in range(loader.workers):
                count = loader.batches_of(worker, batches)
                takes = {name: amount / per_s[name] for name, amount in loader.uses(worker).items()}
                serial_s += count * (loader.every_s + max(takes.values(), default=0.0))
                for name, seconds in takes.items():
                    resource_s[name] = resource_s.get(name, 0.0) + count * seconds
        return BesideWork(host_s, serial_s, resource_s)


class _Feed:
    """One loader in one simulation: which ops wait for each batch, and the processes that make the batches."""

    def __init__(self, loader: Loader, simulation: Simulation) -> None:
        self.loader, self.simulation = loader, simulation
        self.rounds = rounds(simulation.plan.graph, loader.feeds)

    def start(self) -> None:
        """Hold all ops that are fed, and set the workers to work."""
        self.deliver = [[self.simulation.hold(op) for op in ops] for ops in self.rounds]
        self.used: list[Event | None] = [None] * len(self.rounds)
        for worker in range(min(self.loader.workers, len(self.rounds))):
            self.simulation.process(self._work(worker))

    def _work(self, worker: int) -> Generator[Event, Any, None]:
        loader, simulation = self.loader, self.simulation
        for batch in range(worker, len(self.rounds), loader.workers):
            before = batch - loader.prefetch - 1
            if before >= 0:
                yield self._ended(before)
            if loader.every_s:
                yield simulation.timeout(loader.every_s)
            if loader.uses(worker):
                yield simulation.use(loader.uses(worker))
            for hand_over in self.deliver[batch]:
                hand_over()

    def _ended(self, batch: int) -> Event:
        ops = self.rounds[batch]
        events = [self.simulation.ended(op) for op in ops]
        return events[0] if len(events) == 1 else self.simulation.env.all_of(events)


def rounds(graph: OpGraph, feeds: Sequence[str]) -> list[list[str]]:
    """For each batch the ops that wait for it, in program order. Raises ValueError for what is no op and no input, or
    where several that are fed together do not have equally many rounds."""
    ops = graph.flat()
    found = {name: _rounds_of(name, ops) for name in feeds}
    for name, its in found.items():
        if not its:
            known = {tensor.base for op in ops for tensor in (op.output, *op.inputs)}
            raise ValueError(unknown("op or input", name, known))
    if len({len(its) for its in found.values()}) > 1:
        counts = ", ".join(f"{name} {len(its)}" for name, its in found.items())
        raise ValueError(f"what is fed together must have equally many rounds, not {counts}")
    return [[op for ops in together for op in ops] for together in zip(*found.values(), strict=True)]


def _rounds_of(name: str, ops: Sequence[Op]) -> list[list[str]]:
    made = [[op.name] for op in ops if name in (op.name, op.output.base)]
    if made:
        return made
    readers: dict[str, list[str]] = {}
    for op in ops:
        for tensor in op.inputs:
            if name in (tensor.name, tensor.base) and op.name not in readers.setdefault(tensor.name, []):
                readers[tensor.name].append(op.name)
    return list(readers.values())


def read_loaders(
    document: Document, graph: OpGraph | None, unread: Collection[str], system: System | None, problems: Problems
) -> Loaders:
    """The loaders under `processes`; what is wrong goes to `problems` with its place. Where the system itself is wrong
    (None), nothing can be said about its chips and resources; nor about ops that cannot be read (`unread`)."""
    entries = document.data.get("processes")
    if entries is None:
        return Loaders()
    if not isinstance(entries, dict):
        problems.add(
            document.value_mark(("processes",)), "processes wants data loaders by name: {loader: {feeds: ...}}"
        )
        return Loaders()
    known = dict.fromkeys(_resources(system)) if system is not None else {}
    found = []
    for name in entries:
        key: Key = ("processes", name)
        before = len(problems.found)
        spec = validate(LoaderSpec, document, problems, key)
        if spec is None:
            continue
        _check_feeds(spec, graph, unread, document, key, problems)
        if system is None:
            continue
        loader = _loader(spec, _chips(spec, system, document, key, problems), known, document, key, problems)
        if len(problems.found) == before:
            found.append(loader)
    return Loaders(tuple(found))


def _resources(system: System) -> list[str]:
    """The names of all resources: those of the chips, then the wires."""
    program = Program()
    resources = SystemResources(system, RunOptions(), program)
    resources.add_chips(range(system.size))
    wires = system.topology.wires if system.topology else ()
    resources.add_wires(dict(enumerate(wires)), [wire.bytes_per_s for wire in wires])
    return [each.name for each in program.resources]


def _dimension(resource: str) -> Dimension:
    """What amounts of a resource are."""
    return Dimension.TIME if resource.rpartition(".")[2] in _UNITS else Dimension.DATA


def _check_feeds(
    spec: LoaderSpec, graph: OpGraph | None, unread: Collection[str], document: Document, key: Key, problems: Problems
) -> None:
    if graph is None:
        return
    names = [spec.feeds] if isinstance(spec.feeds, str) else spec.feeds
    try:
        rounds(graph, [name for name in names if name not in unread])
    except SpecError:
        return  # rounds that cannot be, which has been told
    except ValueError as error:
        problems.add(document.value_mark((*key, "feeds")), str(error))


def _chips(spec: LoaderSpec, system: System, document: Document, key: Key, problems: Problems) -> list[int]:
    chips = [spec.on] if isinstance(spec.on, int) else spec.on
    for chip in chips:
        if not 0 <= chip < system.size:
            message = f"there is no chip {chip}: chips are numbered from 0 to {system.size - 1}"
            problems.add(document.value_mark((*key, "on")), message)
    return [chip for chip in chips if 0 <= chip < system.size]


def _loader(
    spec: LoaderSpec, chips: Sequence[int], known: Collection[str], document: Document, key: Key, problems: Problems
) -> Loader:
    uses_of: list[dict[str, float]] = [{} for _ in chips]
    for name, written in spec.uses.items():
        for chip, uses in zip(chips, uses_of, strict=True):
            full = name if name in known else f"chip{chip}.{name}"
            if full not in known:
                mine = [each.partition(".")[2] for each in known if each.startswith(f"chip{chip}.")]
                named = [*mine, *itertools.islice(known, SHOWN_RESOURCES)]
                problems.add(document.key_mark((*key, "uses", name)), unknown("resource", name, named))
                break
            try:
                uses[full] = _amount(written, _dimension(full))
            except ValueError as error:
                problems.add(document.value_mark((*key, "uses", name)), str(error).replace("{key}", f"uses.{name}"))
                break
    if spec.every <= 0 and not spec.uses:
        problems.add(document.value_mark(key), f"{key[-1]} takes no time: it wants `every` or `uses`")
    workers = spec.workers * max(1, len(chips))
    prefetch = BATCHES_PER_WORKER * workers if spec.prefetch is None else spec.prefetch
    feeds = (spec.feeds,) if isinstance(spec.feeds, str) else tuple(spec.feeds)
    return Loader(str(key[-1]), feeds, spec.every, tuple(uses_of), spec.workers, prefetch)


def _amount(written: object, dimension: Dimension) -> float:
    amount = parse(written, dimension)
    if amount <= 0 or math.isinf(amount):
        raise ValueError(f"{written!r} will not do: {{key}} must be more than 0")
    return amount
