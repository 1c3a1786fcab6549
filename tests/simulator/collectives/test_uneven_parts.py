"""Unequal parts: what a chip holds is what it got, on the wires, in HBM, in what is computed next; a part may be nothing.

Law: with V the bytes of the whole and p_i the part at place i, a chip of a switch gets (1 - p_i) V in a gather and sends
its part to every other; on a ring a wire carries the parts of the chips behind it; gathering to one, each wire into the
root carries what is not its own. The parts of a dim are whole elements and add up to it. A scatter is a gather backwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs import memory_peaks
from hw import Mesh, System, parse_topology
from scenarios import load_scenario
from simulator import NETWORKS, Result, RunOptions, simulate
from tests.support.planning import problems_of
from tests.support.strategies import chip_with, run, show_error

ALPHA = 1e-6
TPU = chip_with("tpu_v5e", {"links.ici.latency": "1 us"})  # links of 4.5e10 B/s one way
H100 = chip_with("h100_sxm", {"links.nvlink.latency": "0 s"})  # 18 NVLinks of 25 GB/s
ICI, NVLINK = 4.5e10, 4.5e11
DIMS = {"T": 8000, "D": 4000, "F": 1000}
V = 2 * 8000 * 4000
PARTS = (0.7, 0.3, 0.0, 0.0)
SHARES = "shares=[0.7, 0.3, 0, 0]"
FORMS = NETWORKS[-2:]
"""As one task, and as messages."""


def taken(topology: str, *lines: str, mesh: Any = None, named: Any = None, **options: Any) -> Result:
    chip = TPU if "switch" not in topology and "full" not in topology else H100
    wired = parse_topology(topology, chip.links)
    system = System(chip, wired, Mesh(mesh or {"X": wired.size}, named or {}))
    return run(lines, DIMS, system, RunOptions(**{"overlap": "full", **options}))


def near(got: float, want: float) -> None:
    print(show_error("time", got, want or 1.0))
    assert got == pytest.approx(want, rel=1e-9, abs=1e-11)


# The wires


@pytest.mark.parametrize("network", FORMS)
@pytest.mark.parametrize(
    ("line", "busiest"),
    [
        # what chip 0 sends to three others, or what all send to it
        (f"y:bf16[T,D] = all_gather(x:bf16[T_X,D], over=X, {SHARES})", 3 * 0.7),
        (f"y:bf16[T_X,D] = reduce_scatter(x:bf16[T,D]{{U_X}}, over=X, {SHARES})", 3 * 0.7),
        (f"y:bf16[T,D] = gather_to(x:bf16[T_X,D], over=X, root=1, {SHARES})", 0.7),
        (f"y:bf16[T,D] = gather_to(x:bf16[T_X,D], over=X, root=2, {SHARES})", 1.0),
        (f"y:bf16[T_X,D] = scatter(x:bf16[T,D], over=X, root=0, {SHARES})", 0.3),
        (f"y:bf16[T,D_X] = all_to_all(x:bf16[T_X,D], over=X, {SHARES})", 3 / 4 * 0.7),
    ],
)
def test_a_switch_takes_as_long_as_its_busiest_port(line: str, busiest: float, network: str) -> None:
    near(taken("switch(4)", line, network=network).time_s, busiest * V / NVLINK)


@pytest.mark.parametrize("network", FORMS)
@pytest.mark.parametrize(
    ("topology", "hops", "busiest"),
    [
        # on a ring of four a wire carries its chip's part and the one's before it; on a line all parts behind it
        ("ring(4)", 2, 1.0),
        ("line(4)", 3, 1.0),
    ],
)
def test_shards_pass_from_neighbour_to_neighbour(topology: str, hops: int, busiest: float, network: str) -> None:
    gather = f"y:bf16[T,D] = all_gather(x:bf16[T_X,D], over=X, {SHARES})"
    scatter = f"y:bf16[T_X,D] = reduce_scatter(x:bf16[T,D]{{U_X}}, over=X, {SHARES})"
    for line in (gather, scatter):
        if network == FORMS[0]:
            near(taken(topology, line, network=network).time_s, hops * ALPHA + busiest * V / ICI)
        else:  # whole shards are stored and passed on: the largest goes all hops
            got = taken(topology, line, network=network).time_s
            assert got <= hops * (ALPHA + 0.7 * V / ICI) * (1 + 1e-9)


def test_the_cheapest_streams_the_shards_round_a_switch() -> None:
    """Every chip has to get what it lacks: V (1 - p) at the chips without a part."""
    line = f"y:bf16[T,D] = all_gather(x:bf16[T_X,D], over=X, {SHARES})"
    near(taken("switch(4)", line, collectives="auto").time_s, V / NVLINK)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any),
    st.permutations(range(5)),
    st.sampled_from(["switch(5)", "full(5)"]),
    st.sampled_from(["ring", "ring_one_way", "canonical", "auto"]),
)
def test_which_chip_has_which_part_does_not_matter_where_all_are_as_near(
    parts: list[int], turned: list[int], topology: str, collectives: str
) -> None:
    times = []
    for here in (parts, [parts[at] for at in turned]):
        shares = ", ".join(f"{part}/{sum(parts)}" for part in here)
        line = f"y:bf16[T,D] = all_gather(x:bf16[T_X,D], over=X, shares=[{shares}])"
        times.append(taken(topology, line, collectives=collectives).time_s)
    assert times[0] == pytest.approx(times[1], rel=1e-9, abs=1e-12)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any),
    st.sampled_from(["switch(5)", "ring(5)", "line(5)", "full(5)"]),
)
def test_every_chip_gets_what_it_lacks(parts: list[int], topology: str) -> None:
    shares = ", ".join(f"{part}/{sum(parts)}" for part in parts)
    result = taken(topology, f"y:bf16[T,D] = all_gather(x:bf16[T_X,D], over=X, shares=[{shares}])")
    topology_, loads = result.plan.system.topology, result.plan.kernels[0].traffic.groups[0].transfer.wires
    assert topology_ is not None
    for chip, part in enumerate(parts):
        into = sum(nbytes for wire, nbytes in loads.items() if topology_.wires[wire].target == f"chip{chip}")
        out = sum(nbytes for wire, nbytes in loads.items() if topology_.wires[wire].source == f"chip{chip}")
        passed = out - (len(parts) - 1 if topology in ("switch(5)", "full(5)") else 0) * part / sum(parts) * V
        if topology in ("switch(5)", "full(5)"):
            assert into == pytest.approx((1 - part / sum(parts)) * V, rel=1e-9, abs=1e-6)
            assert passed == pytest.approx(0, abs=1e-3)
        elif len(set(parts)) > 1:
            assert into == pytest.approx((1 - part / sum(parts)) * V, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("topology", ["switch(4)", "ring(4)", "line(4)", "full(4)", "ring(2)"])
@pytest.mark.parametrize(
    "line",
    [
        "y:bf16[T,D] = all_gather(x:bf16[T_X,D], over=X{0})",
        "y:bf16[T_X,D] = reduce_scatter(x:bf16[T,D]{{U_X}}, over=X{0})",
    ],
)
def test_equal_parts_cost_what_no_parts_cost(topology: str, line: str) -> None:
    size = int(topology[-2])
    equal = ", shares=[" + ", ".join([f"1/{size}"] * size) + "]"
    assert taken(topology, line.format(equal)).time_s == taken(topology, line.format("")).time_s


# What a chip holds


def test_what_follows_works_on_what_came() -> None:
    """Tokens go to experts and come back: the chip with 70 % of them multiplies 70 %, one without any does nothing."""
    result = taken(
        "switch(4)",
        f"y:bf16[T,D_X] = all_to_all(x:bf16[T_X,D], over=X, {SHARES})",
        "h:bf16[T,F]{U_X} = matmul(y, w:bf16[D_X,F])",
        "g:bf16[T,D_X] = gelu(y)",
        "z:bf16[T_X,D] = all_to_all(g, over=X)",
    )
    matmul, gelu, back = (next(each for each in result.plan.kernels if each.kernel.name == name) for name in "hgz")
    at = [result.plan.split.variant_of[chip] for chip in range(4)]
    for chip, columns in enumerate((2800, 1200, 0, 0)):
        assert matmul.variants[at[chip]].kernel.flops == 2 * 8000 * columns * 1000
        assert gelu.variants[at[chip]].hbm_bytes == 2 * 2 * 8000 * columns
        assert back.variants[at[chip]].hbm_bytes == 2 * 8000 * columns + V / 4
    times = {
        name: next(kernel.network_s for kernel in result.plan.kernels if kernel.kernel.name == name) for name in "yz"
    }
    near(times["y"], 0.75 * 0.7 * V / NVLINK)
    near(times["z"], 0.75 * 0.7 * V / NVLINK)  # what came in goes out again


def test_memory_holds_what_came() -> None:
    result = taken(
        "switch(4)",
        f"y:bf16[T_X,D] = scatter(x:bf16[T,D]@host, over=X, root=0, {SHARES})".replace("@host", ""),
        "z:bf16[T_X,D] = relu(y)",
        fold=False,
    )
    assert [memory_peaks(result).get(chip) for chip in range(4)] == [V + 2 * part * V for part in PARTS]


def test_parts_hold_in_a_named_group() -> None:
    """Places are counted as the group lists its chips: 70 % are on chip 6."""
    result = taken(
        "switch(8)",
        "y:bf16[T,D_A] = all_to_all(x:bf16[T_A,D], over=A, shares=[0.7, 0.3, 0, 0])",
        "z:bf16[T,D_A] = relu(y)",
        named={"A": (6, 2, 1, 7)},
        fold=False,
    )
    for chip, columns in ((6, 2800), (2, 1200), (1, 0), (7, 0)):
        assert result.plan.variant(result.plan.kernels[1], chip).hbm_bytes == 2 * 2 * 8000 * columns
    near(result.plan.kernels[0].network_s, 0.75 * 0.7 * V / NVLINK)
    received = {
        result.plan.system.topology.wires[wire].target: nbytes  # type: ignore[union-attr]
        for wire, nbytes in result.plan.kernels[0].traffic.groups[0].transfer.wires.items()
    }
    assert received["chip6"] == pytest.approx(0.75 * 0.7 * V)
    assert received["chip2"] == pytest.approx(0.75 * 0.3 * V)


def test_groups_with_other_parts_have_other_bytes() -> None:
    """Along Y each pair of chips adds up what its place along X has: 70 % of V at the first."""
    result = taken(
        "switch(8)",
        f"x:bf16[T_X,D]{{U_Y}} = reduce_scatter(v:bf16[T,D]{{U_XY}}, over=X, {SHARES})",
        "y:bf16[T_X,D] = all_reduce(x, over=Y)",
        mesh={"X": 4, "Y": 2},
    )
    near(result.plan.kernels[1].network_s, 2 * 0.5 * 0.7 * V / NVLINK)


# Whole dims that are split


MOE = """\
name: moe
about: Four chips swap tokens, the first has and gets 70 % of them, the last none.
system: {{chip: h100_sxm, topology: switch(4) over nvlink, mesh: {{X: 4}}}}
workload:
  dims: {{T: 8192, D: 4096}}
  ops:
    - y:bf16[T,D_X] = all_to_all(x:bf16[T_X,D], over=X)
  uneven: pad
  split: {{X: {split}}}
