"""Which collectives go step by step: decided before a run, by who may meet whom on which wires.

Model: a macro collective pays its latency up front and streams; that is right while it is alone on its wires. So it is
expanded if a transfer that is neither before nor after it (by data, `after=`, or program order in a queue that both use)
routes over one of its wires. `run.network: macro` or `expanded` decides for all.
Source: DESIGN section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulator.kernel import Kernel


def meeting(
    kernels: Sequence[Kernel], queues: Mapping[int, str], wires: Mapping[int, frozenset[int]], in_order: bool
) -> dict[int, int]:
    """The kernels, among those that use `wires`, that may run beside another one on a wire that both use, and the first
    that each may meet."""
    if in_order and len(set(queues.values())) == 1:
        return {}
    before = _before(kernels, queues, in_order)
    users = sorted(wires)
    found: dict[int, int] = {}
    for place, later in enumerate(users):
        for earlier in users[:place]:
            if not before[later] >> earlier & 1 and not wires[earlier].isdisjoint(wires[later]):
                found.setdefault(earlier, later)
                found.setdefault(later, earlier)
    return found


def _before(kernels: Sequence[Kernel], queues: Mapping[int, str], in_order: bool) -> list[int]:
    """For every kernel, which ones surely end before it begins, as bits."""
    makers: dict[str, int] = {}
    last: dict[str, int] = {}
    before: list[int] = []
    for index, kernel in enumerate(kernels):
        needs = [makers[access.tensor] for access in kernel.reads if access.tensor in makers]
        needs += [makers[name] for name in kernel.schedule.after if name in makers]
        if in_order and index in queues:
            if queues[index] in last:
                needs.append(last[queues[index]])
            last[queues[index]] = index
        mask = 0
        for need in needs:
            mask |= before[need] | 1 << need
        before.append(mask)
        for name in (*(access.tensor for access in kernel.writes), *kernel.ops):
            makers[name] = index
    return before
