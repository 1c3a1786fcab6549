"""What a library loses on a collective beside the bytes on its wires.

Model: T = start + steps x step + w + sqrt(w x fill), w = the wires' time over the share of their rate that is reached (all,
but where bytes pass through a host's memory) + what stays on a chip over the rate of copies.
Steps: n - 1 of n chips, of an all-reduce twice as many. The root is that of an optimal pipeline: pieces of c bytes take
bytes / c pieces and fill in c, which together is least at the root of their product.
An exchange, whose sends wait for no neighbour, has a start, a step for each other chip, a filling and a copy of its own.
Where a ring goes round all chips of several nodes on each rail, its cards carry more than the wiring's own form asks of
them: that comes on top.
Where a compiler has rings use fewer axes of a torus than their chips lie along, those carry what all of them would.
Where switches add up: T = start + (1 + 1 / n) x bytes over their rate, whatever chips pass to each other.
Here stands all but the wires' time, which is theirs: it comes before the wires are at work, and is no work on them.
Law: monotone in bytes and in chips wherever the wires' time is, and copies are faster than the link.
Source: the pipeline's trade-off is that of Chan et al. 2007 (Collective communication), section 5; parameters are measured.
"""

from __future__ import annotations

from hw.chips import CollectiveTimes
from hw.rows import largest, smallest

_TWICE = ("all_reduce",)
"""Collectives that go round twice: reduce, then gather."""

_RINGS = ("all_reduce", "all_gather", "reduce_scatter")
"""Collectives that go round rings."""

_EXCHANGES = ("all_to_all",)
"""Collectives whose bytes are those of all chips together."""


def collective_delay_s(
    kind: str, nbytes: float, chips: int, wires_s: float, times: CollectiveTimes, link_bytes_per_s: float
) -> float:
    """Seconds of a collective beside `wires_s`; `link_bytes_per_s`: what a chip's links carry by the data sheet."""
    if chips < 2:
        return 0.0
    steps = (chips - 1) * (2 if kind in _TWICE else 1)
    exchange = kind in _EXCHANGES
    of = times.exchange if exchange and times.exchange is not None else times
    # of an exchange the bytes are those of all chips; what one chip has for all of them is copied nowhere
    stays = nbytes / chips / (chips if exchange else 1) if kind in (*_RINGS, *_EXCHANGES) else 0.0
    copied_s = stays / (link_bytes_per_s * of.copy_rate)
    held_up_s = wires_s * (1.0 / times.rate - 1.0)
    moved_s = wires_s + held_up_s + copied_s
    # a power, and no call of math: numbers may stand for many rows
    lost_s: float = (moved_s * of.fill_s) ** 0.5
    return of.start_s + steps * of.step_s + held_up_s + copied_s + lost_s


def rail_share(kind: str, chips: int, nodes: int) -> float:
    """How much more a card of a rail carries where rings go round all chips, than where each node is one place of a ring."""
    if kind not in _RINGS or not 1 < nodes < chips:
        return 1.0
    return (1.0 - 1.0 / chips) / (1.0 - 1.0 / nodes)


def axes_share(kind: str, along: int, most: int | None) -> float:
    """How much longer rings of chips that lie along so many axes of a torus take where `most` of these are used at once."""
    if kind not in _RINGS or most is None:
        return 1.0
    return max(1.0, along / most)


def cores_held(nbytes: float, times: CollectiveTimes, in_switch: bool) -> float:
    """The cores that a collective holds on each of its chips: a channel each. Where switches add up that is all of them."""
    if in_switch and times.in_switch is not None:
        return times.in_switch.cores
    if not times.cores:
        return 0
    channels: float = largest([1, -(-nbytes // times.core_bytes)])
    return smallest([times.cores, channels])


def in_switch_delay_s(
    nbytes: float, chips: int, wires_s: float, times: CollectiveTimes, link_bytes_per_s: float
) -> float:
    """Seconds of an all-reduce beside `wires_s` where the link's switches add up; `times` say how fast they do."""
    assert times.in_switch is not None
    moved_s = nbytes * (1.0 + 1.0 / chips) / (link_bytes_per_s * times.in_switch.rate)
    return times.in_switch.start_s + largest([moved_s - wires_s, 0.0])
