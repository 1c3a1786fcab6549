"""The sharding planner: inserts the collectives that annotations such as `A[I_X,J_YZ]{U_W}` demand.

Model: each op is planned by itself, in program order (`simulator.passes.sharding.assignment`: which loop each mesh axis
splits; `simulator.passes.sharding.moves`: the collectives that bring tensors there). What an op can do as it is
annotated is left alone, and so is what nothing can mend, which `simulator.passes.soundness` reports. The planned graph is
an op graph like any other: it prints in the words of the language, and planning it again changes nothing.
- An op keeps its kind and its options. What is inserted for it takes over its chunks, priority, chips (`on`) and what
  it waits for (`after`), not its queue and tiles: with `chunks=` the collective and the op overlap.
- The last op inserted after an op has the name that the op had; others are named after their tensor and what was done:
  `x.gathered`, `y.partial`. So `after=`, `carry:` and `ops.NAME` keep their meaning. A group of `fuse:` means the op
  itself: [y, z] becomes [y.partial, z].
- A tensor that was brought to a layout once is used again where that layout is needed, on the same chips and as long as
  its name means the same: not across the rounds of a block that carries it.
- What was inserted is told (`Sharded.inserted`). `auto` plans op by op; where what ops leave behind for each other, or
  what overlaps in a run, makes that dearer than the textbook's plan, it is the textbook's.
Source: "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from hw import System
from hw.systems import mesh_problems
from simulator.graph.items import Op
from simulator.graph.op_graph import OpGraph
from simulator.passes.planner_walk import Inserted, Planner, plan_key
from simulator.passes.sharding.assignment import TIE, OpPlan, plan_op, plan_seconds, told
from simulator.passes.soundness import site

Sharding = Literal["canonical", "auto", "written"]
"""Who decides where collectives go: the textbook, the cheapest choice, or the text as written."""

NOTABLE = 1.2
"""How many times the cheapest the textbook's choice may cost before it is worth a word."""


@dataclass(frozen=True, slots=True)
class Dearer:
    """An op for which the textbook's choice costs more than the cheapest: seconds of the op and of all that is inserted
    for it, each alone, in one round; how often it is run; and what the cheapest inserts, in words."""

    op: str
    chosen_s: float
    cheapest_s: float
    rounds: int
    instead: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """How many times as much it costs."""
        return self.chosen_s / self.cheapest_s if self.cheapest_s else math.inf


@dataclass(frozen=True, slots=True)
class Sharded:
    """A graph with every collective that its annotations demand, and which of them nobody wrote."""

    graph: OpGraph
    inserted: tuple[Inserted, ...] = ()


def plan_sharding(
    graph: OpGraph, system: System, mode: Sharding = "canonical", cost: Callable[[Op], float] | None = None
) -> OpGraph:
    """The graph with every collective that its annotations demand, as ops; the graph itself if they demand none.

    `canonical` makes the textbook's choice, `auto` the cheapest by `cost` (the seconds of one op alone, collectives
    included), `written` inserts nothing. Wrong input is left as it is, for `simulator.passes.bound_graph.bind` to report.
    """
    return shard(graph, system, mode, cost).graph


def shard(
    graph: OpGraph,
    system: System,
    mode: Sharding = "canonical",
    cost: Callable[[Op], float] | None = None,
    run_s: Callable[[Sharded], float] | None = None,
) -> Sharded:
    """The same as `plan_sharding`, with a record of what was inserted. With `run_s`, what a planned graph takes, `auto`
    is the textbook's plan too where that is faster in a run: ops overlap, which no cost of one op alone knows."""
    if mode == "written" or _broken(system):
        return Sharded(graph)
    if mode == "canonical":
        return _planned(Planner(graph, system, None))
    if cost is None:
        raise ValueError("sharding 'auto' needs a cost: the seconds of one op alone")
    priced = _remembered(cost)
    cheapest, textbook = Planner(graph, system, priced), Planner(graph, system, None)
    made, otherwise = _planned(cheapest), _planned(textbook)
    if made.graph == otherwise.graph:
        return made
    if run_s is not None:
        return min(made, otherwise, key=run_s)
    return made if _seconds(cheapest, priced) <= _seconds(textbook, priced) * (1 + TIE) else otherwise


def dearer_choices(
    graph: OpGraph, system: System, cost: Callable[[Op], float], ratio: float = NOTABLE
) -> tuple[Dearer, ...]:
    """The ops of a graph for which the textbook's choice costs more than `ratio` times the cheapest one, by what that
    costs in all rounds; each beside what the textbook has done for the ops before it."""
    if _broken(system):
        return ()
    planner = Planner(graph, system, None)
    _planned(planner)
    found = [each for each in _compared(planner, _remembered(cost)) if each.chosen_s > ratio * each.cheapest_s]
    return tuple(sorted(found, key=lambda each: -each.rounds * (each.chosen_s - each.cheapest_s)))


def _seconds(planner: Planner, cost: Callable[[Op], float]) -> float:
    """What all planned ops cost with what was inserted for them, each alone, one after the other."""
    return sum(each.rounds * plan_seconds(each.op, each.plan, each.have, cost) for each in planner.chosen)


def _compared(planner: Planner, cost: Callable[[Op], float]) -> Iterator[Dearer]:
    """Every planned op beside its cheapest plan."""
    cheapest: dict[object, OpPlan | None] = {}
    priced = site(planner.graph, planner.system, planner.how, cost)
    for each in planner.chosen:
        key = plan_key(each.op, each.have)
        if key not in cheapest:
            cheapest[key] = plan_op(each.op, each.kind, priced, each.have)
        plan = cheapest[key]
        if plan is not None:
            chosen_s, least_s = (plan_seconds(each.op, other, each.have, cost) for other in (each.plan, plan))
            yield Dearer(each.op.name, chosen_s, least_s, each.rounds, told(each.op, plan))


def _broken(system: System) -> bool:
    return any(True for _ in mesh_problems(system.mesh.axes, system.topology))


def _planned(planner: Planner) -> Sharded:
    graph = planner.graph
    if not planner.has_any():
        return Sharded(graph)
    items = planner.items(tuple(graph.items), {})
    if items == graph.items:
        return Sharded(graph)
    return Sharded(replace(graph, items=items, fuse=planner.fused(graph.fuse)), tuple(planner.inserted))


def _remembered(cost: Callable[[Op], float]) -> Callable[[Op], float]:
    """A cost that is asked once for ops of one form."""
    known: dict[object, float] = {}

    def seconds(op: Op) -> float:
        form = op.form
        if form not in known:
            known[form] = cost(op)
        return known[form]

    return seconds
