"""Lowering: from kernels to a program of tasks, one per chip and chunk; a collective is one task of its whole group.

An op runs where its inputs are: `recv` brings a tensor to one chip, and what needs only it runs there. Chunk i of an op
waits for chunk i of the op that feeds it when both have equally many chunks, else for all of them.
The two ends of a send and recv are one task in a queue of each chip, where each end stands in that chip's program; of
those along a mesh axis, one task for each class of alike pairs of chips.
Only one chip of each class of alike ones gets tasks (`simulator.lowering.folding`); a task that stands for several
carries on each resource what all of them ask there, and takes the time of one.
"""

from __future__ import annotations

import math
from functools import cache, partial

from hw import RunError, SpecError, System
from simulator.engine.engine import Engine
from simulator.engine.shape import PS_PER_S
from simulator.graph.op_graph import OpGraph
from simulator.lowering.cost import Cost
from simulator.lowering.fabric import Basis
from simulator.lowering.issuing.issue import Issue
from simulator.lowering.planning.plan import Plan
from simulator.lowering.variants import variants_of
from simulator.options import RunOptions
from simulator.passes.planner import Sharded, shard

MAX_TASKS = 20_000_000
"""Tasks that one run may have; beyond that memory runs out before patience does."""


def lower(graph: OpGraph, system: System, options: RunOptions) -> Plan:
    """The plan of a graph on a system. Raises SpecError for what is wrong, RunError for what cannot run."""

    @cache
    def cost() -> Cost:
        return Cost(graph, system, options)

    def run_s(sharded: Sharded) -> float:
        try:
            engine = Engine(_lowered(sharded, system, options).plan.program, order=options.order)
        except (SpecError, RunError):
            return math.inf
        engine.run()
        return math.inf if engine.waiting_tasks() else engine.makespan_ps / PS_PER_S

    sharded = shard(graph, system, options.sharding, lambda op: cost().seconds(op), run_s)
    issue = _lowered(sharded, system, options)
    basis = Basis(graph, sharded, issue.plan.split, issue.variants, issue.fabric)
    issue.plan.again = partial(_lower_again, basis)
    return issue.plan


def _lower_again(basis: Basis, graph: OpGraph, system: System, options: RunOptions) -> Plan:
    """The plan of another run, with what holds for it of the plan that the basis is of."""
    if not basis.has_kernels(graph, system, options):
        return lower(graph, system, options)
    return _lowered(basis.sharded, system, options, basis).plan


def _most_tasks(issue: Issue) -> int:
    """How many tasks the kernels of a program are at most: one for each chunk on each simulated chip on which they run."""
    simulated = frozenset(issue.folding.chips)
    chips = {place: len(place.members & simulated) for place in {sort.place for sort in issue.sorts}}
    return sum(sort.kernel.schedule.chunks * sort.count * chips[sort.place] for sort in issue.sorts)


def _lowered(sharded: Sharded, system: System, options: RunOptions, basis: Basis | None = None) -> Issue:
    """A graph that has all its collectives, lowered."""
    plan = Plan(system, sharded.graph, options, inserted=sharded.inserted)
    if basis is None:
        plan.split, variants = variants_of(plan)
        issue = Issue(plan, variants)
    else:
        plan.split = basis.split
        issue = Issue(plan, basis.variants, basis.fabric if basis.has_wires(options) else None)
    messages = issue.fabric.messages()
    tasks = _most_tasks(issue) + messages
    if tasks > MAX_TASKS:
        way_out = "; run.network: task has one for each collective" if messages > tasks / 2 else ""
        most = f"{MAX_TASKS} is the most for one run{way_out}"
        raise RunError(f"{tasks} tasks on {plan.classes} chips are too many; {most}")
    issue.all()
    return issue
