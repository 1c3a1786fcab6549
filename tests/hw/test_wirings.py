"""One object per wiring: what each says of itself agrees with what a search over its wires finds; adding one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hw import Link, Router, Topology, parse_topology
from hw.network import (
    WIRINGS,
    Canvas,
    Site,
    Wiring,
    WiringShape,
    add_wiring,
    drawn_level,
    level_facts,
    link_rows,
    map_places,
    written_wirings,
)

LINKS = {"a": Link(bandwidth=1e9, latency=1e-6, count=12), "b": Link(bandwidth=2e9, count=4)}
SMALL = {
    "line": "line(5)",
    "ring": "ring(6)",
    "torus": "torus(3,4)",
    "grid": "grid(3,4)",
    "full": "full(5)",
    "switch": "switch(5)",
    "fat_tree": "fat_tree(8,leaf=3)",
    "dragonfly": "dragonfly(3,2,2)",
}


@pytest.fixture
def wirings() -> Iterator[None]:
    before = dict(WIRINGS)
    yield
    WIRINGS.clear()
    WIRINGS.update(before)


def searched(topology: Topology) -> Topology:
    """The same wires, of which nothing but the wires is known."""
    plain = replace(topology.levels[0], kind="graph", drawn="graph")
    return replace(topology, levels=(plain,))


def test_every_written_wiring_is_tried_here() -> None:
    assert set(SMALL) == set(written_wirings())
    assert set(WIRINGS) - set(SMALL) == {"graph", "one_way_ring", "routes"}


@pytest.mark.parametrize("name", SMALL)
def test_what_a_wiring_says_of_itself_is_what_a_search_finds(name: str) -> None:
    topology = parse_topology(f"{SMALL[name]} over a", LINKS)
    (own,), (found,) = level_facts(topology), level_facts(searched(topology))
    assert own.hops == found.hops
    assert own.bisection.bytes_per_s == pytest.approx(found.bisection.bytes_per_s)


@pytest.mark.parametrize("name", SMALL)
def test_the_ways_of_a_wiring_are_as_short_as_any(name: str) -> None:
    topology = parse_topology(f"{SMALL[name]} over a", LINKS)
    own, found = Router(topology), Router(searched(topology))
    for target in range(1, topology.size):
        assert sum(own.route(0, target).shares.values()) == pytest.approx(sum(found.route(0, target).shares.values()))


@pytest.mark.parametrize("name", SMALL)
def test_a_kind_of_axis_is_a_wiring(name: str) -> None:
    topology = parse_topology(f"{SMALL[name]} over a", LINKS)
    assert {axis.kind for axis in topology.axes} <= set(WIRINGS)
    for axis in topology.axes:
        wiring = WIRINGS[axis.kind]
        joined = {(axis.place(a), axis.place(b)) for a, b in pairs(topology) if axis.kind in ("ring", "line", "full")}
        nearby = {(at, at + 1) for at in range(axis.size - 1)}
        assert not wiring.neighbours or nearby <= joined
        assert wiring.wraps == (wiring.neighbours and (axis.size - 1, 0) in joined)


def pairs(topology: Topology) -> set[tuple[int, int]]:
    numbers = topology.chip_numbers
    ends = ((numbers.get(wire.source), numbers.get(wire.target)) for wire in topology.wires)
    return {(a, b) for a, b in ends if a is not None and b is not None}


@pytest.mark.parametrize("name", SMALL)
def test_every_node_lies_somewhere_on_a_map_of_its_own(name: str) -> None:
    topology = parse_topology(f"{SMALL[name]} over a", LINKS)
    places = map_places(topology)
    assert set(places) == {*topology.chip_numbers, *topology.nodes}
    assert len({(round(x, 6), round(y, 6)) for x, y in places.values()}) == len(places)


# Adding one


def star(site: Site, _shape: WiringShape) -> None:
    """All chips on one wire each to a hub that the builder names itself."""
    for chip in site.chips:
        site.wire(f"chip{chip}", f"{site.prefix}hub", site.egress(chip))
        site.wire(f"{site.prefix}hub", f"chip{chip}", site.egress(chip), site.link_of(chip))


@pytest.mark.usefixtures("wirings")
def test_a_wiring_that_says_nothing_of_itself_has_what_a_search_finds() -> None:
    add_wiring(Wiring(name="star", build=star, shared=lambda _shape: True))
    for texts in (["star(6) over a"], ["star(6) over a", "switch(2) over b"], ["switch(2) over b", "star(6) over a"]):
        topology = parse_topology(texts, LINKS)
        number = [text[:4] for text in texts].index("star")
        like = parse_topology([text.replace("star", "switch") for text in texts], LINKS)
        facts, of_switch = level_facts(topology)[number], level_facts(like)[number]
        assert (facts.hops, facts.instances) == (of_switch.hops, of_switch.instances)
        assert facts.bisection.bytes_per_s == of_switch.bisection.bytes_per_s
        assert link_rows(topology) == link_rows(like)
        assert "hub" in drawn_level(topology, number).lines[0]


@pytest.mark.usefixtures("wirings")
def test_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wiring 'ring' is there already; known: dragonfly, .*torus"):
        add_wiring(Wiring(name="ring"))


@pytest.mark.usefixtures("wirings")
def test_an_axis_of_an_unknown_kind_is_told() -> None:
    add_wiring(Wiring(name="star", build=star, axes=lambda _shape: ("rnig",)))
    with pytest.raises(ValueError, match=r"star\(6\) has an axis of a kind that is no wiring: .* did you mean 'ring'"):
        parse_topology("star(6) over a", LINKS)


def test_a_wiring_without_an_example_cannot_be_written() -> None:
    for name in ("graph", "one_way_ring", "routes"):
        with pytest.raises(ValueError, match=f"unknown topology '{name}'"):
            parse_topology(f"{name}(4) over a", LINKS)


def test_labels_of_a_canvas_fit_the_room() -> None:
    canvas = Canvas(parse_topology("switch(4000) over a", LINKS), 0)
    labels = canvas.labels(range(4000), 60)
    assert labels[0] == "0"
    assert labels[-1] == "3999"
    assert sum(len(label) + 2 for label in labels) <= 62
