"""Sends and their recvs: which two ends are one transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hw import RunError
from simulator.ops.kernel import Kernel


def match_pairs(kernels: Sequence[Kernel]) -> Mapping[int, int]:
    """The other end of every send and recv: the n-th of a pair of chips meets the n-th. Raises RunError for a lone one."""
    partner: dict[int, int] = {}
    open_ends: dict[tuple[int, int, str], list[int]] = {}
    for index, kernel in enumerate(kernels):
        communication = kernel.communication
        if communication is None or communication.axes:
            continue
        ends = (communication.source, communication.target)
        other = open_ends.get((*ends, "recv" if communication.kind == "send" else "send"))
        if other:
            partner[index] = other.pop(0)
            partner[partner[index]] = index
        else:
            open_ends.setdefault((*ends, communication.kind), []).append(index)
    alone = [
        f"{kernels[index].name} ({kind} on chip {source if kind == 'send' else target})"
        for (source, target, kind), ends in open_ends.items()
        for index in ends
    ]
    if alone:
        raise RunError(
            f"deadlock: {', '.join(alone)} waits for ever, the other end of the transfer is missing "
            "(every send needs a recv with the same from= and to=, and the reverse)"
        )
    return partner
