"""The rows of "How to Scale Your Model", chapters on sharding, training and GPUs, against the scenarios that hold them.

Model: a row's answer follows from one word of a scenario of the library by a factor that the row's `why` explains: (N-1)/N
where the source leaves it out, an array's size where it prints a bandwidth. The scenarios claim what is exact.
Law: the answer agrees with the row's exact one, recomputed from its inputs, within 0.1 %; every row has its place.
Source: the rows' ids are those of the project's table of worked problems.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from hw import load_system
from hw.network import level_facts, overall_cut
from scenarios import load_scenario
from tests.support.claims import SLACK, Row, agree, number, of_library, outcome

TABLE = Path(__file__).parents[3] / "shared" / "data" / "book_cases.csv"
CHAPTERS = ("sharding", "training", "gpus")
ELSEWHERE = {
    "GP01": "a count of cores: tests/published/test_book_counts.py",
    "GP05": "one chip: library:thin_matmul_b200",
    "GP08": "one chip: library:add_vectors_h100",
    "GP29": "a clock: tests/published/test_book_counts.py",
}
"""Rows that say nothing of a network."""


def of(name: str, word: str) -> float:
    """A word of a scenario's run; its `find` as it is claimed, exactly (`overlapse check scenarios` runs the claims)."""
    if word != "find":
        return of_library(name, word)
    (claim,) = (each for each in load_scenario(f"library:{name}").claims if each.word == "find")
    assert isinstance(claim.want, (int, float))
    return claim.want


def mixed(*overrides: str) -> tuple[float, float, float]:
    """Seconds for weights, for activations and for the math of the block under fully sharded and tensor parallelism."""
    ran = outcome("mixed_sharding", *overrides).words
    weights, moved = (sum(number(ran, f"ops.{op}.t_network") for op in pair) for pair in (("win", "wout"), ("x", "y")))
    return weights, moved, number(ran, "t_math")


def best_axis() -> float:
    weights, moved, _ = mixed()
    return 16 * math.sqrt(moved / weights)


def least_tokens(tokens: int, *overrides: str) -> float:
    """Tokens at which the math takes as long as weights and activations do where these two are equal: the times of both go
    as X and 1/X, so that their product is the same for any X."""
    weights, moved, compute = mixed(f"workload.dims.B={tokens}", *overrides)
    return tokens * weights * moved / compute**2


POD = ("system.slice=16x16x16", "system.mesh.X=16", "system.mesh.Y=16", "system.mesh.Z=16")


def local_elements(system: str, axes: str, size: int) -> float:
    """Elements of a vector [I] sharded over some axes that a chip reads and writes: two bytes each way."""
    edits = [f"system={system}", f"workload.dims={{I: {size}}}", "expect=null", "run={overlap: full}"]
    edits.append(f'workload.ops=["y:bf16[I_{axes}] = relu(x:bf16[I_{axes}])"]')
    return of_library("all_gather_torus_all_axes", "hbm_bytes", *edits) / 4


def rack_egress() -> float:
    """Bytes/s between two racks: of the wiring, and of a transfer that fills it."""
    topology = load_system("gb200_nvl72", nodes=2).topology
    assert topology is not None
    cut = overall_cut(level_facts(topology))
    assert cut is not None
    by_run = 5184 * 16384 / of("gather_between_racks", "time")
    assert by_run == pytest.approx(cut.bytes_per_s, rel=1e-6)
    return cut.bytes_per_s


def row(id: str, answer: float, name: str, word: str, factor: float = 1.0, why: str = "") -> Row:
    """A row that is a word of a scenario times a factor."""
    return Row(id, answer, lambda: of(name, word) * factor, why)


