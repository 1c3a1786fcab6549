"""Which communication is hidden behind arithmetic, op by op, rounds of a block together.

Definition. On one chip the time of an op's transfers is hidden while matrix or vector work runs there, else exposed. Ops
that are exposed at the same instant count it each. Told of the chip that is exposed longest in all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.words.causes import COMPUTE, NETWORK, what_it_does
from analysis.words.intervals import Interval, difference, length, union
from simulator import PS_PER_S, Result

Spans = dict[str, list[Interval]]
"""When the tasks of ops run, by what the ops are called."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Communication of one name: its kind, the mesh axes it goes over, and seconds in which it runs and is exposed."""

    op: str
    kind: str
    axes: str
    time_s: float
    exposed_s: float

    @property
    def share(self) -> float:
        """The share of its time that is hidden."""
        return 1.0 - self.exposed_s / self.time_s if self.time_s else 1.0


def hidden_communication(result: Result) -> list[Hidden]:
    """Each communication of the run, the longest exposed first, then the longest."""
    plan = result.plan
    computing, sending = _spans(result)
    work = {chip: union(spans) for chip, spans in computing.items()}
    exposed = {chip: difference(union(_all(spans)), work.get(chip, [])) for chip, spans in sending.items()}
    if not exposed:
        return []
    chip = max(sorted(exposed), key=lambda each: length(exposed[each]))
    based = zip(plan.kernels.bases(), plan.kernels.every_sort(), strict=True)
    facts = {name: sort for name, sort in based if sort.kernel.communication is not None}
    found = []
    for name, spans in sending[chip].items():
        runs = union(spans)
        communication = facts[name].kernel.communication
        assert communication is not None
        bare = length(difference(runs, work.get(chip, [])))
        facts_of = (communication.kind, communication.axes)
        found.append(Hidden(name, *facts_of, length(runs) / PS_PER_S, bare / PS_PER_S))
    return sorted(found, key=lambda each: (-each.exposed_s, -each.time_s, each.op))


def _spans(result: Result) -> tuple[dict[int, list[Interval]], dict[int, Spans]]:
    """When each simulated chip computes, and when it communicates."""
    computing: dict[int, list[Interval]] = {}
    sending: dict[int, Spans] = {}
    plan, program = result.plan, result.plan.program
    does = [what_it_does(sort) for sort in plan.kernels.sorts]
    names = list(plan.kernels.bases())
    for task in program.outer():
        at = program.kernel[task]
        doing = does[plan.kernels.code[at]]
        span = (result.begin_ps[task], result.end_ps[task])
        if doing == COMPUTE.does:
            for chip in program.chips_of(task):
                computing.setdefault(chip, []).append(span)
        elif doing == NETWORK.does:
            for chip in program.chips_of(task):
                sending.setdefault(chip, {}).setdefault(names[at], []).append(span)
    return computing, sending


def _all(spans: Mapping[str, Sequence[Interval]]) -> list[Interval]:
    return [span for each in spans.values() for span in each]
