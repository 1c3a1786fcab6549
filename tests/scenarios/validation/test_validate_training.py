"""Measured training steps beside estimates: rows as steps, what is left out and why, figures by hand, and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from hw import Mark, SpecError
from scenarios.validation import (
    LeftOutError,
    Trained,
    TrainingRow,
    by_source,
    read_training_rows,
    told,
    trained,
)
from tests.support.cases import overlapse

CELLS = {
    "source": "own", "model": "small", "layers": "2", "hidden": "1024", "heads": "16", "ffn": "4096", "seq": "512",
    "vocab": "50257", "global_batch": "8", "micro_batch": "2", "tp": "2", "pp": "1", "dp": "2", "interleave": "1",
    "recompute": "full", "seq_parallel": "False", "dtype": "fp16", "n_chips": "4", "chip": "A100", "sharding": "none",
    "interconnect": "", "measured_seconds_per_iteration": "0.1",
}  # fmt: skip


def row(
    line: int = 2, measured_s: float | None = 0.1, cells: Mapping[str, str] | None = None, **more: str
) -> TrainingRow:
    return TrainingRow(Mark("rows.csv", line), {**CELLS, **(cells or {}), **more}, measured_s)


def written(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "rows.csv"
    lines = [",".join(CELLS), *(",".join({**CELLS, **cells}.values()) for cells in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_row_of_megatron_is_told_as_it_ran() -> None:
    step = told(row(tp="2"))
    assert step.training.engine == "megatron"
    assert step.training.attention == "fused_softmax"
    assert (step.parallel.tp, step.parallel.dp, step.parallel.zero, step.parallel.microbatch) == (2, 2, 0, 2)
    # padded to whole multiples of 128 on each of two chips
    assert step.model.embedding is not None
    assert step.model.embedding.vocab == 50432
    assert step.system.size == 4


@pytest.mark.parametrize(
    ("heads", "batch", "wanted"), [("16", "8", 1), ("12", "8", 2), ("10", "8", 4), ("10", "2", 1), ("12", "6", 1)]
)
def test_a_row_without_a_microbatch_has_one_sequence_or_as_many_as_the_fused_softmax_asks_for(
    heads: str, batch: str, wanted: int
) -> None:
    """Heads on a chip of two, times sequences, are to be a multiple of four, if a replica's sequences (of two) allow it."""
    assert told(row(micro_batch="", heads=heads, global_batch=batch)).parallel.microbatch == wanted
    assert told(row(micro_batch="1", heads=heads, global_batch=batch)).parallel.microbatch == 1


def test_a_row_of_fsdp_is_told_as_it_ran() -> None:
    cells = {
        "sharding": "FSDP FULL_SHARD",
        "dtype": "bf16",
        "tp": "1",
        "dp": "16",
        "n_chips": "16",
        "chip": "H100-80GB-SXM",
    }
    step = told(row(cells=cells))
    assert (step.parallel.zero, step.training.engine, step.training.eager) == (3, "fsdp1", True)
    assert (step.parallel.prefetch, step.parallel.overlap_gradients) == (0, False)
    assert step.system.chip.name == "h100_sxm"
    full = {**cells, "recompute": "full"}
    noted = [
        told(row(cells={**full, "notes": notes})).training.recompute for notes in ("MP mode PURE", "MP mode DEFAULT")
    ]
    assert noted == ["whole", "full"]
    many = {"system": "MosaicML H100 80GB BF16 (Large Scale, >= 128 GPUs)"}
    reduced = [told(row(cells={**cells, **more})).training.precision.gradients for more in ({}, many)]
    assert reduced == ["bf16", "fp32"]


def modern(**cells: str) -> TrainingRow:
    """A row of today's Megatron: a model of the catalogue, and no shapes."""
    silent = dict.fromkeys(("hidden", "heads", "ffn", "vocab"), "")
    said = {
        "framework": "megatron-core",
        "model": "llama3_8b",
        "dtype": "fp8",
        "chip": "B200",
        "tp": "2",
        "dp": "4",
        "n_chips": "8",
    }
    return row(cells={**silent, **said, **cells})


