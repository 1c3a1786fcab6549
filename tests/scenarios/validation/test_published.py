"""Steps of published models on GPUs that are named: what they are as ops, and rows beside predictions.

Source of the rows: github:sitar-lab/NeuSight 6945927 (Lee et al. 2025), measured in PyTorch, fp32; MIT.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw import Mark, SpecError, System, load_chip
from scenarios.validation import Row
from scenarios.validation.published import (
    Asked,
    Shape,
    by_device,
    judged_published,
    layout_of,
    model_graph,
    seconds,
    shared_seconds,
)
from simulator import RunOptions, simulate
from tests.support.cases import overlapse

HEAD = "model_name,seqlen,batch,device,mode,option,label_all_e2e_latency\n"
ROWS = """\
bert_large,512,2,NVIDIA_H100_80GB_HBM3,train,,74.7511
bert_large,512,16,NVIDIA_H100_80GB_HBM3,inf,,136.784
gpt2_large,1024,4,NVIDIA_H100_80GB_HBM3,inf,fusion,174.7327
gpt2_large,1024,4,Tesla_P100-PCIE-16GB,inf,,1303.0049
bert_large,512,8,NVIDIA_A100-PCIE-40GB,inf,,205.5055
gpt2_large,1024,4,NVIDIA_A100-SXM4-40GB,train,dp4,452.2998
gpt2_large,1024,4,NVIDIA_A100-SXM4-40GB,train,pp4_1,1597.641
opt_13,2048,2,AMD_Instinct_MI210,inf,,619.102
"""
H100 = "NVIDIA_H100_80GB_HBM3"
TINY = Shape("gpt2", 3, 256, 4, 1024, 1000)


def written(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def matrix_flops(shape: Shape, asked: Asked, layers: int) -> float:
    result = simulate(model_graph(shape, asked, layers), System(load_chip("h100_sxm")), RunOptions(overlap="full"))
    return sum(planned.kernel.matrix_flops for planned in result.plan.kernels)


def test_published_rows_are_within_their_errors(tmp_path: Path) -> None:
    for each in judged_published(written(tmp_path, HEAD + ROWS)):
        print(f"{each.row.params['device']:24} {each.row.name} {each.row.mode}: {each.error:+.1%}")
        assert abs(each.error) < 0.1


@pytest.mark.parametrize("family", ["gpt2", "bert", "opt"])
def test_a_layer_has_the_matmuls_of_a_transformer_and_its_backward_pass_twice_as_many(family: str) -> None:
    """Forward 2 BS (4 D^2 + 2 DF) + 4 B S^2 D a layer, and 2 BSDV of the head: with both passes three times as much."""
    shape = Shape(family, 3, 256, 4, 1024, 1000)  # type: ignore[arg-type]
    tokens, layer = 2 * 128, 4 * 256**2 + 2 * 256 * 1024
    of_layer = 2 * tokens * layer + 4 * 2 * 128**2 * 256
    of_head = 2 * tokens * 256 * 1000
    forward, both = (Asked(2, 128, trains) for trains in (False, True))
    for fused in (False, True):
        plain = Asked(2, 128, fused=fused)
        assert matrix_flops(shape, plain, 2) - matrix_flops(shape, plain, 1) == of_layer
    assert matrix_flops(shape, both, 2) == 3 * (2 * of_layer + of_head)
    assert matrix_flops(shape, forward, 2) == 2 * of_layer + (of_head if family != "bert" else 0)


def test_alike_layers_take_alike_and_a_compiler_saves_passes() -> None:
    """On two chips of one HBM the extrapolation from two layers is what three take, but for where the host decides."""
    system, asked = System(load_chip("t4")), Asked(8, 512)
    whole = simulate(model_graph(TINY, asked, 3), system, RunOptions(calibration="measured", dispatch="eager")).time_s
    assert seconds(TINY, asked, system) == pytest.approx(whole, rel=0.01)
    assert seconds(TINY, Asked(8, 512, fused=True), system) < seconds(TINY, asked, system)


def test_what_is_not_known_is_left_out_and_every_wrong_line_is_told(tmp_path: Path) -> None:
    unknown = (
        "switchxl4,512,1,NVIDIA_L4,inf,,5\nbert_large,512,1,Tesla_M4,inf,,5\nbert_large,512,1,NVIDIA_L4,inf,tp4,5\n"
        # only pipelines have microbatches; BERT is no decoder; five sequences for two; GPUs without links; no training
        "gpt2_large,1024,4,NVIDIA_H100_80GB_HBM3,train,dp4_2,5\nbert_large,512,4,NVIDIA_H100_80GB_HBM3,train,tp4,5\n"
        "gpt2_large,1024,5,NVIDIA_H100_80GB_HBM3,train,dp2,5\ngpt2_large,1024,4,NVIDIA_L4,train,dp4,5\n"
        "gpt2_large,1024,4,NVIDIA_H100_80GB_HBM3,inf,tp4,5\n"
    )
    found = judged_published(written(tmp_path, HEAD + unknown))
    assert [each.predicted_s for each in found] == [None] * 8
    assert [each.group for each in by_device(found)][:2] == ["published NVIDIA_L4", "published Tesla_M4"]
    bad = "a,x,1,b,inf,,5\na,1,1,b,inf,,-5\na,1,1,b,both,,5\n"
    with pytest.raises(SpecError) as wrong:
        judged_published(written(tmp_path, "# a comment\n" + HEAD + bad))
    assert [problem.mark.line for problem in wrong.value.problems] == [3, 4, 5]
    with pytest.raises(SpecError, match="there are no columns batch"):
        judged_published(written(tmp_path, HEAD.replace("batch,", "") + "a,1,b,inf,,5\n"))


def test_gradients_are_added_to_those_of_the_passes_before() -> None:
    """Each weight's is added to its sum, of the same form: nothing sets it back between the passes that are timed."""
    graph = model_graph(TINY, Asked(2, 128, True), 2)
    sums = [op for op in graph.every_op() if op.kind == "accumulate"]
    made = {op.name for op in graph.every_op()}
    weights = {tensor.name for op in model_graph(TINY, Asked(2, 128), 2).every_op() for tensor in op.inputs} - made
    assert {op.name for op in sums} == {f"d{name}sum" for name in weights - {"ids", "mask"}}
    assert all(op.output.dims == op.inputs[0].dims == op.inputs[1].dims for op in sums)


