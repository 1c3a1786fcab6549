"""The rows of "How to Scale Your Model", chapters on transformers, training and inference, about models, against what is
built here: parameters of descriptions, steps of models, and scenarios of the library.

Model: a row's answer follows from one word of a scenario, or from the counts of a description, by a factor that the row's
`why` explains. A causal mask leaves half of the pairs that the source counts.
Law: the answer agrees with the row's exact one within 1 %; every row has its place.
Source: the rows' ids are those of the project's table of worked problems.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from hw import load_chip
from scenarios import load_scenario
from scenarios.models import load_model
from simulator.models import Transformer, parts
from tests.support.claims import Row, agree, number, of_library, outcome

TABLE = Path(__file__).parents[3] / "shared" / "data" / "book_cases.csv"
CHAPTERS = ("transformers", "applied-training", "inference", "applied-inference")
ELSEWHERE = {
    "AI17": "tokens that leave a queue of requests: a count",
    "AT08": "a count: 4 Mi tokens over 8960 chips",
}
"""Rows that say nothing of a model's FLOPs, bytes, memory or time."""


def described(name: str) -> Transformer:
    model = load_model(name).description
    assert isinstance(model, Transformer)
    return model


def inline(name: str) -> Transformer:
    """The model that a scenario of the library writes down."""
    run = load_scenario(f"library:{name}").model
    assert run is not None
    model = run.model.description
    assert isinstance(model, Transformer)
    return model


def matrices(model: Transformer, active: bool = False) -> float:
    """Parameters without norms, of which a token uses all, or its share of the experts."""
    return float(
        sum(
            part.count * weight.size * (weight.share if active else 1)
            for part in parts(model)
            for weight in part.weights
            if weight.use != "vector" and weight.same_as is None
        )
    )


@cache
def of_row(name: str, at: int, word: str) -> float:
    """A word of a row of a study."""
    return float(outcome(name).study.iloc[at][word])


def intensity_of_attention() -> float:
    """Matmul FLOPs of a token's attention over its bytes: grouped queries, four to a head of keys."""
    ran = outcome("decode_llama2_13b_grouped", GROUPED).words
    chip = load_chip("tpu_v5e")
    flops = number(ran, "ops.a.0.t_math") * chip.matrix_unit.peak_flops_per_s["bf16"]
    assert chip.hbm is not None
    return flops / (number(ran, "ops.a.0.t_memory") * chip.hbm.bytes_per_s)


GROUPED = "workload={model: {base: llama3_8b}, mode: decode, batch: 1, context: 8191, parallel: {tp: 8}}"


def critical_tokens() -> float:
    """Tokens at which an expert's matmul takes as long as its weights: the time of the one goes as the batch."""
    ran = outcome("decode_experts_int8", "workload.precision=bf16").words
    return 128 * number(ran, "ops.egate_0.0.t_memory") / number(ran, "ops.egate_0.0.t_math")


def tokens_that_attention_needs(name: str, tokens: int, beside: dict[str, int]) -> float:
    """The length at which attention of all pairs costs as much as some matmuls, so many of each: its share goes as the
    length, and a causal mask leaves half of it."""
    ran = outcome(name).words
    matmuls = sum(count * number(ran, f"ops.{op}.0.t_math") for op, count in beside.items())
    return tokens * matmuls / (2 * number(ran, "ops.a.0.t_math"))


def flops_of_a_chip() -> float:
    """A matmul that two of three axes of 4 x 8 x 4 chips share."""
    system = "system={chip: tpu_v5p, topology: 'torus(4,8,4)', mesh: {X: 4, Y: 8, Z: 4}}"
    op = "y:bf16[B_X,F]{U_Y} = matmul(a:bf16[B_X,D_Y], w:bf16[D_Y,F])"
    edits = [system, "workload.dims={B: 4096, D: 4096, F: 4096}", f'workload.ops=["{op}"]', "expect=null"]
    return of_library("all_gather_torus_all_axes", "flops", *edits)


def latency_bound_bytes() -> float:
    """What eight chips can gather in the latency of a hop each."""
    link = load_chip("tpu_v5e").links["ici"]
    assert link.latency_s is not None
    return 8 * link.latency_s * link.bytes_per_s


YEAR = 365 * 86400
POD = 8960


def peak(chip: str) -> float:
    return load_chip(chip).matrix_unit.peak_flops_per_s["bf16"]


def six_pd(tokens: float) -> float:
    """FLOPs of a training of Llama 3 70B by the parameters of its description."""
    return 6 * matrices(described("llama3_70b")) * tokens