ROWS = (
    row("SH04", 372.827e-6, "all_gather_ring", "time"),
    row("SH05", 559.241e-6, "all_gather_line", "time"),
    row("SH06", 3e-6, "all_gather_line_short", "t_overhead", why="the larger of latency and transfer for a hop"),
    row("SH10", 11.6508e-6, "all_reduce_in_cube", "time"),
    row("SH13", 2e-6, "all_gather_latency", "t_overhead", why="the hops alone"),
    Row("SH14", 16, lambda: 64 * local_elements("{chip: tpu_v5p, topology: 'torus(4,8,2)', mesh: {X: 4, Y: 8, Z: 2}}",
                                                "X", 4096) / 4096),
    row("SH15", 2550, "gather_weights_v5p", "find"),
    row("SH17", 0.745654e-3, "partial_sums_v5p", "lower_bound", why="the larger of two that overlap"),
    row("SH19", 23.3017e-6, "all_to_all_torus", "time"),
    row("SH20", 917504, "all_gather_one_way", "network_bytes", why="a byte a scalar, one link a chip"),
    row("SH24", 34.9525e-6, "gather_scatter_grid", "t_network"),
    Row("SH25", 268.435e6, lambda: of("gather_scatter_grid", "peak_memory") - (2 + 1 / 4) * 2 * 128 * 8192,
        "without the activations: two of 2BD and a quarter"),
    row("TN02", 850, "tokens_three_axes", "find"),
    row("TN03", 7.616e6, "pod_batch", "find"),
    row("TN07", 9.6e9, "parameters_that_fit", "find"),
    Row("TN10", 13.6931, best_axis),
    Row("TN11", 99.2203, lambda: least_tokens(48000) / 64),
    Row("TN12", 406406, lambda: least_tokens(409600, *POD)),
    row("TN13", 73440, "tokens_over_dcn", "find", 2, "(N-1)/N = 1/2; the next multiple of 64"),
    row("TN13", 73440, "tokens_over_dcn_many", "find", why="(N-1)/N = 1023/1024"),
    row("TN15", 130e9, "optimizer_memory", "peak_memory"),
    Row("TN18", 235.189, lambda: least_tokens(48000, "workload.dims.F=13824") / 64),
    row("TN19", 310.483e-3, "step_at_40_percent", "time"),
    Row("TN21", 0.179487, lambda: 1 - of("pipeline_bubble", "mfu")),
    row("TN23", 10.4392e-3, "gradients_v5p", "time"),
    row("GP11", 65.2447e-6, "all_gather_nvlink", "time"),
    row("GP12", 16.3112e-6, "all_to_all_node", "time"),
    Row("GP13", 412.903e9, lambda: 2 * 262144 * 1024 / of("all_gather_leaf", "time"), "V over the time"),
    Row("GP15", 4.5, lambda: of("all_to_all_two_nodes", "time") / of("all_to_all_node", "time") * 7 / 8,
        "(N-1)/N = 7/8 in the node; as many bytes a node"),
    row("GP16", 2200, "tokens_in_node", "find", 8 / 7, "(N-1)/N = 7/8"),
    row("GP17", 2475, "tokens_beyond_node", "find", 32 / 31, "(N-1)/N = 31/32"),
    row("GP17", 2475, "tokens_beyond_node_many", "find", why="(N-1)/N = 1023/1024"),
    row("GP19", 79200, "tokens_mixture_of_experts", "find", why="(N-1)/N = 1023/1024"),
    row("GP20", 1237.5, "tokens_two_nodes", "find", 1 / 8, "tokens of a node"),
    row("GP21", 5625, "tokens_b200", "find", 32 / 31, "(N-1)/N = 31/32"),
    row("GP21", 5625, "tokens_b200_many", "find", why="(N-1)/N = 1023/1024"),
    row("GP27", 167.772e-6, "all_gather_inner_sharded", "time", 4 / 3, "(N-1)/N = 3/4"),
    Row("GP30", 30720, lambda: local_elements("{base: dgx_h100, nodes: 256, mesh: {X: 2048}}", "X", 4096 * 15360)),
    Row("GP31", 3600e9, rack_egress),
    row("GP32", 493.921e-3, "pipeline_transfers", "time"),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_reached(row: Row) -> None:
    row.reached()


_PREFIX = {"us": 1e-6, "ms": 1e-3, "GB/s": 1e9, "MB": 1e6, "GB": 1e9, "B params": 1e9}


@pytest.mark.skipif(not TABLE.is_file(), reason="the table of worked problems is not beside this checkout")
def test_every_row_of_the_table_has_its_place() -> None:
    with TABLE.open(encoding="utf-8") as file:
        wanted = {line["id"]: line for line in csv.DictReader(file) if line["chapter"] in CHAPTERS}
    answers = {row.id: row.answer for row in ROWS}
    assert set(wanted) == set(answers) | set(ELSEWHERE)
    for name, answer in answers.items():
        line = wanted[name]
        assert answer == pytest.approx(float(line["expected"]) * _PREFIX.get(line["unit"], 1.0), rel=1e-6), name


# The step on 1 to 1000 GPUs

DF, C, HBM = 8192 * 28672, 9.9e14, 3.35e12


def step_s(gpus: int) -> float:
    """32 layers forward, then backward steps with the all-reduces beside them: the longer of the two 32 times. The gradients
    pass HBM twice; on a single GPU there is nothing to reduce."""
    tokens, inside, nodes = math.ceil(2**20 / gpus), min(gpus, 8), max(1, gpus // 8)
    forward, backward = 4 * tokens * DF / C, 8 * tokens * DF / C
    reduce = max(
        8 * DF * (inside - 1) / inside / 4.5e11, DF * (nodes - 1) / nodes / 5e10, 8 * DF / HBM if gpus > 1 else 0.0
    )
    return 32 * forward + (32 * backward + reduce if backward >= reduce else backward + 32 * reduce)


NODES = [8 * nodes for nodes in (1, 2, 4, 8, 16, 32, 64, 125)]


@pytest.mark.parametrize(("name", "sizes"), [("ddp_nodes_h100", NODES), ("ddp_1_to_1000_h100", [1, 2, 4, *NODES])])
def test_every_row_of_the_study_is_its_closed_form(name: str, sizes: list[int]) -> None:
    rows = outcome(name).study
    assert list(rows["error"]) == [""] * len(sizes)
    for gpus, time_s in zip(sizes, rows["time"], strict=True):
        agree(f"{gpus} GPUs", time_s, step_s(gpus), SLACK)


@pytest.mark.parametrize(("nodes", "hidden"), [(53, True), (54, False)])
def test_a_backward_step_hides_an_all_reduce_up_to_53_nodes(nodes: int, hidden: bool) -> None:
    """249 ms / n against 4.698 ms (n-1)/n; the last one always sticks out."""
    ran = outcome("ddp_nodes_h100", f"system.nodes={nodes}").words
    tail = number(ran, "time") - number(ran, "t_math")
    assert (tail < 1.001 * number(ran, "t_network") / 32) == hidden
