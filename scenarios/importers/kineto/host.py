"""The host of a rank, as its calls show it: how long it worked before each launch, and where it waited for devices.

Model: a thread's work between two launches is one node of its queue; it ends when the launch returns, or when what was
launched began, whichever was first. Work that goes on in another thread (autograd's, say) waits for what the host did last
before. Calls that wait (a synchronisation, a copy from or to memory that is not pinned) end with what they waited for.
A wait between streams is what the profiler recorded (`cuda_sync`); else a thread that says a stream is to wait means, with
what it launches next on another stream, what it had launched when it last recorded an event.
Assumes: what a host does between calls takes the time that it took; the ops of PyTorch that it did meanwhile are not told
apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scenarios.importers.kineto.events import DeviceWork, HostCall, RankTrace
from scenarios.importers.kineto.nodes import TOLERANCE_PS, Node

_WAITS = frozenset(
    f"{library}{name}"
    for library in ("cuda", "hip")
    for name in ("DeviceSynchronize", "StreamSynchronize", "EventSynchronize", "Memcpy", "CtxSynchronize")
) | {"cuCtxSynchronize", "cuStreamSynchronize", "cuEventSynchronize"}
LAUNCH = "launch"
_RECORDS = ("EventRecord",)
_STREAM_WAITS = ("StreamWaitEvent",)


@dataclass(slots=True)
class Host:
    """What the host of one rank did. `nodes` in order of time; `flagged`: work before whose launch some stream was told to
    wait."""

    nodes: list[Node] = field(default_factory=list)
    flagged: set[int] = field(default_factory=set)


def read_host(rank: RankTrace, chip: int, start_ps: int, of_work: Mapping[int, Node]) -> Host:
    """The host's nodes; the nodes of devices (`of_work`, by the identity of their work) are told what they wait for."""
    return _Reader(rank, chip, start_ps, of_work).read()