run: {{overlap: full}}
"""


@pytest.mark.parametrize(
    ("split", "busiest"),
    [
        # chip 0 sends 30 % of its 70 % away, and gets as much
        ("[70, 10, 10, 10]", 0.7 * 0.3),
        ("[70, 20, 10, 0]", 0.7 * 0.3),
        ("[1, 1, 0, 0]", 0.25),
        ("[1, 0, 0, 0]", 0.0),
        ("[1, 1, 1, 1]", 3 / 16),
    ],
)
def test_tokens_and_experts_split_alike_are_swapped(tmp_path: Path, split: str, busiest: float) -> None:
    path = tmp_path / "moe.yaml"
    path.write_text(MOE.format(split=split))
    scenario = load_scenario(str(path))
    result = simulate(scenario.graph, scenario.system, scenario.options)
    near(result.plan.kernels[0].network_s, busiest * 2 * 8192 * 4096 / NVLINK)


def test_a_dim_need_be_no_larger_than_the_places_that_get_a_part(tmp_path: Path) -> None:
    path = tmp_path / "moe.yaml"
    path.write_text(MOE.format(split="[1, 0, 0, 0]").replace("T: 8192", "T: 2"))
    assert load_scenario(str(path)).graph.dims["T"] == 2
    path.write_text(MOE.format(split="[1, 1, 1, 0]").replace("T: 8192", "T: 2"))
    with pytest.raises(ValueError, match="T = 2 is too small to share out over the 3 chips of X"):
        load_scenario(str(path))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any),
    st.sampled_from(["switch(8)", "torus(4,2)", "grid(4,2)"]),
    st.data(),
)
def test_random_parts_folded_are_the_same_in_full(parts: list[int], topology: str, data: st.DataObject) -> None:
    shares = "shares=[" + ", ".join(f"{part}/{sum(parts)}" for part in parts) + "]"
    lines = [
        f"y:bf16[T_X,D] = reduce_scatter(x:bf16[T,D]{{U_X}}, over=X, {shares})",
        "z:bf16[T_X,D] = relu(y)",
        data.draw(
            st.sampled_from(
                [
                    "q:bf16[T,D] = all_gather(z, over=X)",
                    "q:bf16[T,D_X] = all_to_all(z, over=X)",
                    "q:bf16[T,D] = gather_to(z, over=X)",
                ]
            )
        ),
        "r:bf16[4] = custom(q, time=3 us)",
    ]
    runs = [taken(topology, *lines, mesh={"X": 4, "Y": 2}, fold=fold) for fold in (True, False)]
    assert runs[0].time_s == runs[1].time_s
    cuts = [runs[1].plan.cut(chip) for chip in range(8)]
    sizes = [cut.size(8000, "X", "T") if cut else 2000 for cut in cuts]
    assert sum(sizes) == 2 * 8000
    for group in runs[1].plan.system.groups("X"):
        for place, chip in enumerate(group):
            assert abs(sizes[chip] - Fraction(8000 * parts[place], sum(parts))) <= 1


# What is refused


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["y:bf16[B,F] = all_gather(x:bf16[B_Y,F], over=Y, shares=[1, 0])"],
            "shares= has 2 parts, a group over Y has 4 chips",
        ),
        (
            [
                "y:bf16[B_Y,F] = scatter(x:bf16[B,F], over=Y, shares=[1, 0, 0, 0])",
                "z:bf16[B,F] = all_gather(y, over=Y, shares=[0, 1, 0, 0])",
            ],
            "B over Y is cut otherwise by y",
        ),
        (
            ["y:bf16[B_X,F_Y] = all_to_all(x:bf16[B_Y,F_X], over=XY, shares=[1, 0, 0, 0, 0, 0, 0, 0])"],
            "shares= wants one dim that is over XY",
        ),
        (
            [
                "y:bf16[B_Y,F] = scatter(x:bf16[B,F], over=Y, shares=[1, 0, 0, 0])",
                "z:bf16[B_Y,F] = permute(y, over=Y)",
            ],
            "permute moves equal shards, y is cut unevenly over Y",
        ),
        (
            [
                "y:bf16[B_XY,F] = scatter(x:bf16[B,F], over=XY, shares=[1, 0, 0, 0, 0, 0, 0, 0])",
                "z:bf16[B_X,F] = all_gather(y, over=Y)",
            ],
            "y is cut unevenly over XY",
        ),
    ],
)
def test_parts_that_will_not_do_are_told(lines: Sequence[str], words: str) -> None:
    found = problems_of(*lines)
    assert any(words in problem for problem in found), found
    assert len(found) == 1


def test_weights_and_shares_of_one_dim_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(MOE.format(split="[1, 1, 1, 0]").replace("over=X)", "over=X, shares=[1, 0, 0, 0])"))
    with pytest.raises(ValueError, match="D over X is cut by split: already"):
        load_scenario(str(path))


# A chip that has nothing


SCATTERED = "q:bf16[H_X,S,E] = scatter(p:bf16[H,S,E], over=X, shares=[1/2, 1/2, 0, 0])"
NOTHING = {"H": 8, "S": 128, "E": 64, "R": 128, "G": 100, "W": 228, "F": 512}


@pytest.mark.parametrize("options", [{"overlap": "full"}, {"overlap": "auto", "padding": True}, {"overlap": "none"}])
@pytest.mark.parametrize(
    "line",
    [
        "z:bf16[H_X,S,F] = matmul(q, w:bf16[E,F])",
        "z:bf16[S,E,F]{U_X} = matmul(q, w:bf16[H_X,F])",
        "z:bf16[H_X,S,F] = matmul(q, w:bf16[E,F], efficiency=0.5)",
        "z:bf16[H_X,S,E] = attention(q, k:bf16[H_X,R,E], v:bf16[H_X,R,E], kind=standard)",
        "z:bf16[H_X,S,E] = attention(q, k:bf16[H_X,R,E], v:bf16[H_X,R,E], kind=flash, causal=true)",
        "z:bf16[H_X,S,E] = attention(q, k:bf16[H_X,R,E], v:bf16[H_X,R,E], kind=linear)",
        "z:bf16[H_X,S,E] = attention(q, k:bf16[R,E], v:bf16[R,E], kind=flash)",
        "z:bf16[H_X,W,E] = append(c:bf16[H_X,G,E], q)",
        "z:bf16[H_X,S,E] = softmax(q)",
        "z:bf16[H_X,S,E] = rms_norm(q)",
        "z:bf16[S,E]{U_X} = reduce(q)",
        "z:bf16[H_X,S,E] = relu(q)",
        "z:bf16[H,S,E] = all_gather(q, over=X)",
    ],
)
def test_a_chip_without_a_part_does_nothing_whatever_comes_next(line: str, options: Mapping[str, Any]) -> None:
    wired = parse_topology("switch(4)", H100.links)
    system = System(H100, wired, Mesh({"X": 4}))
    result = run([SCATTERED, line], NOTHING, system, RunOptions(**options))
    busy, idle = (result.plan.split.variant_of[chip] for chip in (0, 3))
    last = result.plan.kernels[-1]
    assert last.variants[idle].kernel.flops == 0
    assert last.variants[idle].hbm_bytes <= last.variants[busy].hbm_bytes
    assert result.time_s > 0
