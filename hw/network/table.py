"""The links of a topology as a table, alike ones in one row; and all facts of a topology as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hw.network.facts import LevelFacts, diameter, level_facts, overall_cut
from hw.network.topology import Topology, Wire

_TIERS = {"chip": 0, "nic": 1, "leaf": 2}
"""Nodes from the chips upwards, for naming the ends of a link in that order."""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Links that are alike: what they join, how many, their figures; `both` says that each leads both ways."""

    level: int
    link: str
    source: str
    target: str
    count: int
    bytes_per_s: float
    latency_s: float
    both: bool


def _kinds(topology: Topology, wire: Wire) -> Iterator[tuple[str, str]]:
    for node in (wire.source, wire.target):
        yield topology.word_of(node), node


def link_rows(topology: Topology) -> list[LinkRow]:
    """The links, alike ones in one row, inside out."""
    found: dict[tuple[int, str, str, str, float], list[float]] = {}
    for wire in topology.wires:
        ends = [(_TIERS.get(kind, 3), kind, node) for kind, node in _kinds(topology, wire)]
        (_, low, _), (_, high, _) = sorted(ends)
        counts = found.setdefault((wire.level, wire.link, low, high, wire.bytes_per_s), [0, 0, 0.0])
        counts[0 if ends[0] < ends[1] else 1] += 1
        counts[2] = max(counts[2], wire.latency_s)
    rows = []
    for (level, link, low, high, rate), (there, back, latency) in found.items():
        both = min(there, back)
        if both:
            rows.append(LinkRow(level, link, low, high, int(both), rate, latency, True))
        if there > both:
            rows.append(LinkRow(level, link, low, high, int(there - both), rate, latency, False))
        if back > both:
            rows.append(LinkRow(level, link, high, low, int(back - both), rate, latency, False))
    return rows


def topology_record(topology: Topology) -> dict[str, object]:
    """Everything about a topology as plain data, SI units."""
    facts = level_facts(topology)
    cut = overall_cut(facts)
    return {
        "topology": str(topology),
        "chips": topology.size,
        "wires": len(topology.wires),
        "diameter_hops": diameter(facts),
        "bisection_bytes_per_s": cut.bytes_per_s if cut else 0.0,
        "bisection_bound": cut.bound if cut else "exact",
        "levels": [_level_record(each) for each in facts],
        "links": list(_link_records(topology)),
    }


def _level_record(facts: LevelFacts) -> dict[str, object]:
    return {
        "level": facts.level.text,
        "kind": facts.level.kind,
        "link": facts.level.link,
        "instances": facts.instances,
        "children": facts.level.children,
        "chips_per_child": facts.level.inner,
        "axes": [{"kind": axis.kind, "size": axis.size} for axis in facts.level.axes],
        "hops": facts.hops,
        "bisection_bytes_per_s": facts.bisection.bytes_per_s,
        "bisection_bound": facts.bisection.bound,
        "bisection_method": facts.bisection.method,
    }


def _link_records(topology: Topology) -> Iterator[dict[str, object]]:
    for row in link_rows(topology):
        yield {
            "level": row.level,
            "link": row.link,
            "from": row.source,
            "to": row.target,
            "count": row.count,
            "both_ways": row.both,
            "bytes_per_s": row.bytes_per_s,
            "latency_s": row.latency_s,
        }
