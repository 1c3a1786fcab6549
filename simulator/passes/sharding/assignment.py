"""How one op is carried out whose annotations it cannot meet by itself: the assignment of mesh axes, and what is inserted.

Each input is brought from its declared layout to the one that the assignment (`simulator.passes.sharding.loops`) wants,
and the output from the one that the op makes to its declared one (`simulator.passes.sharding.moves`).
Canonical: the textbook's assignment (`simulator.passes.sharding.textbook`); an all_to_all only where a single input, or
an output, moves its axis: inputs of a matmul are gathered. Where that cannot be done (a dim does not divide): the assignment
with the fewest inserted ops, and among those the nearest to the textbook's.
Auto: the least cost of the op and of all that is inserted, over all assignments and all ways of resharding; among equals
the fewest inserted ops, then the one nearest to the textbook's. An input that is already there in the needed layout is free.
Costs that differ by float noise are equal (`TIE`): neither names nor the order of a sum decide anything.
Assumes: ops run one after the other, so their costs add up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace

from simulator.graph.items import Op, Tensor
from simulator.ops.registry import KINDS, Kind
from simulator.passes.sharding.loops import Annotated, Assignment, Site, To
from simulator.passes.sharding.moves import Step, Steps, Style, place_of, sequences
from simulator.passes.sharding.rules import Layout, layout, sharding_findings
from simulator.passes.sharding.textbook import textbook

MAX_ASSIGNMENTS = 1024
"""Assignments tried for one op; beyond that some axes, those with nothing to mend first, stay where the textbook has
them."""

TIE = 1e-9
"""Relative difference up to which two costs are equal: far above float noise, far below what anyone would pay for."""

_INHERITED = ("chunks", "priority", "on")


@dataclass(frozen=True, slots=True)
class OpPlan:
    """How an op is carried out: the op on its local types, and the steps of each input before and of the output after."""

    local: Op
    before: tuple[Steps, ...]
    after: Steps

    @property
    def inserted(self) -> int:
        """How many ops are inserted."""
        return sum(map(len, self.before)) + len(self.after)


def inserted_op(step: Step, source: Tensor, name: str, served: Op, first: bool = False) -> Op:
    """The op of a step; it is issued as the op that it serves: in as many chunks, with its priority, on its chips. The
    first op of all for an input waits (`after=`) for what the served op waits for. A view is not issued at all."""
    inherited = () if KINDS[step.kind].view else (*_INHERITED, "after") if first else _INHERITED
    options = tuple((key, raw) for key, raw in served.options if key in inherited)
    return Op(
        replace(step.made, name=name, written=""), step.kind, (source,), (("over", step.over), *options), served.source
    )


def plan_seconds(op: Op, plan: OpPlan, have: Collection[tuple[str, Layout]], cost: Callable[[Op], float]) -> float:
    """What a plan costs: the op itself and all that is inserted for it, each alone; what is already there is free."""
    there, seconds = set(have), cost(plan.local)

    def step_s(step: Step, source: Tensor) -> float:
        return cost(inserted_op(step, source, step.made.name, op))

    for declared, steps in zip(op.inputs, plan.before, strict=True):
        seconds += _steps_seconds(declared, steps, step_s, there)
        there |= {(declared.name, layout(step.made)) for step in steps}
    return seconds + _steps_seconds(plan.local.output, plan.after, step_s)


def steps_done(name: str, steps: Steps, have: Collection[tuple[str, Layout]]) -> int:
    """How many of a tensor's steps need not be taken, since what they lead to is there."""
    return max((at for at, step in enumerate(steps, start=1) if (name, layout(step.made)) in have), default=0)


def _steps_seconds(
    source: Tensor,
    steps: Steps,
    step_s: Callable[[Step, Tensor], float],
    have: Collection[tuple[str, Layout]] = (),
    below: float = math.inf,
) -> float:
    """What the steps of a tensor cost, but for those that lead to what is there; some of it where that is over `below`."""
    seconds, done = 0.0, steps_done(source.name, steps, have)
    source = steps[done - 1].made if done else source
    for step in steps[done:]:
        if seconds > below:
            break  # the rest of a dear way need not be priced
        seconds += step_s(step, source)
        source = step.made
    return seconds


def told(op: Op, plan: OpPlan) -> tuple[str, ...]:
    """What a plan inserts, in words; views are not mentioned."""
    chains = [*zip((tensor.name for tensor in op.inputs), plan.before, strict=True), (op.name, plan.after)]
    steps = ((name, step) for name, chain in chains for step in chain if not KINDS[step.kind].view)
    return tuple(dict.fromkeys(f"{step.kind} of {name} over {step.over}" for name, step in steps))


