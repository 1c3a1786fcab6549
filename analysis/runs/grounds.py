"""What the times of a run rest on: kernels that were measured, a profile, or the data sheet.

Definition. Every task counts on each chip that it occupies, for as long as it takes there: so the shares are those of the
time of all tasks of all chips, not of the run's time, in which some hide behind others. A task rests on one thing:
`measured`: a kernel whose kind was measured, a collective over a link over which they were, or the host's work to issue one;
`profile`: a kernel priced like others that were, on this chip or on one that it is like, or a part of the data sheet's rate
that was measured (an efficiency);
`data_sheet`: the data sheet's own rate, or what the run itself says of it.
Assumes: what is slowest of a task decides what it rests on; so does the busiest wire, by bytes over its data sheet's rate.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hw import Chip
from hw.chips import CollectiveTimes, chip_kernels
from simulator import Plan, PlannedKernel, Result, RunOptions, Variant

MEASURED, PROFILE, DATA_SHEET = "measured", "profile", "data_sheet"

GROUNDS = {MEASURED: "measured", PROFILE: "profile", DATA_SHEET: "data sheet"}
"""What a time can rest on, in words, the surest first."""

_BY = {"measured": MEASURED, "profile": PROFILE}

_LINKS = {"pcie.in": "pcie", "pcie.out": "pcie"}
"""The link that a resource of a chip is a direction of: efficiencies are those of links."""


def grounds(result: Result) -> dict[str, float] | None:
    """The share of the time that rests on each of `GROUNDS`; None of a run by the data sheet, or one without a task."""
    plan = result.plan
    if plan.options.calibration != "measured":
        return None
    spent = dict.fromkeys(GROUNDS, 0.0)
    for sort, variant, seconds in spent_by_kernels(result):
        planned = plan.kernels.sorts[sort]
        spent[_rests_on(plan, planned, planned.variants[variant], plan.split.chips[variant])] += seconds
    whole = sum(spent.values())
    return {name: seconds / whole for name, seconds in spent.items()} if whole else None


def grounds_line(shares: dict[str, float]) -> str:
    """The shares in words, those that are none left out."""
    return "of tasks' time: " + ", ".join(
        f"{GROUNDS[name]} {100 * share:.1f} %" for name, share in shares.items() if share
    )


def spent_by_kernels(result: Result) -> Iterator[tuple[int, int, float]]:
    """(sort of kernels, variant, time of all its tasks on all chips); a transfer counts by what its task carries out."""
    plan, places = result.plan, result.places
    kernel = np.asarray(plan.program.kernel, dtype=np.int64)[places.task]
    sort = np.asarray(plan.kernels.code, dtype=np.int64)[kernel]
    variant = np.asarray(list(plan.split.variant_of), dtype=np.int64)[places.chip]
    alike = np.zeros(plan.system.size)
    alike[list(plan.simulated)] = [len(plan.members(chip)) for chip in plan.simulated]
    took = (places.end - places.begin) * alike[places.chip]
    count = len(plan.split.chips)
    keys, of = np.unique(sort * count + variant, return_inverse=True)
    for key, time in zip(keys.tolist(), np.bincount(of, weights=took, minlength=len(keys)).tolist(), strict=True):
        yield key // count, key % count, time


def _rests_on(plan: Plan, planned: PlannedKernel, variant: Variant, chip: Chip) -> str:
    if variant.by in _BY:
        return _BY[variant.by]
    if planned.kernel.host_s:  # its host issues kernels, for as long as was measured
        known = chip_kernels(chip)
        return MEASURED if known is None or known.own else PROFILE
    slowest = slowest_of(plan, planned, variant)
    if collective_times(plan, planned, slowest, chip) is not None:
        return MEASURED
    return PROFILE if _achieved(plan.options, chip, _LINKS.get(slowest, slowest)) else DATA_SHEET


def slowest_of(plan: Plan, planned: PlannedKernel, variant: Variant) -> str:
    """The resource of its chip, or the link, that a task is held up by."""
    needs = variant.times_s
    slowest = max(needs, key=lambda name: needs[name], default="")
    beside = max(planned.network_s, planned.host_s)
    if beside > needs.get(slowest, 0.0):
        slowest = _busiest_link(plan, planned) if planned.network_s >= planned.host_s else "host"
    return slowest


def collective_times(plan: Plan, planned: PlannedKernel, link: str, chip: Chip) -> CollectiveTimes | None:
    """What was measured of a collective that a link holds up: nothing where the run itself says how fast the link is."""
    asked, measured = planned.kernel.communication, chip.calibration.measured
    if asked is None or asked.pair or measured is None or not _achieved(plan.options, chip, link):
        return None
    return measured.collectives.get(link)


def _busiest_link(plan: Plan, planned: PlannedKernel) -> str:
    """The link of the wire that a communication keeps busy the longest."""
    topology, loads = plan.system.topology, planned.traffic.loads
    if topology is None or not len(loads.wire):
        return ""
    rates = np.asarray([wire.bytes_per_s for wire in topology.wires])
    nbytes = np.bincount(loads.wire, weights=loads.nbytes, minlength=len(rates))
    return topology.wires[int(np.argmax(nbytes / rates))].link


def _achieved(options: RunOptions, chip: Chip, name: str) -> bool:
    """Whether a resource has a part of its rate because that was measured: the run itself says nothing of it."""
    said = name in options.efficiency or name in options.chip_efficiency.get(chip.name, {})
    measured = chip.calibration.measured
    return not said and measured is not None and name in measured.known()
