"""The words that speak of one chip, for every chip that is simulated; the word of the run is the most of them.

Rule: chips may be unlike in what they are or in what they run. Then each word is that of the chip with the most of it, for
the whole run and for one op alike; two words may so speak of two chips, and `Summary.chip_of` says of which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from analysis.words.causes import COMPUTE, MEMORY, NETWORK, what_it_does
from analysis.words.intervals import Interval, difference, length, union
from simulator import PS_PER_S, Plan, PlannedKernel, Program, Result, Variant

OnChips = Mapping[int, float]
"""A figure of each simulated chip that has one."""


def totals(plan: Plan, amount: Callable[[PlannedKernel, Variant], float]) -> OnChips:
    """An amount per kernel, added up on each chip."""
    found: dict[int, float] = {}
    for planned in plan.kernels:
        for chip in planned.chips:
            found[chip] = found.get(chip, 0.0) + amount(planned, plan.variant(planned, chip))
    return found


def flops(plan: Plan) -> OnChips:
    """FLOP on both units."""
    return totals(plan, lambda _planned, variant: variant.kernel.flops)


def hbm_bytes(plan: Plan) -> OnChips:
    """HBM traffic in bytes."""
    return totals(plan, lambda _planned, variant: variant.hbm_bytes)


def network_bytes(plan: Plan) -> OnChips:
    """Bytes put on links."""
    return totals(plan, lambda planned, _variant: planned.traffic.sent_bytes)


def intensity(plan: Plan) -> OnChips:
    """FLOP per byte of HBM, of chips with traffic."""
    arithmetic = flops(plan)
    return {chip: arithmetic[chip] / nbytes for chip, nbytes in hbm_bytes(plan).items() if nbytes}


def overhead_s(plan: Plan, run: Callable[[], Result]) -> OnChips:
    """Seconds in which tasks are in their fixed times; an instant counts once, however many are. Where a chip has one queue
    its tasks follow each other, so that their fixed times add up; only else is the run needed."""
    program = plan.program
    fixed = list(_fixed_ps(program))
    lanes = [queue.chip for queue in program.queues if not queue.inner]
    total: dict[int, int] = {}
    if len(set(lanes)) == len(lanes):
        for task, own in fixed:
            for chip in program.chips_of(task):
                total[chip] = total.get(chip, 0) + own
    elif fixed:
        result = run()
        spans: dict[int, list[Interval]] = {}
        for task, own in fixed:
            begin = result.begin_ps[task]
            for chip in program.chips_of(task):
                spans.setdefault(chip, []).append((begin, min(begin + own, result.end_ps[task])))
        total = {chip: length(union(each)) for chip, each in spans.items()}
    return {chip: time / PS_PER_S for chip, time in total.items()}


def _fixed_ps(program: Program) -> Iterator[tuple[int, int]]:
    """(task, its fixed time) of every task that has one; a collective that goes by messages is one task."""
    for task in program.outer():
        own = program.shapes[program.shape[task]].fixed_ps
        if own:
            yield task, own


def exposed_s(result: Result) -> tuple[OnChips, OnChips]:
    """(network, memory): seconds in which they run while no matrix or vector work does."""
    computing: dict[int, list[Interval]] = {}
    network: dict[int, list[Interval]] = {}
    moving: dict[int, list[Interval]] = {}
    lanes = {COMPUTE.does: computing, NETWORK.does: network, MEMORY.does: moving}
    plan, program = result.plan, result.plan.program
    for task in program.outer():
        planned = plan.kernels[program.kernel[task]]
        lane = lanes.get(what_it_does(planned))
        if lane is None:
            continue  # a fixed time moves nothing
        for chip in program.chips_of(task):
            lane.setdefault(chip, []).append((result.begin_ps[task], result.end_ps[task]))
    return _exposed(network, computing), _exposed(moving, computing)


def _exposed(lane: Mapping[int, list[Interval]], computing: Mapping[int, list[Interval]]) -> OnChips:
    return {
        chip: length(difference(union(spans), union(computing.get(chip, ())))) / PS_PER_S
        for chip, spans in lane.items()
    }
