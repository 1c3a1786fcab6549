"""HBM over time: which tensors are alive, and the most that they take.

Model: inputs of the graph (weights, activations given) are there for the whole run, on the chips that read them; what an op
makes is there from its begin to the end of the last op that reads it, or to the end of the run if nothing reads it. What a
fused kernel keeps on chip is never there. Tensors in other memories do not count. What an op writes into the memory of one
of its inputs (a grown cache) counts with what was added, and that input stays as long as it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from simulator import PS_PER_S, Plan, Result, Tensor, tensor_bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """A tensor on a chip: bytes, and from when to when."""

    tensor: str
    chip: int
    nbytes: float
    begin_s: float
    end_s: float


def _inputs(plan: Plan) -> list[Tensor]:
    """Every tensor in HBM that the graph takes in."""
    made = {op.name for op in plan.graph.flat()}
    found = {
        tensor.name: tensor
        for op in plan.graph.flat()
        for tensor in op.inputs
        if tensor.name not in made and tensor.memory == "hbm"
    }
    return list(found.values())


def _sizes(plan: Plan, tensors: Iterable[Tensor]) -> Mapping[tuple[str, int], float]:
    """Local bytes of tensors by name and simulated chip."""
    of_variant: dict[int, dict[str, float]] = {}
    tensors = list(tensors)
    for chip in plan.simulated:
        variant = plan.split.variant_of[chip]
        if variant not in of_variant:
            cut = plan.split.cuts[variant]
            alike = {(each.dtype, each.dims): each for each in tensors}  # what names and rounds share is sized once
            sized = {key: tensor_bytes(each, plan.graph, plan.system, cut) for key, each in alike.items()}
            of_variant[variant] = {each.name: sized[each.dtype, each.dims] for each in tensors}
    members = {each.name: plan.system.mesh.members(each.axes + each.partial) for each in tensors}
    return {
        (name, chip): nbytes
        for chip in plan.simulated
        for name, nbytes in of_variant[plan.split.variant_of[chip]].items()
        if (here := members[name]) is None or chip in here
    }


def _given(plan: Plan) -> Mapping[tuple[str, int], float]:
    """Local bytes of the inputs of the graph by name and simulated chip: those that run an op which reads it."""
    readers: dict[str, set[tuple[int, ...]]] = {}
    for planned in plan.kernels:
        for access in planned.kernel.reads:
            readers.setdefault(access.tensor, set()).add(planned.chips)
    sizes = _sizes(plan, _inputs(plan))
    return {
        (name, chip): nbytes
        for (name, chip), nbytes in sizes.items()
        if any(chip in chips for chips in readers.get(name, ()))
    }


def holdings(result: Result) -> Iterator[Holding]:
    """Every tensor on every simulated chip, with its life span."""
    plan = result.plan
    end_of_run = result.time_s
    given = _given(plan)
    for (name, chip), nbytes in given.items():
        yield Holding(name, chip, nbytes, 0.0, end_of_run)
    spans = _spans(result)
    last = _last_reads(plan, spans)
    made = _sizes(plan, (op.output for op in plan.graph.flat()))
    before = {name: into for planned in plan.kernels for name, into in planned.kernel.grown}
    for at, planned in enumerate(plan.kernels):
        for access in planned.kernel.writes:
            for chip in planned.chips:
                nbytes = made.get((access.tensor, chip), access.nbytes)  # what it takes, not what was moved
                grown = (before.get(access.tensor, ""), chip)
                nbytes -= made.get(grown, given.get(grown, 0.0))
                if access.memory != "hbm" or not nbytes:
                    continue
                begin = spans[at, chip][0] / PS_PER_S
                end = last.get((access.tensor, chip))
                yield Holding(access.tensor, chip, nbytes, begin, end_of_run if end is None else end / PS_PER_S)


def _spans(result: Result) -> dict[tuple[int, int], tuple[int, int]]:
    """First begin and last end of every kernel on every chip; the two ends of a transfer share its task."""
    plan, program = result.plan, result.plan.program
    chip_of = np.asarray([lane.chip for lane in program.queues], dtype=np.int64)
    grouped = [(task, queue) for task, queues in program.groups.items() for queue in queues[1:]]
    more = np.asarray(grouped, dtype=np.int64).reshape(-1, 2)
    task = np.concatenate([np.arange(len(program)), more[:, 0]])
    chip = chip_of[np.concatenate([np.asarray(program.queue, dtype=np.int64), more[:, 1]])]
    kernel = np.asarray(program.kernel, dtype=np.int64)[task]
    begin, end = np.asarray(result.begin_ps)[task], np.asarray(result.end_ps)[task]
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    width = int(chip.max(initial=0)) + 1
    place, row = np.unique(kernel * width + chip, return_inverse=True)
    first, last = np.full(len(place), max(result.end_ps, default=0)), np.zeros(len(place), dtype=end.dtype)
    np.minimum.at(first, row, begin)
    np.maximum.at(last, row, end)
    for at, since, until in zip(place.tolist(), first.tolist(), last.tolist(), strict=True):
        carried, here = divmod(at, width)
        for part in (carried, plan.partner.get(carried)):
            if part is not None and here in plan.kernels[part].chips:
                spans[part, here] = (since, until)
    return spans


def _last_reads(plan: Plan, spans: Mapping[tuple[int, int], tuple[int, int]]) -> dict[tuple[str, int], int]:
    """When each chip has read each tensor for the last time."""
    last: dict[tuple[str, int], int] = {}
    for at, planned in enumerate(plan.kernels):
        for access in planned.kernel.reads:
            for chip in planned.chips:
                end = spans[at, chip][1]
                last[access.tensor, chip] = max(last.get((access.tensor, chip), 0), end)
    run_ends = max((until for _, until in spans.values()), default=0)
    for planned in reversed(plan.kernels):
        for name, into in planned.kernel.grown:
            for chip in planned.chips:
                # what nobody reads stays to the end, and with it what it grew out of
                end = last.get((name, chip), run_ends)
                last[into, chip] = max(last.get((into, chip), 0), end)
    return last


def near_bytes(plan: Plan) -> Mapping[str, float]:
    """Bytes of all tensors that are held in each memory on the chip, on the chip that holds most; they stay for the whole
    run."""
    near = {name for chip in plan.system.kinds for name in chip.near_memories}
    tensors = (tensor for op in plan.graph.flat() for tensor in (*op.inputs, op.output))
    held = {tensor.name: tensor for tensor in tensors if tensor.memory in near}
    total: dict[tuple[str, int], float] = {}
    for (name, chip), nbytes in _sizes(plan, held.values()).items():
        key = (held[name].memory, chip)
        total[key] = total.get(key, 0.0) + nbytes
    return {memory: max(total.get((memory, chip), 0.0) for chip in plan.simulated) for memory, _ in total}


def memory_peaks(result: Result) -> Mapping[int, float]:
    """The most HBM that each simulated chip holds at any time."""
    events: dict[int, list[tuple[float, int, float]]] = {}
    for held in holdings(result):
        here = events.setdefault(held.chip, [])
        # what ends makes room for what begins at the same instant
        here.append((held.begin_s, 1, held.nbytes))
        here.append((held.end_s, 0, -held.nbytes))
    peaks: dict[int, float] = {}
    for chip, here in events.items():
        level = peaks[chip] = 0.0
        for _, _, change in sorted(here):
            level += change
            peaks[chip] = max(peaks[chip], level)
    return peaks
