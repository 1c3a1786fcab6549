"""What is predicted of a row lies within its own bounds: the work of the busiest resource, and nothing beside anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hw import Mark, System, load_chip
from scenarios.validation import Row, TrainingRow, model_of, operator_graph, read_training_rows, told
from scenarios.validation.operators import OPERATORS
from simulator import Estimator, Parallel, RunOptions, Training, simulate, train_graph

TABLES = Path(__file__).parents[3] / "docs" / "accuracy"
NEARLY = 1 + 1e-9

PARAMS = {
    "mib": 64, "rows": 512, "cols": 2048, "n": 2**20, "b": 2, "h": 8, "s": 512, "d": 128, "tokens": 512, "vocab": 4096,
    "params": 2**20, "top": 2, "experts": 8, "ff": 512, "c": 32, "hw": 28, "cin": 64, "cout": 64, "kernel": 3, "stride": 1,
    "m": 1024, "k": 1024, "scale": 2,
}  # fmt: skip

CELLS = {
    "source": "own", "model": "small", "layers": "4", "hidden": "1024", "heads": "16", "ffn": "4096", "seq": "512",
    "vocab": "50257", "global_batch": "16", "micro_batch": "1", "tp": "1", "pp": "1", "dp": "1", "recompute": "none",
    "seq_parallel": "False", "dtype": "fp16", "n_chips": "8", "chip": "A100", "sharding": "none",
}  # fmt: skip

STEPS: Mapping[str, Mapping[str, str]] = {
    "data": {"dp": "8"},
    "tensor": {"tp": "8"},
    "pipeline": {"pp": "4", "dp": "2", "interleave": "1"},
    "all three": {"tp": "2", "pp": "2", "dp": "2", "recompute": "full"},
    "two nodes": {"dp": "16", "n_chips": "16", "interconnect": "800 Gbps/node"},
    "shared out": {"dp": "8", "sharding": "FSDP FULL_SHARD", "dtype": "bf16", "chip": "H100-80GB-SXM"},
    "gradients shared out": {"dp": "8", "sharding": "FSDP SHARD_GRAD_OP", "dtype": "bf16"},
}


def within(row: TrainingRow) -> None:
    step = told(row)
    found = Estimator(step.model, step.system, step.options).estimate(step.parallel, step.training)
    assert 0 < found.lower_bound <= found.earliest * NEARLY
    assert found.earliest <= found.upper_bound * NEARLY


@pytest.mark.parametrize("cells", STEPS.values(), ids=STEPS)
def test_a_step_is_within_its_bounds(cells: Mapping[str, str]) -> None:
    within(TrainingRow(Mark("rows.csv", 2), {**CELLS, **cells}, 1.0))


def test_published_steps_are_within_their_bounds() -> None:
    for row in read_training_rows(TABLES / "korthikanti_2022.csv")[:4]:
        within(row)


@pytest.mark.parametrize("chip", ["h100_sxm", "a100_80gb_sxm"])
def test_an_operator_is_within_its_bounds(chip: str) -> None:
    suites = [
        *OPERATORS,
        ("fusion", "unfused"),
        ("fusion", "fused"),
        ("matmul", "square"),
        ("conv", "conv2d_fwd"),
        ("conv", "conv2d_bwd"),
    ]
    system = System(load_chip(chip))
    tick_s = 2e-12  # a run counts in picoseconds
    for suite, name in suites:
        graph = operator_graph(Row(suite, name, Mark("rows.csv", 2), PARAMS, 1.0))
        assert graph is not None
        found = simulate(graph, system, RunOptions(calibration="measured"))
        assert 0 < found.lower_bound_s <= found.time_s + tick_s, name
        assert found.time_s <= found.upper_bound_s + tick_s, name


@pytest.mark.parametrize(("links", "kernels"), [(1, 1), (2, 3), (4, 6), (16, 24)])
def test_a_chain_has_a_kernel_for_each_link_or_one(links: int, kernels: int) -> None:
    """Every second link is a product and a sum. Fused, a chain reads and writes its elements once."""
    params = {"n": 2**24, "k": links}
    system, options = System(load_chip("h100_sxm")), RunOptions(calibration="measured")
    found = {}
    for name in ("unfused", "fused"):
        graph = operator_graph(Row("fusion", name, Mark("rows.csv", 2), params, 1.0))
        assert graph is not None
        found[name] = [planned.kernel for planned in simulate(graph, system, options).plan.kernels]
    assert [len(found[name]) for name in ("unfused", "fused")] == [kernels, 1]
    assert sum(each.hbm_bytes for each in found["unfused"]) == kernels * sum(each.hbm_bytes for each in found["fused"])
    assert sum(each.hbm_bytes for each in found["fused"]) == 2 * 2 * 2**24


@pytest.mark.parametrize("dispatch", ["eager", "compiled", "graph"])
def test_a_step_on_one_chip_is_within_its_bounds(dispatch: str) -> None:
    given = {
        "layers": 2, "d": 512, "heads": 8, "kv_heads": 8, "ff": 2048, "seq": 256, "vocab": 1000, "norm": "rms",
        "act": "swiglu", "bias": False, "causal": True, "position": "rope", "tied": False,
    }  # fmt: skip
    graph = train_graph(model_of(given), Parallel(microbatch=2), Training(batch=2, seq=256, eager=dispatch == "eager"))
    options = RunOptions(calibration="measured", dispatch=dispatch)  # type: ignore[arg-type]
    found = simulate(graph, System(load_chip("h100_sxm")), options)
    assert 0 < found.lower_bound_s <= found.time_s * NEARLY
    assert found.time_s <= found.upper_bound_s * NEARLY
