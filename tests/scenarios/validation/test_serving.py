"""Prefills and decodes of a serving engine on GPUs that rows name: what they are as ops, and rows beside predictions.

Source of the rows: github:zksainx/pipeweave 55e0317 (sglang); Apache-2.0.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw import Mesh, SpecError, System, load_chip, parse_topology
from scenarios.validation.published import Decoder, Step, engine_graph, engine_seconds, judged_serving
from simulator import RunOptions, parse_graph, simulate
from tests.support.cases import overlapse

HEAD = "Hardware,TP,PP,Model,Workload,real_prefill_ms,real_decode_ms\n"
FULL = HEAD.replace("Workload", "Workload,FA_Version")
ROWS = """\
A40,1,1,Qwen2.5-14B,arxiv_8,fa2,7049.569,62.791
A100,4,1,Llama-3.1-70B,arxiv_16,fa2,5798.68,33.394
H100,2,1,Qwen3-32B,arxiv_12,fa3,1882.409,16.781
H800,8,1,Llama-3.1-70B,splitwise_64,fa3,3310.031,15.902
"""
PLAIN = "A40,1,1,Qwen2.5-14B,arxiv_8,7049.569,62.791\n"
SMALL = Decoder(4, 512, 8, 2, 64, 1536, 1000)


def written(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def test_served_rows_are_within_their_errors(tmp_path: Path) -> None:
    found = judged_serving(written(tmp_path, FULL + ROWS))
    assert [each.row.mode for each in found] == ["prefill", "decode"] * 4
    for each in found:
        print(f"{each.row.params['device']:10} {each.row.name} {each.row.mode}: {each.error:+.1%}")
        assert abs(each.error) < 0.08


def test_which_attention_prompts_have_is_said_by_the_row(tmp_path: Path) -> None:
    """FlashAttention-2 is faster than the attention of an A40's architecture; tokens have what they had."""
    said, silent = judged_serving(written(tmp_path, FULL + ROWS)), judged_serving(written(tmp_path, HEAD + PLAIN))
    assert (said[0].predicted_s or 0) < (silent[0].predicted_s or 0)
    assert said[1].predicted_s == silent[1].predicted_s


def test_norms_of_heads_are_of_queries_and_keys_alone() -> None:
    normed, step = Decoder(4, 512, 8, 2, 64, 1536, 1000, head_norms=True), Step(2, 128)
    system, options = System(load_chip("h100_sxm")), RunOptions(overlap="full")
    norms = []
    for model in (SMALL, normed):
        kernels = simulate(engine_graph(model, step, 1), system, options).plan.kernels
        norms.append(sum(each.kernel.hbm_bytes for each in kernels if each.kernel.name in ("nq0", "nk0")))
    # read and written in bf16, with a weight for each of a head's 64 elements
    assert norms == [0, 2 * (2 * 256 * (512 + 128) + 2 * 64)]


def test_sums_go_round_rings_even_where_switches_would_be_faster(tmp_path: Path) -> None:
    """Eight H800 add up 988 MB by switches in less time; the engine forbids it its library."""
    system = System(load_chip("h800"), parse_topology("switch(8)", load_chip("h800").links), Mesh({"X": 8}))
    graph = parse_graph(["y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)"], {"N": 60296 * 8192})
    auto, ring = (
        simulate(graph, system, RunOptions(calibration="measured", collectives=way)).time_s for way in ("auto", "ring")
    )
    assert auto < 0.9 * ring
    row = FULL + ROWS.splitlines()[-1] + "\n"
    assert (judged_serving(written(tmp_path, row))[0].predicted_s or 0) > 160 * ring


def matrix_flops(step: Step, layers: int) -> float:
    chip = load_chip("h100_sxm")
    shared = System(chip, parse_topology(f"switch({step.chips})", chip.links), Mesh({"X": step.chips}))
    system = shared if step.chips > 1 else System(chip)
    result = simulate(engine_graph(SMALL, step, layers), system, RunOptions(overlap="full"))
    return sum(planned.kernel.matrix_flops for planned in result.plan.kernels)