def test_a_row_of_todays_megatron_is_told_as_it_ran() -> None:
    step = told(modern(layers="4"))
    assert (step.model.name, step.model.layers) == ("llama3_8b", 4)
    assert (step.training.engine, step.training.attention, step.training.precision.matmul) == (
        "megatron",
        "flash",
        "fp8",
    )
    assert (step.parallel.zero, step.parallel.sequence, step.parallel.overlap_gradients) == (1, True, True)
    assert step.system.chip.name == "b200"
    assert told(modern(layers="")).model.layers == 32
    apart = told(modern(overlap="none", dispatch="compiled", sharding="FSDP"))
    assert (apart.parallel.overlap_gradients, apart.parallel.zero, apart.options.dispatch) == (False, 3, "compiled")
    # of four chips that share experts two share a sequence, as Megatron-Core lays them out
    experts = told(modern(model="qwen3_30b_a3b", tp="1", dp="4", cp="2", ep="4", layers="")).parallel
    assert (experts.ep, experts.dp, experts.cp, experts.expert_chips) == (2, 2, 2, 4)
    turns = {"pp": "2", "tp": "1", "dp": "4", "layers": ""}
    assert [told(modern(**turns, schedule=said)).parallel.schedule for said in ("", "paired")] == ["1f1b", "paired"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"framework": "abacus"}, "framework abacus is not known"),
        ({"dtype": "fp5"}, "fp5 with megatron-core"),
        ({"model": "llama9"}, "llama9"),
        ({"schedule": "pair"}, "schedule pair is not known"),
        ({"model": "resnet50"}, "resnet50 is no transformer"),
        ({"ep": "3"}, "llama3_8b has no experts to lie on 3 chips"),
        ({"ep": "3", "model": "qwen3_30b_a3b"}, "experts lie on 3 chips, no multiple of 2"),
        ({"dispatch": "pigeon"}, "dispatch pigeon is not known"),
        ({"cp": "2"}, "are not its chips"),
    ],
)
def test_what_todays_megatron_does_not_say_is_left_out(cells: dict[str, str], said: str) -> None:
    (found,) = trained([modern(**cells)])
    assert found.predicted_s is None
    assert said in found.left_out


def test_a_network_slower_than_the_node_s_own_has_its_rate() -> None:
    """100 GB/s of a node whose eight ports have 25 GB/s each; inside one node there is none."""
    cells = {"interconnect": "NVLink; 800 Gbps/node inter", "dp": "8", "n_chips": "16"}
    assert told(row(cells=cells)).options.efficiency == {"infiniband": pytest.approx(0.5)}
    assert told(row(interconnect="800 Gbps/node")).options.efficiency == {}


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"seq": "", "dp": ""}, "does not say seq, dp"),
        ({"chip": "abacus"}, "abacus"),
        ({"dp": "4"}, "are not its chips"),
        ({"dtype": "fp8"}, "fp8 with Megatron-LM"),
        ({"dp": "6", "n_chips": "12"}, "multiple of 8"),
    ],
)
def test_what_cannot_be_told_is_left_out_and_says_why(cells: dict[str, str], said: str) -> None:
    with pytest.raises(LeftOutError, match=said):
        told(row(cells=cells))
    (found,) = trained([row(cells=cells)])
    assert found.predicted_s is None
    assert said in found.left_out


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"layers": "1000000000"}, "layers is 1000000000, and no whole number from 1 to 10,000"),
        ({"hidden": "1000000000000"}, "hidden is 1000000000000, and no whole number from 1 to 10,000,000"),
        ({"layers": "24.5"}, "layers is 24.5, and no whole number"),
        ({"layers": "0"}, "layers is 0, and no whole number"),
        ({"tp": "-2", "dp": "-2"}, "tp is -2, and no whole number"),
        ({"vocab": "many"}, "vocab is many, and no whole number"),
    ],
)
def test_counts_that_cannot_be_are_told_and_not_computed(cells: Mapping[str, str], said: str) -> None:
    (found,) = trained([row(cells=cells)])
    assert found.predicted_s is None
    assert said in found.left_out