class _Reader:
    def __init__(self, rank: RankTrace, chip: int, start_ps: int, of_work: Mapping[int, Node]) -> None:
        self.rank, self.chip, self.start_ps, self.of_work = rank, chip, start_ps, of_work
        self.host = Host()
        self.by_correlation: dict[int, list[DeviceWork]] = defaultdict(list)
        for work in rank.work:
            if work.correlation >= 0:
                self.by_correlation[work.correlation].append(work)
        self.last: Node | None = None
        self.last_of: dict[str, Node] = {}
        self.on_stream: dict[tuple[int, str], DeviceWork] = {}
        self.launched: dict[str, DeviceWork] = {}
        self.recorded: dict[str, DeviceWork] = {}
        self.waiting: dict[str, list[DeviceWork]] = defaultdict(list)
        self.told: set[str] = set()
        self.queues: dict[str, str] = {}
        self.exact = {wait.correlation: wait for wait in rank.waits}
        self.at_record: dict[int, dict[tuple[int, str], DeviceWork]] = {}
        self.records_asked = {wait.recorded for wait in rank.waits}
        self.for_stream: dict[tuple[int, str], list[DeviceWork]] = defaultdict(list)

    def read(self) -> Host:
        for point, call in sorted(self._points(), key=lambda pair: (pair[0], pair[1].begin_ps)):
            launched = self.by_correlation.get(call.correlation)
            if launched:
                self._launch(call, point, launched)
            elif call.name in _WAITS:
                self._wait(
                    call, [work for work in self.on_stream.values() if work.end_ps <= call.end_ps + TOLERANCE_PS]
                )
            elif any(word in call.name for word in _RECORDS):
                self._record(call)
            elif any(word in call.name for word in _STREAM_WAITS):
                self._stream_wait(call)
        while self.host.nodes and self.host.nodes[-1].title != LAUNCH:
            self.host.nodes.pop()  # what the host waits for behind the last launch, nothing on a device waits for
        return self.host

    def _points(self) -> Iterator[tuple[int, HostCall]]:
        """Calls that matter, and when each had done what it is for."""
        for call in self.rank.calls:
            launched = self.by_correlation.get(call.correlation)
            if launched:
                first = min(work.begin_ps for work in launched)
                yield max(call.begin_ps, min(call.end_ps, first)), call
            elif call.name in _WAITS:
                yield call.end_ps, call
            else:
                yield call.begin_ps, call

    def _queue(self, thread: str) -> str:
        if thread not in self.queues:
            self.queues[thread] = "host" if not self.queues else f"host{len(self.queues) + 1}"
        return self.queues[thread]

    def _node(self, title: str, call: HostCall, end_ps: int, after: list[Node]) -> Node:
        """The host's work up to an instant, after what its thread did last, and what any thread did last."""
        own = self.last_of.get(call.thread)
        if not after and self.last is not None and self.last is not own and self.last.end_ps <= end_ps:
            after = [self.last]
        ends = [self.start_ps, *([own.end_ps] if own else []), *(each.end_ps for each in after)]
        begin = min(max(ends), end_ps)
        node = Node(title, self.chip, self._queue(call.thread), begin, end_ps, after, host=True)
        self.host.nodes.append(node)
        self.last_of[call.thread] = node
        if self.last is None or node.end_ps >= self.last.end_ps:
            self.last = node
        return node

    def _launch(self, call: HostCall, point: int, launched: list[DeviceWork]) -> None:
        node = self._node(LAUNCH, call, point, [])
        streams: set[tuple[int, str]] = set()
        for work in launched:
            stream = work.device, work.stream
            if stream not in streams:
                streams.add(stream)
                target = self.of_work[id(work)]
                target.after.append(node)
                target.after += [self.of_work[id(each)] for each in self._waited_for(call.thread, stream)]
                if call.thread in self.told or work.in_graph:
                    self.host.flagged.add(id(work))
            elif work.in_graph:
                self.host.flagged.add(id(work))
            self.on_stream[stream] = work
            self.launched[call.thread] = work
        self.told.discard(call.thread)
        last = max(launched, key=lambda work: work.end_ps)
        if _blocks(call, last):
            self._wait(call, [last])

    def _waited_for(self, thread: str, stream: tuple[int, str]) -> list[DeviceWork]:
        """What the next work on a stream waits for beside its own stream."""
        found = self.for_stream.pop(stream, [])
        held = self.waiting[thread]
        found += [each for each in held if (each.device, each.stream) != stream]
        self.waiting[thread] = [each for each in held if (each.device, each.stream) == stream]
        return list({id(each): each for each in found}.values())

    def _wait(self, call: HostCall, awaited: list[DeviceWork]) -> None:
        """The host waits for work; up to then it did something else."""
        if not awaited:
            return
        own = self.last_of.get(call.thread)
        if call.begin_ps > max(self.start_ps, own.end_ps if own else 0):
            self._node("before_wait", call, call.begin_ps, [])
        self._node("wait", call, call.end_ps, [self.of_work[id(work)] for work in awaited])

    def _record(self, call: HostCall) -> None:
        if call.correlation in self.records_asked:
            self.at_record[call.correlation] = dict(self.on_stream)
        if call.thread in self.launched:
            self.recorded[call.thread] = self.launched[call.thread]

    def _stream_wait(self, call: HostCall) -> None:
        self.told.add(call.thread)
        said = self.exact.get(call.correlation)
        if said is not None:
            stream = said.device, said.stream
            awaited = self.at_record.get(said.recorded, {}).get((said.device, said.waited))
            if awaited is not None and said.waited != said.stream:
                self.for_stream[stream].append(awaited)
        elif not self.exact and call.thread in self.recorded:
            self.waiting[call.thread].append(self.recorded[call.thread])


def _blocks(call: HostCall, work: DeviceWork) -> bool:
    """Whether a call returned only when its copy was done."""
    return work.category == "gpu_memcpy" and "DtoD" not in work.name and call.end_ps >= work.end_ps
