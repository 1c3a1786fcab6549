"""What can be said of any wiring, whatever its wires are: hops and bisection by search, a list of neighbours, a circle.

A wiring that says nothing better of itself has these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hw.network.bisection import Bisection, best_cut
from hw.network.topology import Topology, Wire, node_prefix
from hw.network.wirings.canvas import GAP, NEIGHBOURS, WIDTH, Canvas, Drawn, chosen
from hw.network.wirings.instance import Instance

Place = tuple[float, float]
"""Where a node stands on a map: x to the right, y upwards."""


# Facts


def searched_facts(instance: Instance) -> tuple[int, Bisection]:
    """Hops between the chips furthest apart, and the narrowest cut that can be found."""
    wires = list(instance.wires.values())
    cut = best_cut(wires, [f"chip{chip}" for chip in instance.chips], instance.level.inner)
    return _hops(wires, instance), cut


def _hops(wires: Sequence[Wire], instance: Instance) -> int:
    """Hops between the chips furthest apart: which nodes reach which, as bits of whole numbers, hop by hop."""
    numbers = {
        name: at for at, name in enumerate(dict.fromkeys(n for wire in wires for n in (wire.source, wire.target)))
    }
    free: dict[int, list[int]] = {}
    hops: dict[int, list[int]] = {}
    for wire in wires:
        (hops if wire.hop else free).setdefault(numbers[wire.source], []).append(numbers[wire.target])
    onwards = {
        node: set(hops.get(node, ())).union(*(hops.get(above, ()) for above in free.get(node, ())))
        for node in numbers.values()
    }
    chips = [numbers[f"chip{chip}"] for chip in instance.chips if f"chip{chip}" in numbers]
    want = sum(1 << chip for chip in chips)
    reached = {node: 1 << node for node in numbers.values()}
    count = 0
    while any(reached[chip] & want != want for chip in chips):
        after = {node: _union(reached[node], onwards[node], reached) for node in reached}
        if after == reached:
            break  # one-way graphs are checked to be connected; nothing more can come
        reached, count = after, count + 1
    return count


def _union(mine: int, others: set[int], reached: Mapping[int, int]) -> int:
    for other in others:
        mine |= reached[other]
    return mine


# Pictures


def neighbours_listed(canvas: Canvas) -> Drawn:
    """Every node with its neighbours, and how wide the links to them are."""
    near = _near(canvas)
    port = min((wire.bytes_per_s for _, wire in canvas.topology.of_level(canvas.number)), default=1.0)
    wide = max(len(name) for name in near)
    lines = []
    for at in chosen(len(near), NEIGHBOURS):
        if at is None:
            lines.append(f"{GAP.rjust(wide)}")
            continue
        name, others = list(near.items())[at]
        texts = [f"{other}{_times(rate / port)}" for other, rate in others.items()]
        shown = [GAP if other is None else texts[other] for other in chosen(len(texts), 6)]
        lines.append(f"{name.rjust(wide)} ── {'  '.join(shown)}"[:WIDTH])
    wider = next((times for others in near.values() for rate in others.values() if (times := _times(rate / port))), "")
    return lines, [f"{wider.strip()}: so many times the bandwidth of the narrowest link"] if wider else []


def _near(canvas: Canvas) -> dict[str, dict[str, float]]:
    """Of each node of the level's first instance, by its short name, the bytes/s to its neighbours."""
    topology = canvas.topology
    span = canvas.level.inner * canvas.level.children
    prefix = node_prefix(len(topology.levels), canvas.number, 0)
    near: dict[str, dict[str, float]] = {f"chip{chip}": {} for chip in range(span)}
    for _, wire in topology.of_level(canvas.number):
        chip = topology.chip_numbers.get(wire.source)
        instance = topology.nodes[wire.source].instance if chip is None else chip // span
        if instance == 0:
            others = near.setdefault(wire.source.removeprefix(prefix), {})
            name = wire.target.removeprefix(prefix)
            others[name] = others.get(name, 0.0) + wire.bytes_per_s
    return near


def _times(ratio: float) -> str:
    return "" if abs(ratio - 1) < 1e-9 else f" x{ratio:.3g}"


# Maps


def in_a_circle(topology: Topology) -> dict[str, Place]:
    """The chips in a circle."""
    turns = [2 * math.pi * chip / topology.size for chip in range(topology.size)]
    return {f"chip{chip}": (math.sin(turn), math.cos(turn)) for chip, turn in enumerate(turns)}
