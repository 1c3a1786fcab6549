"""Whose figure a word is where chips differ: always that of the chip with the most of it, of a run and of its ops alike.

By hand: a V100 (125 TFLOP/s, 0.9 TB/s) and an A100 (312 TFLOP/s, 2.039 TB/s) share 3000 rows one to two. The V100 takes
longer, the A100 computes and moves more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis import OP_WORDS, WORDS, Summary, combined, op_figures
from analysis.runs import busy_s
from hw import Mesh, System, load_chip, parse_topology
from scenarios.cli import app
from simulator import RunOptions, Simulation, parse_graph
from tests.support.calls import calls_of
from tests.support.strategies import chip_with, many, run

V100, A100 = load_chip("v100_sxm2_32gb"), load_chip("a100_80gb_sxm")
B, D, F = 3000, 2048, 4096
MATMUL = "y:fp16[B_X,F] = matmul(x:fp16[B_X,D], w:fp16[D,F])"
SHARED = [word for word in OP_WORDS if word in WORDS and word not in ("time", "bound_by")]


def words(lines: Sequence[str], shares: Sequence[float] = (1, 2), swapped: bool = False) -> Summary:
    """A run on the two chips; X is cut by the shares of (V100, A100)."""
    order = -1 if swapped else 1
    chips = (V100, A100)[::order]
    system = System(chips[0], parse_topology("switch(2) over nvlink", V100.links), Mesh({"X": 2}), chips)
    graph = replace(parse_graph(lines, {"B": B, "D": D, "F": F}), split={"X": list(shares)[::order]}, uneven="pad")
    simulation = Simulation(graph, system, RunOptions(overlap="full"))
    return Summary(simulation.plan, simulation.run)


def test_every_word_is_that_of_the_chip_with_the_most_of_it() -> None:
    found = words([MATMUL])
    v100, a100 = 2.0 * (B // 3) * D * F, 2.0 * (2 * B // 3) * D * F
    moved = [2.0 * (rows * D + D * F + rows * F) for rows in (B // 3, 2 * B // 3)]
    for prefix in ("", "ops.y."):
        assert found[f"{prefix}flops"] == pytest.approx(a100)
        assert found[f"{prefix}hbm_bytes"] == pytest.approx(moved[1])
        assert found[f"{prefix}intensity"] == pytest.approx(a100 / moved[1])
        assert found[f"{prefix}t_math"] == pytest.approx(v100 / 125e12)
        assert found[f"{prefix}t_memory"] == pytest.approx(max(moved[0] / 900e9, moved[1] / 2.039e12))
    assert found["ops.y.time"] == pytest.approx(v100 / 125e12, rel=1e-6)
    assert found["flops_per_s"] == pytest.approx(a100 / (v100 / 125e12), rel=1e-6)
    assert [found.chip_of(word) for word in ("flops", "hbm_bytes", "t_math")] == [1, 1, 0]


@given(st.lists(st.integers(1, 20), min_size=2, max_size=2), st.booleans())
def test_a_run_of_one_op_has_the_words_of_that_op(shares: list[int], swapped: bool) -> None:
    found = words([MATMUL], shares, swapped)
    for word in SHARED:
        assert found[f"ops.y.{word}"] == pytest.approx(found[word], rel=1e-12), word


def test_two_chips_swapped_have_the_same_words() -> None:
    lines = [MATMUL, "z:fp16[B_X,F] = relu(y)"]
    there, back = words(lines), words(lines, swapped=True)
    for word in (*SHARED, "time", "bound_by", "ops.y.time", "ops.z.flops", "ops.z.bound_by"):
        assert there[word] == back[word], word
    assert {there.chip_of("flops"), back.chip_of("flops")} == {0, 1}


def test_intensity_is_that_of_one_chip_not_one_ones_flops_over_anothers_bytes() -> None:
    """Chip 0 computes 1e12 FLOP over 1 GB, chip 1 1e10 FLOP over 4 GB: 1000 FLOP/B is the most of one chip."""
    lines = [
        "a:bf16[1] = custom(x:bf16[1], flops=1e12 FLOP, bytes=1e9 B, unit=matrix, on=0)",
        "b:bf16[1] = custom(z:bf16[1], flops=1e10 FLOP, bytes=4e9 B, unit=matrix, on=1)",
    ]
    result = run(lines, {}, many("line(2)", {"X": 2}, chip_with("tpu_v5p", {})))
    found = Summary(result.plan, lambda: result)
    assert found["intensity"] == pytest.approx(1000.0)
    assert [found.chip_of(word) for word in ("flops", "hbm_bytes", "intensity")] == [0, 1, 0]


def test_ops_at_once_in_two_queues_share_the_run_not_twice_of_it() -> None:
    """Two copies side by side run all the time; together they are at work 100 % of it, not 200 %."""
    lines = ["a:bf16[N] = copy(x:bf16[N])", "b:bf16[N] = copy(z:bf16[N], queue=other)"]
    result = run(lines, {"N": 10**8}, System(load_chip("tpu_v5e")), RunOptions(overlap="full"))
    both = combined("both", op_figures(result))
    assert both.time_s == pytest.approx(2 * result.time_s)
    assert busy_s(result, [((0, 1), both.chip)]) == [pytest.approx(result.time_s)]


def test_the_screen_and_json_say_of_which_chip(tmp_path: Path) -> None:
    text = (
        "name: unlike\nsystem: {chips: [v100_sxm2_32gb, a100_80gb_sxm], topology: switch(2) over nvlink}\n"
        f"workload:\n  dims: {{B: {B}, D: {D}, F: {F}}}\n  ops:\n    - {MATMUL}\n  split: {{X: [1, 2]}}\n"
        "run: {overlap: full}\n"
    )
    file = tmp_path / "unlike.yaml"
    file.write_text(text)
    shown = CliRunner().invoke(app, ["run", str(file)], env={"COLUMNS": "80"})
    assert any(line.startswith("compute") and line.rstrip().endswith("chip 0") for line in shown.stdout.splitlines())
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    told = json.loads(CliRunner().invoke(app, ["run", str(file), "--json"]).stdout)
    assert told["chip_of"]["t_math"] == 0
    assert told["chip_of"]["flops"] == 1
    assert "time" not in told["chip_of"]


def test_words_of_chips_that_all_do_something_else_cost_what_their_kernels_do() -> None:
    """Twice as many chips, each of which sends something else to the first: about twice the work, not four times."""

    def work(chips: int) -> int:
        pairs = [(chip, 1_000 + 7 * chip) for chip in range(1, chips)]
        lines = [f"s{at}:bf16[{size}] = send(x{at}:bf16[{size}], from={at}, to=0)" for at, size in pairs]
        lines += [f"r{at}:bf16[{size}] = recv(from={at}, to=0)" for at, size in pairs]
        chip = load_chip("h100_sxm")
        system = System(chip, parse_topology(f"switch({chips}) over nvlink", chip.links), Mesh({"X": chips}))
        simulation = Simulation(parse_graph(lines, {}), system, RunOptions(overlap="full"))
        words = Summary(simulation.plan, simulation.run)
        _ = words["time"]
        return calls_of(lambda: [words[word] for word in ("flops", "hbm_bytes", "network_bytes", "peak_memory")])

    work(8)  # what is remembered, is
    assert work(161) < 2.6 * work(81)