def stored_on_pod() -> float:
    """Ten bytes a parameter, and four arrays of a block for four million tokens: shares of a chip."""
    model = described("llama3_70b")
    saved = 4 * 2 * model.d_model * model.layers * 4e6
    return (10 * matrices(model) + saved) / POD


def row(id: str, answer: float, name: str, word: str, why: str = "") -> Row:
    """A row that is a word of a scenario."""
    return Row(id, answer, lambda: of_library(name, word), why)


def batch(id: str, answer: float, name: str, at: int) -> Row:
    """A row that is the time of a study's row."""
    return Row(id, answer, lambda: of_row(name, at, "t_memory"))


def chips(id: str, answer: float, bytes_each: float) -> Row:
    """TPU v5e that hold Llama 3 70B in so many bytes a parameter."""
    return Row(id, answer, lambda: matrices(described("llama3_70b")) * bytes_each / 16e9)


ROWS = (
    Row("TR01", 65536, lambda: tokens_that_attention_needs("attention_beside_matmuls", 65536, {"q": 4, "gate": 3})),
    Row("TR03", 8192, lambda: tokens_that_attention_needs("attention_beside_projections", 8192, {"q": 4})),
    row("TR06", 83.8861e12, "activations_saved", "peak_memory"),
    Row("TR07", 4.1943e12, lambda: of_library("activations_recomputed", "peak_memory") - 3 * 2 * 4e6 * 8192,
        "without gradients and what the last block made"),
    Row("TR14", 4.29497e9, flops_of_a_chip),
    Row("IN15", 360000, latency_bound_bytes),
    Row("TR13", 3.99805, intensity_of_attention),
    Row("AT01", 70.5524e9, lambda: matrices(described("llama3_70b"))),
    Row("AT02", 420e9, lambda: six_pd(1)),
    Row("AT03", 435.232 * YEAR, lambda: six_pd(15e12) / peak("tpu_v5p")),
    Row("AT04", 44.3247 * 86400, lambda: six_pd(15e12) / (POD * peak("tpu_v5p") * 0.4)),
    Row("AT06", 1752.18 * 86400, lambda: six_pd(15e12) / (225 * peak("tpu_v5p") * 0.4) * 44 / 44.3247,
        "the row goes on from 44 days, rounded from 44.32"),
    Row("AT07", 2.4187e9, stored_on_pod),
    batch("IN04_1", 4.98476e-3, "decode_llama2_13b", 0),
    batch("IN04_64", 69.3293e-3, "decode_llama2_13b", 2),
    batch("IN05_8", 5.59756e-3, "decode_llama2_13b_grouped", 0),
    batch("IN05_64", 17.0366e-3, "decode_llama2_13b_grouped", 1),
    batch("IN05_240", 52.9878e-3, "decode_llama2_13b_grouped", 2),
    Row("IN06", 18.3852e9, lambda: matrices(inline("decode_long_context_fits"))),
    Row("IN09", 211.659e9, lambda: matrices(inline("decode_experts_int8"))),
    Row("IN10", 31.2701e9, lambda: matrices(inline("decode_experts_int8"), active=True)),
    Row("IN11", 1920, critical_tokens),
    row("IN12", 2.01657e-3, "decode_experts_int8", "t_memory"),
    row("IN17", 327.36e-6, "weights_of_a_layer", "t_memory"),
    Row("AI01", 163840, lambda: float(described("llama3_70b").attention.cached * described("llama3_70b").layers)),
    row("AI04", 17.2179e-3, "decode_llama3_70b_int8", "t_memory"),
    chips("AI06", 8.75, 2),
    chips("AI07", 4.375, 1),
    chips("AI08", 2.1875, 0.5),
    row("AI14", 17.9025e-6, "decode_llama3_70b_32_chips", "ops.gate.0.t_memory"),
    row("AI15", 4.76916e-6, "decode_llama3_70b_32_chips", "ops.gate.0.t_math"),
    row("AI20", 3.93429e17, "flops_per_dollar_v5p", "flops_per_usd"),
    row("AI21", 5.91e17, "flops_per_dollar_v5e", "flops_per_usd"),
    row("AI22", 7.71723e-3, "decode_llama3_405b_int8", "t_memory"),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_reached(row: Row) -> None:
    row.reached(0.01)


def test_seven_long_contexts_fit_and_eight_do_not() -> None:
    """IN07: the search that the scenario claims, at its two sides."""
    for count, fits in ((7, True), (8, False)):
        ran = outcome("decode_long_context_fits", f"workload.batch={count}", "study=null", "expect=null").words
        assert ran["fits"] is fits


_PREFIX = {"us": 1e-6, "ms": 1e-3, "GB": 1e9, "TB": 1e12, "years": YEAR, "days": 86400, "%": 0.01}
_ALREADY = {"AT09": "mixed sharding", "AT10": "mixed sharding", "IN07": "above", "TR08": "8 / 6", "TR10": "utilisation"}
"""Rows of the tests below and above."""


@pytest.mark.skipif(not TABLE.is_file(), reason="the table of worked problems is not beside this checkout")
def test_every_row_of_the_table_has_its_place() -> None:
    with TABLE.open(encoding="utf-8") as file:
        wanted = {line["id"]: line for line in csv.DictReader(file) if line["chapter"] in CHAPTERS}
    answers = {row.id: row.answer for row in ROWS}
    assert set(wanted) == set(answers) | set(ELSEWHERE) | set(_ALREADY)
    for name, answer in answers.items():
        line = wanted[name]
        assert answer == pytest.approx(float(line["expected"]) * _PREFIX.get(line["unit"], 1.0), rel=1e-5), name


# Rows of two runs


def mixed(tokens: int, width: int, places: int) -> tuple[float, float, float]:
    """Seconds for weights, activations and math of a block, fully sharded over all but 16 of 16 x 16 x 16 or fewer chips."""
    dims = f"workload.dims.B={tokens}", f"workload.dims.F={width}"
    pod = [f"system.slice={places}x{places}x{places}", *(f"system.mesh.{axis}={places}" for axis in "XYZ")]
    ran = outcome("mixed_sharding", *dims, *(pod if places != 4 else [])).words
    weights, moved = (sum(number(ran, f"ops.{op}.t_network") for op in pair) for pair in (("win", "wout"), ("x", "y")))
    return weights, moved, number(ran, "t_math")


def test_fewest_tokens_a_chip_of_llama_70b() -> None:
    """AT09: at its best split; times of weights and activations go as X and 1/X."""
    weights, moved, compute = mixed(48000, 28672, 4)
    agree("AT09", 48000 * weights * moved / compute**2 / 64, 113.395)


def test_best_split_of_a_pod() -> None:
    """AT10: sqrt(2BN/F) of 4 Mi tokens on 8960 chips, from a split of 16 x 16 x 16 where B / N is the same."""
    tokens = round(2**22 / POD * 4096 / 256) * 256
    weights, moved, _ = mixed(tokens, 28672, 16)
    share = tokens / 4096 / (2**22 / POD)
    best = 256 * (moved / weights) ** 0.5
    agree("AT10", best * (POD / 4096) / share**0.5, 1619.09, 0.01)


def test_recomputing_all_costs_a_third_more() -> None:
    """TR08: 8PD over 6PD, head apart. The last matmul of a block makes nothing that its backward pass needs: it is not run
    again here, and is added to what is."""
    how = "workload={{model: {{base: llama3_70b, layers: 4}}, mode: train, batch: 1, seq: 512, recompute: {}}}"
    alone = ("system={chip: h100_sxm}", "study=null", "expect=null")
    full, none = (
        number(outcome("decode_llama2_13b", how.format(each), *alone).words, "t_math") * peak("h100_sxm")
        for each in ("full", "none")
    )
    model = described("llama3_70b")
    head = 6 * 512 * model.d_model * 128256
    last = 4 * 2 * 512 * model.d_model * (model.ffn.d_ff or 0)
    agree("TR08", 1 + (full - none + last) / (none - head), 4 / 3, 0.01)


def test_utilisation_of_deepseek_v3() -> None:
    """TR10: 6PD of 14.8e12 tokens over 2.79e6 hours of an H800 that does 1.513e15 FLOP/s. The row takes the 37B parameters
    that the authors print, a rounded number: what a token uses by the description is one that rounds to it."""
    loaded = load_model("deepseek_v3")
    assert loaded.published is not None
    assert loaded.published.active is not None
    printed = loaded.published.active
    per_parameter = 6 * 14.8e12 / (2.79e6 * 3600 * 1.513e15)
    agree("TR10", printed.value.value * per_parameter, 0.216207, 1e-5)
    used = matrices(described("deepseek_v3"), active=True) - described("deepseek_v3").d_model * 129280
    print(f"TR10 by the {used / 1e9:.2f}e9 parameters of the description: {used * per_parameter:.4%}")
    assert printed.agrees(round(used))