def test_a_network_has_a_rate_with_a_fraction() -> None:
    """Of `100.5 Gbps/node` the 5 was read."""
    cells = {"dp": "8", "n_chips": "16", "global_batch": "16"}
    slow, half, fast = trained(
        [row(at, cells=cells, interconnect=f"{rate} Gbps/node") for at, rate in enumerate(("100", "100.5", "101"), 2)]
    )
    assert slow.predicted_s > half.predicted_s > fast.predicted_s  # type: ignore[operator]


def test_what_a_model_refuses_is_left_out_too() -> None:
    (found,) = trained([row(global_batch="7")])
    assert found.predicted_s is None
    assert found.left_out


def test_a_row_whose_model_cannot_be_is_left_out() -> None:
    (found,) = trained([row(kv_heads="7")])
    assert found.predicted_s is None
    assert "do not share 7 heads of keys and values evenly" in found.left_out


def test_figures_of_a_source_by_hand() -> None:
    """Twice as many layers of the same: 2 s and 4 s. Right in order but for one pair of three: 1 - 6 x 2 / 24 = 0.5."""
    rows = [row(at, measured, model="m") for at, measured in enumerate((1.0, 2.0, 3.0))]
    found = [Trained(each, time) for each, time in zip(rows, (1.0, 3.0, 2.5), strict=True)]
    (source,) = by_source(found)
    assert source.rank == pytest.approx(0.5)
    assert source.errors.mean == pytest.approx((0.0 + 0.5 + 1 / 6) / 3)
    # as many FLOPs in each: one efficiency predicts one time for all, and 1 s is the best of them
    tried = [sum(abs(at / 100 / each - 1) for each in (1, 2, 3)) / 3 for at in range(50, 400)]
    assert source.constant == pytest.approx(min(tried)) == pytest.approx((1 / 2 + 2 / 3) / 3)


def test_no_order_is_told_of_fewer_than_three_ways() -> None:
    (source,) = by_source([Trained(row(at), 0.1 * at) for at in (1, 2)])
    assert source.rank is None


def test_more_work_is_predicted_to_take_longer() -> None:
    one, more, deeper = trained([row(2), row(3, global_batch="16"), row(4, layers="4")])
    assert one.predicted_s is not None
    assert more.predicted_s is not None
    assert deeper.predicted_s is not None
    assert one.predicted_s < more.predicted_s
    assert one.predicted_s < deeper.predicted_s


def test_several_processes_predict_the_same() -> None:
    rows = [row(2), row(3, layers="3"), row(4, seq="")]
    alone, beside = trained(rows), trained(rows, jobs=2)
    assert [each.predicted_s for each in alone] == [each.predicted_s for each in beside]
    assert [each.row.mark.line for each in beside] == [2, 3, 4]


def test_every_line_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, {"measured_seconds_per_iteration": "soon"}, {}, {"measured_seconds_per_iteration": "-1"})
    with pytest.raises(SpecError) as wrong:
        read_training_rows(path)
    assert [problem.mark.line for problem in wrong.value.problems] == [2, 4]


def test_the_command_says_how_far_off_each_source_is(tmp_path: Path) -> None:
    path = written(tmp_path, {}, {"source": "other", "seq": ""})
    shown = overlapse("validate", str(path), "--rows", "--jobs", "1")
    assert shown.exit_code == 0
    assert "own small" in shown.stdout
    assert "other: left out: does not say seq" in " ".join(shown.stderr.split())
    found = json.loads(overlapse("validate", str(path), "--json", "--jobs", "1").stdout)
    assert [each["count"] for each in found["sources"]] == [1, 0]
    assert math.isfinite(found["rows"][0]["predicted"])
    assert found["rows"][1]["predicted"] is None
