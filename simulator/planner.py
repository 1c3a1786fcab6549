"""The sharding planner: inserts the collectives that annotations such as `A[I_X,J_YZ]{U_W}` demand.

Model: each op is planned by itself, in program order (`simulator.planner_op`: which loop each mesh axis splits;
`simulator.resharding`: the collectives that bring tensors there). What an op can do as it is annotated is left alone, and
so is what nothing can mend, which `simulator.binding` reports. The planned graph is an op graph like any other: it prints
in the words of the language, and planning it again changes nothing.
- An op keeps its kind and its options. What is inserted for it takes over its chunks, priority, chips (`on`) and what it
  waits for (`after`), not its queue and tiles: with `chunks=` the collective and the op overlap.
- The last op inserted after an op has the name that the op had; others are named after their tensor and what was done:
  `x.gathered`, `y.partial`. So `after=`, `carry:` and `ops.NAME` keep their meaning. A group of `fuse:` means the op
  itself: [y, z] becomes [y.partial, z].
- A tensor that was brought to a layout once is used again where that layout is needed, on the same chips and as long as
  its name means the same: not across the rounds of a block that carries it.
Source: "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from hw import System
from hw.system import mesh_problems
from simulator.binding import plannable, site
from simulator.graph import FuseRule, Items, Op, OpGraph, Repeat, Tensor
from simulator.kinds import KINDS, Kind
from simulator.planner_op import OpPlan, inserted_op, plan_op
from simulator.resharding import Steps
from simulator.sharding import Layout, layout

Sharding = Literal["canonical", "auto", "written"]

_DONE = {
    "all_gather": "gathered",
    "all_reduce": "reduced",
    "reduce_scatter": "scattered",
    "all_to_all": "moved",
    "slice": "sliced",
}
_ROUND = re.compile(r"(\.\d+)+$")

_There = dict[str, dict[tuple[Layout, str | None], Tensor]]
"""Where a tensor is in another layout than its own, on the chips of `on=`: under which name."""


def plan_sharding(
    graph: OpGraph, system: System, mode: Sharding = "canonical", cost: Callable[[Op], float] | None = None
) -> OpGraph:
    """The graph with every collective that its annotations demand, as ops; the graph itself if they demand none.

    `canonical` makes the textbook's choice, `auto` the cheapest by `cost` (the seconds of one op alone, collectives
    included), `written` inserts nothing. Wrong input is left as it is, for `simulator.binding.bind` to report.
    """
    if mode == "written" or any(True for _ in mesh_problems(system.mesh.axes, system.topology)):
        return graph
    if mode == "auto" and cost is None:
        raise ValueError("sharding 'auto' needs a cost: the seconds of one op alone")
    planner = _Planner(graph, system, cost if mode == "auto" else None)
    items = planner.items(graph.items, {})
    return graph if items == graph.items else replace(graph, items=items, fuse=planner.fused(graph.fuse))


class _Planner:
    """Walks a graph; knows which names are taken, and what was planned for an op of the same types."""

    def __init__(self, graph: OpGraph, system: System, cost: Callable[[Op], float] | None) -> None:
        self.graph = graph
        self.system = system
        self.site = site(graph, system, cost)
        self.plans: dict[object, OpPlan | None] = {}
        self.renamed: dict[str, str] = {}
        self.names = {tensor.name for op in graph.every_op() for tensor in (op.output, *op.inputs)}
        self.names |= {_ROUND.sub("", name) for name in self.names}  # a block numbers its names

    def items(self, items: Items, there: _There) -> Items:
        """The items with what must be inserted; `there` grows by what was."""
        planned: list[Op | Repeat] = []
        for item in items:
            if isinstance(item, Op):
                planned += self.op(item, there)
            else:
                carried = {start for start, _ in item.carry}
                inside = {name: dict(found) for name, found in there.items() if name not in carried}
                planned.append(replace(item, items=self.items(item.items, inside)))
                there.update({name: found for name, found in inside.items() if name not in carried})
        return tuple(planned)

    def fused(self, rule: FuseRule) -> FuseRule:
        """The groups to fuse, under the names that ops have now."""
        return rule if isinstance(rule, str) else [[self.renamed.get(name, name) for name in group] for group in rule]

    def op(self, op: Op, there: _There) -> list[Op]:
        """The op, between what must be inserted before and after it."""
        kind = plannable(op, self.graph, self.system)
        plan = self._plan(op, kind, there) if kind is not None else None
        if plan is None:
            return [op]
        ops: list[Op] = []
        inputs: list[Tensor] = []
        for declared, needed, steps in zip(op.inputs, plan.local.inputs, plan.before, strict=True):
            if steps:
                found = there.setdefault(declared.name, {})
                key = (layout(needed), op.option("on"))
                if key not in found:
                    found[key] = self._chain(declared, steps, op, ops)
                inputs.append(found[key])
            else:
                inputs.append(declared)
        made = plan.local.output if plan.after else op.output
        if plan.after:
            made = replace(made, name=self._fresh(f"{op.name}.{'partial' if made.partial else 'local'}"))
            self.renamed[op.name] = made.name
        ops.append(replace(op, inputs=tuple(inputs), output=made))
        if plan.after:
            self._chain(made, plan.after, op, ops, op.output)
        return ops

    def _plan(self, op: Op, kind: Kind, there: _There) -> OpPlan | None:
        """The plan of an op; ops of the same types share it."""
        on = op.option("on")
        names = list(dict.fromkeys(tensor.name for tensor in op.inputs))
        have = {(name, where) for name in names for where, chips in there.get(name, ()) if chips == on}
        key = (
            op.kind,
            tuple(option for option in op.options if option[0] != "after"),
            tuple((names.index(tensor.name), tensor.type_text) for tensor in op.inputs),
            op.output.type_text,
            frozenset((names.index(name), where) for name, where in have),
        )
        if key not in self.plans:
            self.plans[key] = plan_op(op, kind, self.site, have)
        return self.plans[key]

    def _chain(self, source: Tensor, steps: Steps, served: Op, ops: list[Op], last: Tensor | None = None) -> Tensor:
        """Append the ops of some steps; the tensor they end in is called `last`, or by what was done."""
        stem = served.name if last else source.name
        issued = next((step for step in steps if not KINDS[step.kind].view), None)
        for step in steps:
            end = last is not None and step is steps[-1]
            name = last.name if last and end else self._fresh(f"{stem}.{_DONE[step.kind]}")
            ops.append(inserted_op(step, source, name, served, first=last is None and step is issued))
            source = ops[-1].output
        return source

    def _fresh(self, name: str) -> str:
        """The name, or the first with a number that is not taken."""
        number, fresh = 1, name
        while fresh in self.names:
            number += 1
            fresh = f"{name}_{number}"
        self.names.add(fresh)
        return fresh
