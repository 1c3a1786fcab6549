"""Steps of published models on GPUs that are named: what they are as ops, and rows beside predictions.

Source of the rows: github:sitar-lab/NeuSight 6945927 (Lee et al. 2025), measured in PyTorch, fp32; MIT.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw import SpecError, System, load_chip
from scenarios.validation.published import Asked, Shape, by_device, judged_published, model_graph, seconds
from simulator import RunOptions, simulate
from tests.support.cases import overlapse

HEAD = "model_name,seqlen,batch,device,mode,option,label_all_e2e_latency\n"
ROWS = """\
bert_large,512,2,NVIDIA_H100_80GB_HBM3,train,,74.7511
bert_large,512,16,NVIDIA_H100_80GB_HBM3,inf,,136.784
gpt2_large,1024,4,NVIDIA_H100_80GB_HBM3,inf,fusion,174.7327
gpt2_large,1024,4,Tesla_P100-PCIE-16GB,inf,,1303.0049
bert_large,512,8,NVIDIA_A100-PCIE-40GB,inf,,205.5055
opt_13,2048,2,AMD_Instinct_MI210,inf,,619.102
"""
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
        "switchxl4,512,1,NVIDIA_L4,inf,,5\nbert_large,512,1,Tesla_P4,inf,,5\nbert_large,512,1,NVIDIA_L4,inf,tp4,5\n"
    )
    found = judged_published(written(tmp_path, HEAD + unknown))
    assert [each.predicted_s for each in found] == [None, None, None]
    assert [each.group for each in by_device(found)][:2] == ["published NVIDIA_L4", "published Tesla_P4"]
    bad = "a,x,1,b,inf,,5\na,1,1,b,inf,,-5\na,1,1,b,both,,5\n"
    with pytest.raises(SpecError) as wrong:
        judged_published(written(tmp_path, "# a comment\n" + HEAD + bad))
    assert [problem.mark.line for problem in wrong.value.problems] == [3, 4, 5]
    with pytest.raises(SpecError, match="there are no columns batch"):
        judged_published(written(tmp_path, HEAD.replace("batch,", "") + "a,1,b,inf,,5\n"))


def test_the_command_has_modes_and_devices(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + ROWS.splitlines()[1] + "\n")
    asked = json.loads(overlapse("validate", str(path), "--json").stdout)
    assert [group["name"] for group in asked["groups"]] == ["published inference"]
    assert asked["rows"][0]["measured"] == pytest.approx(0.136784)
    shown = overlapse("validate", str(path)).stdout
    assert "published inference" in shown
    assert "NVIDIA_H100_80GB_HBM3" in shown
