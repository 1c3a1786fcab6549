"""Law: groups that are priced as images of one ask exactly what they ask when each is priced by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator.lowering.network as network_module
from hw import Mesh, System, parse_topology
from hw.network import ROUTINGS
from simulator import Communication, Network, RunOptions, Traffic, choices, choose
from tests.support.strategies import chip_with
from tests.support.wirings import KINDS, chip_of

WIRED: tuple[tuple[Any, tuple[int, ...]], ...] = (
    ("switch(12)", (3, 4)), ("switch(12)", (2, 2, 3)), ("full(6)", (2, 3)), ("full(6)", (3, 2)),
    ("torus(4,3)", (4, 3)), ("torus(2,2,3)", (2, 2, 3)), ("grid(2,4)", (2, 4)), ("torus(4,3,wrap=[no,yes])", (4, 3)),
    ("fat_tree(12,leaf=2,oversubscription=2)", (3, 4)), ("fat_tree(12,leaf=4,spines=2,oversubscription=4)", (2, 6)),
    ("fat_tree(10,leaf=4,oversubscription=2)", (5, 2)), ("dragonfly(3,2,2)", (3, 4)),
    (("switch(4)", "switch(3)"), (4, 3)), (("switch(4)", "switch(3)"), (2, 2, 3)), (("switch(4)", "switch(3)"), (6, 2)),
    (("full(4)", "switch(3)"), (6, 2)), (("full(4)", "switch(3,nics=2)"), (2, 2, 3)), (("ring(4)", "line(3)"), (4, 3)),
    (("switch(4)", "switch(3,nics=3)"), (2, 2, 3)), (("switch(2)", "fat_tree(6,leaf=2,rails=yes)"), (2, 6)),
    (("switch(2)", "fat_tree(6,leaf=4,rails=yes,oversubscription=2,spines=2)"), (2, 2, 3)),
    (("full(3)", "fat_tree(4,leaf=2,oversubscription=2)"), (3, 4)), (("line(3)", "ring(4)"), (3, 4)),
)  # fmt: skip
"""Wirings, inside out, and the sizes of a mesh over each: axes of them, and cuts."""


def system(written: Any, sizes: tuple[int, ...], slow: int | None = None, alpha: float = 1e-6) -> System:
    """Such chips, of which one may be slow on its links."""
    levels = [written] if isinstance(written, str) else list(written)
    text = [f"{level} over {link}" for level, link in zip(levels, ("nvlink", "infiniband"), strict=False)]
    chip = chip_of(alpha)
    mesh = Mesh(dict(zip("XYZ", sizes, strict=False)))
    topology = parse_topology(text, chip.links)
    if slow is None:
        return System(chip, topology, mesh)
    late = chip_with(
        "h100_sxm", {"links.nvlink.count": 12, "links.nvlink.bandwidth": "1 GB/s", "links.infiniband.count": 2}
    )
    chips = tuple(late if at == slow % topology.size else chip for at in range(topology.size))
    return System(chip, parse_topology(text, chip.links, lambda at: chips[at].links), mesh, chips)


def asked(network: Network, kind: str, axes: str) -> Traffic:
    root = int("root=1" in KINDS[kind])
    return network.traffic(Communication(kind=kind, nbytes=5.04e9, axes=axes, root=root))


def told(traffic: Traffic) -> Any:
    """All that a traffic says."""
    groups = [(group.members, group.transfer, group.choice and group.choice.algorithm) for group in traffic.groups]
    return groups, traffic.algorithm, traffic.reason


@given(data=st.data())
def test_images_ask_what_their_groups_ask(data: st.DataObject) -> None:
    written, sizes = data.draw(st.sampled_from(WIRED))
    case = system(written, sizes, data.draw(st.none() | st.integers(0, 11)))
    axes = data.draw(st.sampled_from([*"XYZ"[: len(sizes)], "XY", *(["YZ", "XZ"] if len(sizes) > 2 else [])]))
    kind, wanted = data.draw(st.sampled_from(sorted(KINDS))), data.draw(st.sampled_from(choices()))
    routing = data.draw(st.sampled_from(ROUTINGS))
    options = RunOptions(collectives=wanted, routing=routing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_module, "WORTH", 10**9)
        by_itself = told(asked(Network(case, options), kind, axes))
        patch.setattr(network_module, "WORTH", 1)
        assert told(asked(Network(case, options), kind, axes)) == by_itself


@pytest.mark.parametrize(
    ("written", "sizes", "axes", "priced"),
    [
        ("switch(256)", (8, 32), "X", 1),
        ("switch(256)", (8, 32), "Y", 1),
        ("torus(16,16)", (16, 16), "X", 1),
        ("grid(16,16)", (16, 16), "Y", 1),
        (("switch(8)", "fat_tree(64,leaf=32,rails=yes)"), (8, 64), "X", 1),
        (("switch(8)", "fat_tree(64,leaf=32,rails=yes)"), (8, 64), "Y", 1),
        (("switch(8)", "fat_tree(64,leaf=32,rails=yes)"), (2, 4, 64), "YZ", 1),
        # eight groups of 26 chips on leaves of 8 lie in few ways over them
        ("fat_tree(208,leaf=8,oversubscription=2)", (8, 26), "Y", 4),
    ],
)
def test_alike_groups_are_priced_once(
    written: Any, sizes: tuple[int, ...], axes: str, priced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def counting(*asks: Any) -> Any:
        counted.append(asks)
        return choose(*asks)

    monkeypatch.setattr(network_module, "choose", counting)
    traffic = asked(Network(system(written, sizes), RunOptions()), "all_reduce", axes)
    assert len(counted) == priced < len(traffic.groups)


def test_a_group_with_a_slow_chip_is_no_image() -> None:
    fast, slow = (Network(system("switch(256)", (8, 32), chip), RunOptions()) for chip in (None, 33))
    one, other = asked(fast, "all_reduce", "X"), asked(slow, "all_reduce", "X")
    took = [slow.seconds(group.transfer) for group in other.groups]
    alone = fast.seconds(one.groups[0].transfer)
    assert [at for at, seconds in enumerate(took) if seconds > 2 * alone] == [33 % 32]
