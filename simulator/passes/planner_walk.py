"""A walk through a graph that plans every op, names what is inserted, and knows what was brought where.

Model: program order, each block entered once; ops of one form, with the same tensors there, share a plan. A tensor
that was brought to a layout once, be it on the way to another, is used again where that is needed, on the same chips and
as long as its name means the same: not across the rounds of a block that carries it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from hw import System
from simulator.graph.copied import once
from simulator.graph.items import Items, Op, Repeat, Tensor, every_op, rounds_of
from simulator.graph.op_graph import FuseRule, OpGraph
from simulator.graph.rounds import at_round
from simulator.ops.registry import KINDS, Kind
from simulator.passes.parts import cutting
from simulator.passes.sharding.assignment import OpPlan, inserted_op, plan_op, steps_done
from simulator.passes.sharding.moves import Step, Steps
from simulator.passes.sharding.rules import Layout, layout
from simulator.passes.soundness import plannable, site

_DONE = {
    "all_gather": "gathered",
    "all_reduce": "reduced",
    "reduce_scatter": "scattered",
    "all_to_all": "moved",
    "slice": "sliced",
}
_ROUND = re.compile(r"(\.\d+)+$")

Found = dict[tuple[Layout, str | None], Tensor]
"""A tensor in other layouts than its own, on the chips of `on=`: under which name."""

There = dict[str, Found]
"""By tensor, where it is in other layouts."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """A collective that nobody wrote: its name, kind and axes, and the op that it serves."""

    op: str
    kind: str
    over: str
    serves: str


@dataclass(frozen=True, slots=True)
class Choice:
    """An op that was planned: what it was planned as, what was there, and how often it is run."""

    op: Op
    kind: Kind
    plan: OpPlan
    have: frozenset[tuple[str, Layout]]
    rounds: int


def plan_key(op: Op, have: frozenset[tuple[str, Layout]]) -> object:
    """What the plan of an op depends on: its form, and which of its inputs are there in other layouts."""
    names = list(dict.fromkeys(tensor.name for tensor in op.inputs))
    return op.form, frozenset((names.index(name), where) for name, where in have)


class Planner:
    """Walks a graph; knows which names are taken, and what was planned for an op of the same types."""

    def __init__(self, graph: OpGraph, system: System, cost: Callable[[Op], float] | None) -> None:
        self.graph = graph
        self.system = system
        self.how = cutting(graph, system)
        self.site = site(graph, system, self.how, cost)
        self.plans: dict[object, OpPlan | None] = {}
        # by the form of ops, what they are if they are to be planned
        self.kinds: dict[object, Kind | None] = {}
        self.renamed: dict[str, str] = {}
        self.inserted: list[Inserted] = []
        self.chosen: list[Choice] = []
        self.of_rounds: dict[str, Tensor] = {}

    @cached_property
    def names(self) -> set[str]:
        """The names that are taken."""
        names = {tensor.name for op in self.graph.every_op() for tensor in (op.output, *op.inputs)}
        return names | {_ROUND.sub("", name) for name in names}  # a block numbers its names

    def has_any(self) -> bool:
        """Whether there is an op to plan."""
        return any(self._kind(at_round(op, 0)) is not None for op in every_op(once(self.graph.items)))

    def items(self, items: Items, there: There, rounds: int = 1) -> Items:
        """The items with what must be inserted; `there` grows by what was. `rounds`: how often they are run."""
        planned: list[Op | Repeat] = []
        for item in items:
            if isinstance(item, Op):
                planned += self.op(item, there, rounds)
            else:
                # what a name stands for changes with the block: one that is carried, or that is meant of some round
                other = {start for start, _ in item.carry} | self.of_rounds.keys()
                inside = {name: dict(found) for name, found in there.items() if name not in other}
                often = rounds * rounds_of(item, self.graph.dims)
                planned.append(replace(item, items=self.items(item.items, inside, often)))
                other |= self.of_rounds.keys()
                there.update({name: found for name, found in inside.items() if name not in other})
        return tuple(planned)

    def fused(self, rule: FuseRule) -> FuseRule:
        """The groups to fuse, under the names that ops have now."""
        return rule if isinstance(rule, str) else [[self.renamed.get(name, name) for name in group] for group in rule]

    def op(self, op: Op, there: There, rounds: int) -> list[Op]:
        """The op, between what must be inserted before and after it."""
        kind = self._kind(at_round(op, 0))
        if kind is None:
            return [op]
        named = self._named(op)
        have = self._have(named, there)
        plan = self._plan(named, kind, have)
        if plan is None:
            return [op]
        self.chosen.append(Choice(at_round(named, 0), kind, plan, have, rounds))
        return [self._meant(each) for each in self._carried_out(named, plan, there)]

    def _kind(self, op: Op) -> Kind | None:
        """The kind of an op that is to be planned; None for any other. Ops of one work are looked at once."""
        work = op.work
        if work not in self.kinds:
            self.kinds[work] = plannable(op, self.graph, self.system, self.how)
        return self.kinds[work]

    def _named(self, op: Op) -> Op:
        """The op with every round's tensor under a name of its own ('h@round'), so that no two are taken for one."""
        if not any(tensor.rounds for tensor in op.inputs):
            return op
        self.of_rounds.update({tensor.reference: tensor for tensor in op.inputs if tensor.rounds})
        return replace(op, inputs=tuple(replace(each, name=each.reference, rounds=()) for each in op.inputs))

    def _meant(self, op: Op) -> Op:
        """The op with the tensors of rounds to which `_named` gave names."""
        return replace(op, inputs=tuple(self.of_rounds.get(tensor.name, tensor) for tensor in op.inputs))

    def _carried_out(self, op: Op, plan: OpPlan, there: There) -> list[Op]:
        ops: list[Op] = []
        inputs: list[Tensor] = []
        for declared, steps in zip(op.inputs, plan.before, strict=True):
            inputs.append(self._brought(declared, steps, op, there.setdefault(declared.name, {}), ops))
        made = plan.local.output if plan.after else op.output
        if plan.after:
            name = self._fresh(f"{op.name}.{'partial' if made.partial else 'local'}")
            made = replace(made, name=name, written="")
            self.renamed[op.name] = made.name
        ops.append(replace(op, inputs=tuple(inputs), output=made))
        if plan.after:
            self._given(made, plan.after, op, ops)
        return ops

    def _have(self, op: Op, there: There) -> frozenset[tuple[str, Layout]]:
        """The inputs of an op that are there in other layouts, on its chips."""
        on = op.option("on")
        names = {tensor.name for tensor in op.inputs}
        return frozenset((name, where) for name in names for where, chips in there.get(name, ()) if chips == on)

    def _plan(self, op: Op, kind: Kind, have: frozenset[tuple[str, Layout]]) -> OpPlan | None:
        """The plan of an op; ops of one form share it."""
        key = plan_key(op, have)
        if key not in self.plans:
            self.plans[key] = plan_op(at_round(op, 0), kind, self.site, have)
        return self.plans[key]

    def _brought(self, declared: Tensor, steps: Steps, served: Op, found: Found, ops: list[Op]) -> Tensor:
        """An input where it is needed; what of its steps is not taken yet is appended to `ops`, and then found."""
        on = served.option("on")
        reached = {(declared.name, where) for where, chips in found if chips == on}
        done = steps_done(declared.name, steps, reached)
        source = found[layout(steps[done - 1].made), on] if done else declared
        issued = next((step for step in steps[done:] if not KINDS[step.kind].view), None)
        stem = self.of_rounds.get(declared.name, declared).name
        for step in steps[done:]:
            name = self._fresh(f"{stem}.{_DONE[step.kind]}")
            source = self._append(inserted_op(step, source, name, served, first=step is issued), step, served, ops)
            found[layout(step.made), on] = source
        return source

    def _given(self, made: Tensor, steps: Steps, served: Op, ops: list[Op]) -> None:
        """Append the steps that bring an output where it is wanted; the last one has the name of the op."""
        for step in steps:
            end = step is steps[-1]
            name = served.name if end else self._fresh(f"{served.name}.{_DONE[step.kind]}")
            made = self._append(inserted_op(step, made, name, served), step, served, ops)

    def _append(self, op: Op, step: Step, served: Op, ops: list[Op]) -> Tensor:
        ops.append(op)
        if not KINDS[step.kind].view:
            self.inserted.append(Inserted(op.name, step.kind, step.over, served.name))
        return op.output

    def _fresh(self, name: str) -> str:
        """The name, or the first with a number that is not taken."""
        number, fresh = 1, name
        while fresh in self.names:
            number += 1
            fresh = f"{name}_{number}"
        self.names.add(fresh)
        return fresh
