"""What the device of a run did, piece by piece, in the order in which it began: of a simulated run and of a measured one.

Model: see `scenarios.questions.measured`. Kernels are known by what their names say and the call that launched them says;
ops by their kinds. Of a trace that does not say when the host launched what, all gaps are the device's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import read_trace, temporal_breakdown, timeline_frame
from analysis.timelines import Piece
from analysis.traces import is_backward, kernel_family, named_family, op_family, short_name, words_in, work_does
from hw.input import is_file
from scenarios.importers import format_of
from scenarios.importers.kineto.events import WORK, DeviceWork, RankTrace, read_rank
from scenarios.importers.kineto.ranks import cut_to, launches_of
from scenarios.language.value_text import as_number
from simulator import KINDS, Result

if TYPE_CHECKING:
    import pandas as pd

_HOST = re.compile(r"host\d*")
"""The queues of hosts, as a run's dispatch and replays of traces call them."""

_SCENARIOS = (".yaml", ".yml")
KINETO = "kineto"
"""The format of traces of events."""

_PS_PER_S = 1e12
_NUMBERS = re.compile(r"(\.\d+)+$")
"""The rounds and microbatches of an op, behind its name."""

_CUSTOM, _FUSED = "custom", "fused"
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Measured:
    """A trace: its name, what its device did, the words about a run that it has, and what is odd about it."""

    name: str
    pieces: Sequence[Piece]
    words: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Measured({self.name}: {len(self.pieces)} pieces)"


@dataclass(slots=True)
class _Span:
    """A stretch of work of a device, in seconds; `issued`: when it had been issued."""

    begin: float
    end: float
    issued: float
    host_s: float = 0.0
    device_s: float = 0.0
    seconds: float = 0.0


def _tiled(spans: Sequence[_Span]) -> None:
    """Give every instant to one span or to a gap before one; spans are in the order of their begins."""
    reached = spans[0].begin if spans else 0.0
    for span in spans:
        gap = max(0.0, span.begin - reached)
        span.host_s = min(gap, max(0.0, span.issued - reached))
        span.device_s = gap - span.host_s
        span.seconds = max(0.0, span.end - max(span.begin, reached))
        reached = max(reached, span.end)


def is_trace(file: str) -> bool:
    """Whether a file that is there is a trace of a profiler, and no scenario, by how it begins."""
    path = Path(file)
    if path.suffix in _SCENARIOS or not is_file(path):
        return False
    found = format_of(path)
    if found is None:  # what is packed is no scenario, so that it is told what is wrong with it as a trace
        with path.open("rb") as begun:
            return begun.read(2) == b"\x1f\x8b"
    return found.name == KINETO


# Simulated


def simulated_pieces(result: Result, chip: int = 0) -> list[Piece]:
    """What a chip of a run does."""
    rows = timeline_frame(result, [chip]).sort_values(["begin", "task"], kind="stable")
    rows = rows[~rows["message"]]
    hosts = rows["queue"].astype(str).str.fullmatch(_HOST)
    issued = _ends_before(rows[hosts]["end"].tolist(), rows[~hosts]["begin"].tolist())
    work = rows[~hosts]
    kernels = {each.kernel.name: each.kernel for each in result.plan.kernels}
    ops = {op.name: op for op in result.plan.graph.every_op()}
    kinds = {name: op.kind for name, op in ops.items()}
    delays = {name: as_number(text) for name, op in ops.items() if (text := op.option("delay")) is not None}
    columns = zip(work["op"].astype(str), work["does"].astype(str), work["begin"], work["end"], issued, strict=True)
    made: list[tuple[str, str, tuple[str, ...], _Span]] = []
    for op, does, begin, end, at in columns:
        kernel = kernels[op]
        of_ops = tuple(kinds.get(name, kernel.kind) for name in kernel.base_ops)
        # what passes before a kernel itself begins is a gap, as it is in a trace
        begin = min(end, begin + delays.get(kernel.base, 0.0))
        made.append((kernel.base, does, of_ops, _Span(begin, end, at)))
    _tiled([span for *_, span in made])
    return [_piece_of(*each) for each in made if each[-1].end > each[-1].begin]


def _ends_before(ends: Sequence[float], begins: Sequence[float]) -> list[float]:
    """For each begin the last end of the host's work up to it: when it was issued, at the latest."""
    found: list[float] = []
    at, last = 0, float("-inf")
    for begin in begins:
        while at < len(ends) and ends[at] <= begin:
            last, at = ends[at], at + 1
        found.append(last)
    return found


def _piece_of(base: str, does: str, kinds: tuple[str, ...], span: _Span) -> Piece:
    """A piece of a simulated run. What a `custom` op does only its name says."""
    custom = set(kinds) == {_CUSTOM}
    family = named_family(base, does) if custom else op_family(kinds, does)
    names = (base,) if custom else kinds
    backward = is_backward(*names)
    return Piece(base, family, backward, words_in(*names), span.seconds, span.host_s, span.device_s)


# Measured