def plan_op(op: Op, kind: Kind, site: Site, have: Collection[tuple[str, Layout]] = ()) -> OpPlan | None:
    """The plan of an op that cannot be carried out as it is annotated; None if nothing can mend it.

    `have`: tensors that are already there in another layout than their own.
    """
    annotated = Annotated(op, kind, site)
    search = _Search(annotated, have)
    if kind.as_written:
        return search.as_written()
    first = textbook(annotated)
    if site.cost is None:
        found = search.carried_out(first)
        if found is not None:
            return found[1]
    plans: list[tuple[float, OpPlan, int]] = []
    least = math.inf
    for assigned in _assignments(annotated, first):
        found = search.carried_out(assigned, least * (1 + TIE))
        if found is not None:
            plans.append((*found, sum(assigned[axis] != first[axis] for axis in annotated.axes)))
            least = min(least, found[0])
    equals = [(plan.inserted, other, plan) for seconds, plan, other in plans if seconds <= least * (1 + TIE)]
    return min(equals, key=lambda each: each[:2])[2] if equals else None


def _assignments(op: Annotated, first: Assignment) -> Iterator[dict[str, To]]:
    """Every assignment of the axes, as long as there are not too many; the textbook's first."""
    local = op.local(first)
    pairs = list(zip(op.tensors, (*local.inputs, local.output), strict=True))

    def settled(axis: str) -> bool:
        return all(place_of(axis, declared) == place_of(axis, needed) for declared, needed in pairs)

    choices: dict[str, list[To]] = {}
    count = 1
    for axis in sorted(op.axes, key=settled):
        options = op.options(axis)
        count *= len(options)
        choices[axis] = options if count <= MAX_ASSIGNMENTS else [first[axis]]
    yield dict(first)  # a good one early: what is dearer is soon given up
    for chosen in itertools.product(*choices.values()):
        yield dict(zip(choices, chosen, strict=True))


def _added_up(tensor: Tensor, kept: str) -> Tensor:
    """The tensor without partial sums over other axes than those."""
    return replace(tensor, partial="".join(axis for axis in tensor.partial if axis in kept))


@dataclass
class _Search:
    """What assignments of one op cost; types that were looked at before are not looked at again."""

    annotated: Annotated
    have: Collection[tuple[str, Layout]]
    ways: dict[object, tuple[float, Steps] | None] = field(default_factory=dict)
    steps_s: dict[object, float] = field(default_factory=dict)

    def carried_out(self, assigned: Assignment, below: float = math.inf) -> tuple[float, OpPlan] | None:
        """The cost and the plan of an assignment; None if it cannot be carried out or costs more than `below`."""
        op, site = self.annotated.op, self.annotated.site
        local = self.annotated.local(assigned)
        tensors = (*local.inputs, local.output)
        findings = sharding_findings(local, self.annotated.kind, site.order)
        if not all(map(site.fits, tensors)) or any(True for _ in findings):
            return None
        after = self._way(local.output, op.output, "direct")
        if after is None or after[0] > below:
            return None
        total, before = after[0], []
        twice: set[tuple[str, Layout]] = set()
        for declared, needed in zip(op.inputs, local.inputs, strict=True):
            way = self._way(declared, needed, "gather" if len(op.inputs) > 1 else "direct")
            if way is None:
                return None
            key = (declared.name, layout(needed))
            total += 0.0 if key in twice else way[0]  # one tensor as two inputs is brought there once
            twice.add(key)
            before.append(way[1])
            if total > below:
                return None
        if not site.runs(local):
            return None
        return total + self._cost(local), OpPlan(local, tuple(before), after[1])

    def as_written(self) -> OpPlan | None:
        """The op as it is, on inputs whose partial sums are added up, but for those that the output has too."""
        op = self.annotated.op
        local = replace(op, inputs=tuple(_added_up(tensor, op.output.partial) for tensor in op.inputs))
        ways = [self._way(*ends, "direct") for ends in zip(op.inputs, local.inputs, strict=True)]
        before = tuple(way[1] for way in ways if way is not None)
        return OpPlan(local, before, ()) if len(before) == len(ways) else None

    def _way(self, source: Tensor, target: Tensor, style: Style) -> tuple[float, Steps] | None:
        """The cheapest way from one type to another (canonically: that of the style); None if there is none."""
        key = (source.name, source.type_text, target.type_text, style)
        if key not in self.ways:
            site = self.annotated.site
            found = sequences(source, target, site.fits, "every" if site.cost else style, site.order)
            ways, least = [], math.inf
            for steps in found:
                seconds = _steps_seconds(source, steps, self._step_s, self.have, least * (1 + TIE))
                ways.append((seconds, steps))
                least = min(least, seconds)
            equals = [way for way in ways if way[0] <= least * (1 + TIE)]
            self.ways[key] = min(equals, key=lambda way: len(way[1]), default=None)
        return self.ways[key]

    def _step_s(self, step: Step, source: Tensor) -> float:
        """What one inserted op costs alone: the same on tensors of the same types, whatever they are called."""
        if self.annotated.site.cost is None:
            return 0.0
        key = (step.kind, step.over, source.type, step.made.type)
        if key not in self.steps_s:
            self.steps_s[key] = self._cost(inserted_op(step, source, step.made.name, self.annotated.op))
        return self.steps_s[key]

    def _cost(self, op: Op) -> float:
        """What an op costs alone; nothing where the plan is canonical."""
        cost = self.annotated.site.cost
        return cost(op) if cost is not None else 0.0