@pytest.mark.parametrize("chips", [1, 2])
def test_a_layer_has_the_matmuls_of_its_model_and_chips_share_them(chips: int) -> None:
    """2 FLOPs a token and parameter, (A + 2 KE + A) D + 3 DF of them, and 4 S^2 A of attention, half of it under a mask."""
    prompt, token = Step(2, 128, chips=chips), Step(2, 128, decode=True, chips=chips)
    parameters = (512 + 2 * 128 + 512) * 512 + 3 * 512 * 1536
    whole = 2 * 256 * parameters + 4 * 2 * 128 * 129 / 2 * 512
    assert matrix_flops(prompt, 2) - matrix_flops(prompt, 1) == pytest.approx(whole / chips, rel=1e-9)
    one = 2 * 2 * parameters + 4 * 2 * 128 * 512
    assert matrix_flops(token, 2) - matrix_flops(token, 1) == pytest.approx(one / chips, rel=1e-9)
    head = 2 * 2 * 512 * 1000
    assert matrix_flops(token, 1) == pytest.approx((one + head) / chips, rel=1e-9)


def test_what_is_not_known_is_left_out_and_every_wrong_line_is_told(tmp_path: Path) -> None:
    unknown = "B300,1,1,Qwen2.5-14B,arxiv_8,5,5\nA40,1,1,Phi,arxiv_8,5,5\nA40,1,1,Qwen2.5-14B,mine,5,5\n"
    found = judged_serving(written(tmp_path, HEAD + unknown + "A40,1,2,Qwen2.5-14B,arxiv_8,5,5\n"))
    assert [each.predicted_s for each in found] == [None] * 8
    with pytest.raises(SpecError) as wrong:
        judged_serving(written(tmp_path, HEAD + "a,x,1,m,w,5,5\na,1,1,m,w,0,5\n"))
    assert [problem.mark.line for problem in wrong.value.problems] == [2, 3]
    with pytest.raises(SpecError, match="there are no columns PP"):
        judged_serving(written(tmp_path, HEAD.replace("PP,", "") + "a,1,m,w,5,5\n"))


@pytest.mark.parametrize("decode", [False, True])
def test_stages_come_one_after_the_other_and_hand_over_two_tensors(decode: bool) -> None:
    """What a layer made and the sum before it, in bf16: each chip sends its half of both, and both are gathered."""
    chip = load_chip("h100_sxm")
    system = System(chip, parse_topology("switch(2)", chip.links), Mesh({"X": 2}))
    one, two, three = (
        engine_seconds(SMALL, Step(64, 128, decode, chips=2, stages=stages), system) for stages in (1, 2, 3)
    )
    assert three - two == pytest.approx(two - one, rel=1e-6)
    values = 64 * (1 if decode else 128) * 512
    sent = 2 * (values / 2) * 2 / (chip.links["nvlink"].bytes_per_s * chip.links["nvlink"].count)
    gathered = "y:bf16[N] = all_gather(x:bf16[N_X], over=X)"
    measured = RunOptions(calibration="measured", collectives="ring")
    gathering = 2 * simulate(parse_graph([gathered], {"N": values}), system, measured).time_s
    print(f"between stages {two - one:.3g} s: sending at least {sent:.3g} s, gathering {gathering:.3g} s")
    assert gathering + sent < two - one < gathering + 2 * sent + 50e-6


def test_every_workload_is_answered(tmp_path: Path) -> None:
    """Of more requests of one sort prompts take longer; tokens behind longer prompts, too."""
    names = ("splitwise_32", "splitwise_64", "splitwise_72", "arxiv_16", "arxiv_32", "splitwise_48", "vllm_arxiv16")
    rows = "".join(f"H800,8,1,Llama-3.1-70B,{name},5,5\n" for name in (*names, "vllm_splitwise64"))
    found = judged_serving(written(tmp_path, HEAD + rows + "H800,4,2,Llama-3.1-70B,vllm_arxiv16,5,5\n"))
    seconds = [each.predicted_s or 0.0 for each in found]
    assert min(seconds) > 0
    prefills = seconds[::2]
    assert sorted(prefills[:3]) == prefills[:3]
    assert prefills[3] < prefills[4]


def test_the_command_reads_them(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + PLAIN)
    asked = json.loads(overlapse("validate", str(path), "--json").stdout)
    assert [group["name"] for group in asked["groups"]] == ["served prefill", "served decode"]
    assert [row["mode"] for row in asked["rows"]] == ["prefill", "decode"]
