"""Dispatch: before a kernel runs on a chip, its host has worked on it for a while.

Model: a chip's host issues kernels one after the other, in program order, and does not wait for the chip: it is a queue of
its own (`host`), and a kernel starts no earlier than it is issued. So a program of many small kernels takes as long as its
host does, and one of large ones hides it. The work counts as the host's (`t_host`).
Where an op is `awaited` the host goes on only when its chip has made it: nothing that is issued afterwards begins before,
and the chip waits for its host anew.
Assumes: the queue of issued kernels never fills; an op of more chips than those that wait is issued on all of them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hw import System
from simulator.ops.kernel import Access, Chips, Kernel, Schedule, beside
from simulator.passes.kernels import Kernels, listed
from simulator.passes.placement import Placement, placed

QUEUE = "host"
"""The queue in which a chip's host issues kernels."""


def dispatched(kernels: Kernels, system: System, host_s: Callable[[Kernel], float]) -> Kernels:
    """The kernels, each behind the one that issues it, where `host_s` of it is more than 0."""
    made: list[Kernel] = []
    awaited: list[tuple[Placement, str]] = []
    for kernel, place in zip(kernels, placed(kernels, system).each(), strict=True):
        seconds = host_s(kernel)
        if seconds <= 0:
            made.append(kernel)
            continue
        known = [(where, name) for where, name in awaited if where is place or where.members & place.members]
        # of what other chips wait for, too, these are told once more
        awaited = [each for each in awaited if each not in known or not each[0].members <= place.members]
        on = kernel.schedule.on if len(place.chips) == system.size else Chips(place.chips)
        issued = beside(kernel.name, "issued")
        made.append(
            Kernel(
                name=beside(kernel.name, "issue"),
                ops=kernel.ops,
                kind="issue",
                writes=(Access(issued, 0.0),),
                host_s=seconds,
                schedule=Schedule(queue=QUEUE, on=on, after=tuple(name for _, name in known)),
                written=kernel.written,
            )
        )
        if kernel.awaited:
            awaited += ((place, access.tensor) for access in kernel.writes[:1])
        made.append(replace(kernel, schedule=replace(kernel.schedule, after=(*kernel.schedule.after, issued))))
    return listed(made, kernels)