def on_four(option: str, batch: int = 4) -> float:
    row = Row("published", "gpt2_large", Mark("", 1), {"batch": batch, "seq": 1024, "device": H100}, 1.0)
    layout = layout_of(option)
    assert layout is not None
    found = shared_seconds(Shape("gpt2", 36, 1280, 20, 5120, 50257), row, layout)
    assert found is not None
    return found


def test_several_gpus_share_what_an_option_says() -> None:
    """A pipeline of one microbatch has one stage at work at a time, four microbatches (4 + 3) / 16 of that but for what is
    small in them; who shares the batch or layers takes about a fourth, and the reduction of gradients, or of sums, more."""
    alone, whole = on_four("pp1_1"), on_four("pp4_1")
    assert whole == pytest.approx(alone, rel=0.05)
    assert 7 / 16 < on_four("pp4_4") / whole < 0.65
    assert 1 / 4 < on_four("dp4") / alone < 0.4
    assert 1 / 4 < on_four("tp4") / alone < 0.4
    assert on_four("dp4", 16) > on_four("dp4")


def test_the_command_has_modes_and_devices(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + ROWS.splitlines()[1] + "\n")
    asked = json.loads(overlapse("validate", str(path), "--json").stdout)
    assert [group["name"] for group in asked["groups"]] == ["published inference"]
    assert asked["rows"][0]["measured"] == pytest.approx(0.136784)
    shown = overlapse("validate", str(path)).stdout
    assert "published inference" in shown
    assert "NVIDIA_H100_80GB_HBM3" in shown
