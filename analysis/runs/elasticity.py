"""What a faster part is worth: each resource of a system 1.1x, 2x and infinitely fast, and the elasticity of the time.

Model: a lever is one kind of resource on all chips at once (the matrix units, HBM, a kind of link; where hosts issue
kernels, those hosts), or one kind of fixed time (launches, hop latencies). Pulling it by c multiplies the rates by c, or
divides the fixed times by c; the run is
then really simulated again with everything else as it was, so queues and contention settle anew. What a run decides for
itself (`auto` algorithms, inserted collectives) it decides again; tiles follow from capacities and stay.
Elasticity: ln(T' / T) / ln(c) at c = 1.1. -1: time goes down as the resource speeds up, it alone decides; 0: it does not
matter. Infinitely fast is 1e12 times for rates (a second becomes a picosecond), exactly 0 for fixed times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from hw import Chip, System, Wire
from simulator import DISPATCH, HostPorts, Plan, RunOptions, launch_of

SMALL_STEP = 1.1
"""The step at which the elasticity is taken."""

FACTORS = (SMALL_STEP, 2.0, math.inf)
"""How much faster each resource is made."""

_INFINITE = 1e12

Setting = tuple[System, RunOptions]
Pull = Callable[[System, RunOptions, float], Setting]


@dataclass(frozen=True, slots=True)
class Lever:
    """A resource that can be made faster: its name, whether the run asks anything of it, and how it is done."""

    name: str
    used: bool
    pull: Pull

    def __repr__(self) -> str:
        return f"Lever({self.name}, {'used' if self.used else 'not used'})"


def elasticity(time_s: float, faster_s: float, factor: float = SMALL_STEP) -> float:
    """ln(T' / T) / ln(c): what share of a small speed-up of a resource the whole run gets, as a power. 0 for no time."""
    return math.log(faster_s / time_s) / math.log(factor) if time_s > 0 and faster_s > 0 else 0.0


def levers(plan: Plan) -> list[Lever]:
    """Every resource of the plan's system, used or not: units, memories, each kind of link, launches and latencies; and
    the hosts that issue kernels, where they take time for it."""
    wires = _wires(plan.system)
    used = used_of(plan)
    names = [name for chip in plan.system.kinds for name in _resources(chip)] + [wire.link for wire in wires]
    names += [DISPATCH] if DISPATCH in used else []
    found = [Lever(name, name in used, _rate(name)) for name in dict.fromkeys(names)]
    if any(launch_of(plan.options, chip) for chip in plan.system.kinds):
        found.append(Lever("launch", True, _launch))
    if any(wire.latency_s or wire.message_s for wire in wires):
        found.append(Lever("latency", "latency" in used, _latency))
    return found


def _resources(chip: Chip) -> Iterator[str]:
    """What a chip has on its own: units, memories, and the way to the host."""
    yield from ("matrix_unit", "vector_unit", "hbm")
    yield from (name for name in chip.memories if name != "hbm")
    if "pcie" in chip.links:
        yield "pcie"


def _wires(system: System) -> list[Wire]:
    """The wires between chips, and those that chips share on the way to their host."""
    return [*(system.topology.wires if system.topology else ()), *HostPorts(system, 0).wires]


def used_of(plan: Plan) -> Mapping[str, set[str]]:
    """The levers that the plan's tasks ask something of, and the kinds of chips that they are of, by their names: wires are
    of all."""
    program, system = plan.program, plan.system
    link = {wire.name: wire.link for wire in _wires(system)}
    every = {chip.name for chip in system.kinds}
    found: dict[str, set[str]] = {}
    for resource, work in zip(program.resources, program.work_ps(), strict=True):
        if work:
            name = link.get(resource.name) or resource.name.partition(".")[2]
            whose = every if resource.chip < 0 else {system.chip_at(resource.chip).name}
            found.setdefault("pcie" if name.startswith("pcie.") else name, set()).update(whose)
    if any(sort.traffic.groups for sort in plan.kernels.sorts):
        found["latency"] = every
    return found


def _rate(name: str) -> Pull:
    def pull(system: System, options: RunOptions, factor: float) -> Setting:
        return system, replace(options, speedup=_faster(options, name, min(factor, _INFINITE)))

    return pull


def _launch(system: System, options: RunOptions, factor: float) -> Setting:
    if options.launch_s is not None:
        return system, replace(options, launch_s=options.launch_s / factor)
    return system, replace(options, speedup=_faster(options, "launch", factor))


def _faster(options: RunOptions, name: str, factor: float) -> Mapping[str, float]:
    return {**options.speedup, name: options.speedup.get(name, 1.0) * factor}


def _latency(system: System, options: RunOptions, factor: float) -> Setting:
    topology = system.topology
    assert topology is not None, "only wires have latencies"
    wires = tuple(
        wire._replace(latency_s=wire.latency_s / factor, message_s=wire.message_s / factor) for wire in topology.wires
    )
    return replace(system, topology=replace(topology, wires=wires)), options