def _own(name: str, does: str, kind: str, span: _Span, known: Mapping[str, str]) -> Piece | None:
    """A piece of a trace that a run of Overlapse has written, whose slices say the kinds of their ops; those of a fused
    kernel's are `known` by the scenario. None of another's."""
    members = [_NUMBERS.sub("", each) for each in name.split("+")]
    kinds = (kind,) if kind in KINDS else tuple(known.get(each, "") for each in members if kind == _FUSED)
    if not kinds or not all(kinds):
        return None
    return replace(_piece_of("+".join(members), does, kinds, span), kernel=name)


def measured_pieces(path: Path, step: str | None = None, known: Mapping[str, str] = _NONE) -> Measured:
    """What the first device of a trace did; `known`: the kinds of ops by their names. Raises SpecError."""
    frame = read_trace(path)
    notes = [str(note) for note in frame.attrs.get("notes", [])]
    chips = sorted(frame["chip"].unique().tolist())
    words = _words(frame)
    if len(chips) > 1:
        notes.append(f"of {len(chips)} devices of the trace the first one is compared")
    if set(frame["kind"].astype(str)) & set(WORK):
        trace = cut_to(read_rank(path), step)
        device = min(work.device for work in trace.work)
        pieces = _of_work(trace, [each for each in trace.work if each.device == device])
        return Measured(path.name, pieces, _of_step(words, trace, step), tuple(notes))
    if step is not None:
        notes.append(f"--step {step}: this trace has no calls, so all of it is compared")
    notes.append("the trace does not say when the host launched what: all gaps count as the device's")
    rows = frame[(frame["chip"] == chips[0]) & ~frame["message"]]
    names, does, kinds = (rows[each].astype(str).tolist() for each in ("op", "does", "kind"))
    spans = [_Span(begin, end, float("-inf")) for begin, end in zip(rows["begin"], rows["end"], strict=True)]
    _tiled(spans)
    columns = zip(names, does, kinds, spans, strict=True)
    pieces = [
        _own(name, what, kind, span, known) or _measured(name, what, "", span) for name, what, kind, span in columns
    ]
    return Measured(path.name, pieces, words, tuple(notes))


def _words(frame: pd.DataFrame) -> dict[str, float]:
    """What the frame of a trace says in the words of a run."""
    parts = temporal_breakdown(frame)
    exposed = {f"exposed_{name}": float(parts[name].max()) for name in ("network", "memory")}
    return {"time": float(frame["end"].max()), **exposed}


def _of_step(words: Mapping[str, float], trace: RankTrace, step: str | None) -> dict[str, float]:
    """The time of a trace from its first launch on, as a run counts it; of a part of it nothing else is known."""
    begun = min(trace.work[0].begin_ps, *launches_of(trace))
    time_s = (max(work.end_ps for work in trace.work) - begun) / _PS_PER_S
    return {**({} if step else words), "time": time_s}


def _of_work(trace: RankTrace, work: Sequence[DeviceWork]) -> list[Piece]:
    """The pieces of a device's work: kernels that one call launched are one."""
    begun = work[0].begin_ps
    calls = {call.correlation: call.end_ps for call in trace.calls}
    spans = [
        _Span(*((at - begun) / _PS_PER_S for at in (each.begin_ps, each.end_ps, _issued_ps(each, calls))))
        for each in work
    ]
    _tiled(spans)
    return [_call_piece(trace, group) for group in _by_call(zip(work, spans, strict=True))]


def _issued_ps(work: DeviceWork, calls: Mapping[int, int]) -> int:
    """When the call that launched something returned; where that is not known, long before."""
    return min(calls.get(work.correlation, work.begin_ps), work.begin_ps) if work.correlation in calls else -(10**18)


_Work = tuple[DeviceWork, _Span]


def _by_call(work: Iterable[_Work]) -> Iterator[list[_Work]]:
    """Work in a row that one call launched."""
    group: list[_Work] = []
    for each in work:
        if group and (each[0].external < 0 or each[0].external != group[-1][0].external):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _call_piece(trace: RankTrace, group: Sequence[_Work]) -> Piece:
    """What one call made a device do, known by its longest kernel."""
    does = [work_does(work.name, work.category) for work, _ in group]
    longest = max(range(len(group)), key=lambda at: (does[at] == "arithmetic", group[at][1].end - group[at][1].begin))
    work = group[longest][0]
    call = trace.op_of(work)
    spans = [span for _, span in group]
    whole = _Span(spans[0].begin, spans[-1].end, 0.0)
    whole.seconds, whole.host_s, whole.device_s = (
        sum(getattr(span, name) for span in spans) for name in ("seconds", "host_s", "device_s")
    )
    return _measured(work.name, does[longest], call, whole, len(group))


def _measured(name: str, does: str, call: str, span: _Span, count: int = 1) -> Piece:
    names = (name, call) if call else (name,)
    kernel = short_name(name)
    return Piece(
        name=call or kernel,
        family=kernel_family(name, does, call),
        backward=is_backward(*names),
        words=words_in(*names),
        seconds=span.seconds,
        host_s=span.host_s,
        device_s=span.device_s,
        count=count,
        kernel=kernel,
    )
