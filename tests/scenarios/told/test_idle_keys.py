"""Keys of a model's workload that change nothing are told, and only they: with them the graph is the one without."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import overlapse as ov
from hw import SpecError

MODELS = {"dense": "{base: llama3_8b, layers: 2}", "experts": "{base: gpt_oss_20b, layers: 2}", "vision": "vit_l_16"}
SIZES = {"train": "batch: 16, seq: 256", "forward": "batch: 16, seq: 256"}
SIZES |= {"prefill": "batch: 16, seq: 256", "decode": "batch: 16, context: 256"}
LAYOUTS = ("tp: 1", "dp: 2, zero: 3", "pp: 2", "ep: 2", "tp: 2, cp: 2", "pp: 2, dp: 2, zero: 2")
CASES = [("train", layout) for layout in LAYOUTS]
CASES += [(mode, layout) for mode in ("prefill", "decode") for layout in ("pp: 2, dp: 2, zero: 2", "tp: 2, cp: 2")]
CASES += [("forward", "dp: 2, zero: 3"), ("forward", "tp: 2, cp: 2")]
CHANGES = (
    *(f"parallel.schedule={each}" for each in ("gpipe", "interleaved", "zero_bubble")),
    *("parallel.sequence=false", "parallel.order=[pp, dp, ep, cp, tp]", "parallel.overlap_gradients=false"),
    *("parallel.zero=1", "parallel.zero=3", "parallel.overlap_tensor=false", "parallel.prefetch=0"),
    *("parallel.imbalance=4", "parallel.context=all_to_all", "parallel.collective_matmul=4", "parallel.microbatch=2"),
    *("attention=standard", "dropout=true", "engine=fsdp1", "dropless=false", "one_hot=true", "expert_biases=gathered"),
)


def _scenario(tmp_path: Path, model: str, mode: str, layout: str) -> Path:
    path = tmp_path / "step.yaml"
    path.write_text(
        f"name: step\nsystem: {{chip: h100_sxm, topology: switch({_chips(layout)}) over nvlink}}\n"
        f"workload: {{model: {model}, mode: {mode}, {SIZES[mode]}, parallel: {{{layout}}}}}\n"
    )
    return path


def _chips(layout: str) -> int:
    parts = dict(part.split(": ") for part in layout.split(", "))
    return math.prod(int(count) for key, count in parts.items() if key in ("dp", "tp", "cp", "ep", "pp"))


def _made(path: Path, *changes: str) -> tuple[Any, list[str]]:
    scenario = ov.load_scenario(str(path), changes)
    return (list(scenario.system.mesh.axes), scenario.graph), list(scenario.notes)


@pytest.mark.parametrize("model", ["dense", "experts"])
@pytest.mark.parametrize(("mode", "layout"), CASES)
def test_a_key_is_told_if_its_default_makes_the_same_graph(tmp_path: Path, model: str, mode: str, layout: str) -> None:
    path = _scenario(tmp_path, MODELS[model], mode, layout)
    plain, notes = _made(path)
    # what inference shares out is said by the layout itself
    said = [note.split(" (")[0] for note in notes if "changes nothing" in note]
    assert said == ["workload.parallel.zero"] * (mode in ("prefill", "decode") and "zero" in layout)
    for change in CHANGES:
        key = change.partition("=")[0]
        if (key == "parallel.zero" and "zero" in layout) or (mode != "train" and not key.startswith("parallel")):
            continue
        try:
            made, notes = _made(path, f"workload.{change}")
        except SpecError:
            continue  # what cannot be is refused
        told = any(f"workload.{key} (" in note and "changes nothing" in note for note in notes)
        assert told == (made == plain), (change, notes)


def test_what_a_stack_of_convolutions_has_not_is_told(tmp_path: Path) -> None:
    path = _scenario(tmp_path, "resnet50", "train", "dp: 2").read_text().replace(", seq: 256", "")
    (tmp_path / "step.yaml").write_text(path)
    assert not _made(tmp_path / "step.yaml")[1]  # that a replica computes all of its batch at once is not said
    changes = ["workload.dropout=true", "workload.attention=standard", "workload.parallel.imbalance=2"]
    _, notes = _made(tmp_path / "step.yaml", *changes)
    assert notes == [
        "workload.parallel.imbalance (2.0) changes nothing: the model has no experts",
        "workload.attention (standard) changes nothing: the model has no attention",
        "workload.dropout (true) changes nothing: the model has no attention",
    ]


def test_keys_of_studies_are_told_row_by_row_and_defaults_never(tmp_path: Path) -> None:
    path = _scenario(tmp_path, MODELS["dense"], "train", "tp: 1, schedule: 1f1b, zero: 0, imbalance: 1.0")
    assert not _made(path)[1]
    assert not _made(path, "workload.parallel.schedule=1f1b")[1]


@pytest.mark.parametrize(("mode", "layout"), [("forward", "dp: 1"), ("prefill", "dp: 1"), ("decode", "dp: 1")])
def test_blocks_that_do_not_add_up_are_refused_without_a_pipeline_too(tmp_path: Path, mode: str, layout: str) -> None:
    path = _scenario(tmp_path, MODELS["dense"], mode, layout)
    with pytest.raises(SpecError, match=r"layers has 2 numbers that add up to 4; 2 layers are cut into 1 chunks"):
        _made(path, "workload.parallel.layers=[1, 3]")


def test_a_forward_pass_gathers_weights_only_where_they_are_shared_out(tmp_path: Path) -> None:
    """ZeRO-1 and 2 share out what an optimizer has; without one every chip has its weights already."""
    path = _scenario(tmp_path, MODELS["dense"], "forward", "dp: 2")
    whole, shared = (ov.run(str(path), [f"workload.parallel.zero={zero}"]).summary["network_bytes"] for zero in (2, 3))
    assert whole == 0 != shared


OPTIONS = (
    "clocks=burst",
    "dispatch=eager",
    "dispatch=compiled",
    "collectives=tree",
    "routing=ecmp",
    "network=messages",
)
GATHER = (
    "dims: {I: 4096}, ops: ['y:bf16[I,I] = all_gather(x:bf16[I_X,I], over=X)', 'z:bf16[I,I] = matmul(y, w:bf16[I,I])']"
)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("calibration", ["spec", "measured"])
def test_options_of_a_run_are_told_where_they_change_nothing(tmp_path: Path, option: str, calibration: str) -> None:
    path = tmp_path / "gather.yaml"
    path.write_text(
        "name: gather\nsystem: {chip: h100_sxm, topology: 'dragonfly(2,2,2) over nvlink', mesh: {X: 8}}\n"
        f"workload: {{{GATHER}}}\nrun: {{calibration: {calibration}}}\n"
    )
    plain, changed = ov.run(path), ov.run(path, [f"run.{option}"])
    told = [note for note in changed.notes if note.startswith(f"run.{option.partition('=')[0]} (")]
    assert bool(told) == (calibration == "spec" and option.startswith(("clocks", "dispatch")))
    if told:
        assert changed.summary["time"] == plain.summary["time"]


@pytest.mark.parametrize("option", ["collectives=tree", "routing=ecmp", "network=messages", "network_share=0.5"])
def test_one_chip_has_no_network_to_choose_for(tmp_path: Path, option: str) -> None:
    path = tmp_path / "alone.yaml"
    path.write_text(
        f"name: alone\nsystem: {{chip: h100_sxm}}\nworkload: {{{GATHER.replace('_X', '').replace(', over=X', '')}}}\n"
    )
    path.write_text(path.read_text().replace("all_gather", "relu"))
    plain, changed = ov.run(path), ov.run(path, [f"run.{option}"])
    key, _, value = option.partition("=")
    assert changed.notes == [f"run.{key} ({value}) changes nothing: there is one chip"]
    assert changed.summary["time"] == plain.summary["time"]


@pytest.mark.parametrize(
    ("chip", "run", "option", "told"),
    [
        ("h100_sxm", "overlap: full", "tile_level=l1", True),
        ("h100_sxm", "overlap: none", "tile_level=l1", True),
        ("h100_sxm", "overlap: auto", "tile_level=l1", False),
        ("tpu_v5e", "overlap: full", "memory_latency=true", True),
        ("h100_sxm", "overlap: full", "memory_latency=true", False),
        ("h100_sxm", "overlap: full", "spread=0.1", True),
        ("tpu_v5e", "calibration: measured", "dispatch=eager", True),
        ("tpu_v5e", "calibration: measured", "dispatch=compiled", True),
        ("tpu_v5e", "calibration: measured", "dispatch=fused_graph", True),
        ("h100_sxm", "calibration: measured", "dispatch=eager", False),
        ("tpu_v5e", "calibration: measured", "clocks=burst", False),
    ],
)
def test_what_a_chip_or_another_option_leaves_nothing_to_do_is_told(
    tmp_path: Path, chip: str, run: str, option: str, told: bool
) -> None:
    """A matrix of 16,384 rows does not fit on a chip, so that its tiles are to be chosen."""
    path = tmp_path / "square.yaml"
    ops = "dims: {I: 16384}, ops: ['y:bf16[I,I] = matmul(x:bf16[I,I], w:bf16[I,I])', 'z:bf16[I,I] = relu(y)']"
    path.write_text(f"name: square\nsystem: {{chip: {chip}}}\nworkload: {{{ops}}}\nrun: {{{run}}}\n")
    plain, changed = ov.run(path), ov.run(path, [f"run.{option}"])
    assert bool(changed.notes) == told
    assert (changed.summary["time"] == plain.summary["time"]) == told


def test_what_fused_ops_pass_on_goes_by_the_level_whatever_the_overlap(tmp_path: Path) -> None:
    """A chain of a whole matrix spills where its level is small."""
    path = tmp_path / "fused.yaml"
    ops = "dims: {I: 4096}, ops: ['y:bf16[I,I] = softmax(x:bf16[I,I])', 'z:bf16[I,I] = softmax(y)'], fuse: [[y, z]]"
    path.write_text(f"name: fused\nsystem: {{chip: h100_sxm}}\nworkload: {{{ops}}}\nrun: {{overlap: full}}\n")
    assert not ov.load_scenario(path, ["run.tile_level=registers"]).notes


@pytest.mark.parametrize("layer", ["gcn", "sage"])
def test_of_a_graph_network_nothing_is_made_again(tmp_path: Path, layer: str) -> None:
    path = tmp_path / "graph.yaml"
    model = f"{{base: gcn_cora, layer: {layer}}}"
    path.write_text(f"name: g\nsystem: {{chip: h100_sxm}}\nworkload: {{model: {model}, mode: train}}\n")
    plain, _ = _made(path)
    for change in ("recompute=full", "offload=[activations]"):
        made, notes = _made(path, f"workload.{change}")
        assert any("changes nothing" in note for note in notes) == (made == plain), (layer, change)


def test_a_forward_pass_has_no_cache_to_be_narrow(tmp_path: Path) -> None:
    path = _scenario(tmp_path, MODELS["dense"], "forward", "tp: 1")
    with pytest.raises(SpecError, match="kv is of prefill and decode"):
        _made(path, "workload.precision={kv: int8}")


def test_a_changed_scenario_is_told_of_what_it_says_itself(tmp_path: Path) -> None:
    """Neither twice, as rows of a study would be, nor of what is not said any more."""
    path = _scenario(tmp_path, MODELS["dense"], "train", "tp: 1")
    scenario = ov.load_scenario(path, ["workload.parallel.schedule=gpipe"])
    assert len(scenario.having("workload.seq", 512).notes) == 1
    assert not scenario.having("workload.parallel.schedule", "1f1b").notes


def test_a_changed_scenario_leaves_nothing_of_its_base_behind_twice(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text(
        "name: node\nchip: h100_sxm\ntopology: switch(4) over nvlink\nset: {hbm.bandwidth: 3 TB/s}\n"
    )
    path = _scenario(tmp_path, MODELS["dense"], "train", "dp: 4")
    path.write_text(
        path.read_text().replace("{chip: h100_sxm, topology: switch(4) over nvlink}", "{base: node.yaml, chip: h200}")
    )
    notes = ["system.set is about h100_sxm, not h200; left behind: hbm.bandwidth"]
    scenario = ov.load_scenario(path)
    assert [list(each.notes) for each in (scenario, scenario.having("workload.seq", 512))] == [notes, notes]


WAYS = {
    "alone": "system: {chip: h100_sxm}\nworkload: {dims: {I: 4096}, ops: ['y:bf16[I] = relu(x:bf16[I])']}\n",
    "silent": "system: {chip: h100_sxm, topology: switch(4) over nvlink, mesh: {X: 4}}\n"
    "workload: {dims: {I: 4096}, ops: ['y:bf16[I_X] = relu(x:bf16[I_X])']}\n",
    # what sends is not written
    "sums": "system: {chip: h100_sxm, topology: 'dragonfly(2,2,2) over nvlink', mesh: {X: 8}}\n"
    "workload: {dims: {I: 4096}, ops: ['y:bf16[I,I] = matmul(x:bf16[I,I_X], w:bf16[I_X,I])']}\n",
    "amd": "system: {chip: mi300x}\nworkload: {dims: {I: 4096}, ops: ['y:bf16[I,I] = matmul(x:bf16[I,I], w:bf16[I,I])']}\n",
}


@pytest.mark.parametrize(
    ("way", "options", "told"),
    [
        ("alone", "sharding=auto", "there is one chip"),
        ("silent", "collectives=tree", "no chip sends anything"),
        ("silent", "routing=ecmp", "no chip sends anything"),
        ("silent", "network=messages", "no chip sends anything"),
        ("silent", "network_share=0.5", "no chip sends anything"),
        ("silent", "spread=0.1", "no chip waits for another"),
        ("sums", "collectives=tree", ""),
        ("sums", "spread=0.1", ""),
        ("sums", "network=messages", ""),
        ("sums", "network_share=0.5", ""),
        ("sums", "network=messages network_share=0.5", "messages hold no units of a chip"),
        ("amd", "clocks=burst calibration=measured", "what power leaves of their clocks was not measured"),
    ],
)
def test_options_about_what_chips_send_want_some_that_do(tmp_path: Path, way: str, options: str, told: str) -> None:
    path = tmp_path / "way.yaml"
    path.write_text(f"name: way\n{WAYS[way]}")
    said = [f"run.{each}" for each in options.split()]
    key = said[-1 if told.startswith("messages") else 0].partition("=")[0]
    changed, plain = ov.run(path, said), ov.run(path, [each for each in said if not each.startswith(f"{key}=")])
    assert [note.rpartition(": ")[2] for note in changed.notes if note.startswith(f"{key} (")] == (
        [told] if told else []
    )
    if told:
        assert changed.summary["time"] == plain.summary["time"]
