"""Rows of kinds that no table here has yet: read in full, or left out by name, and never as something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scenarios.models import load_model, model_called, no_model
from scenarios.validation import LeftOutError, TrainingRow, read_training_rows, told, trained
from simulator.models import Transformer, parameters

ROOT = Path(__file__).parents[3]
SIMUMAX = "case,model,parallel,layer_num,mbc,kind,real_ms"
BRIDGE = "System,Model,#-GPUs,Precision,GBS,MBS,Sequence Length,FSDP,TP,PP,CP,VP,EP,Tokens / sec / GPU"
TITAN = "model,gpus,chip,technique,seq,local_batch,global_batch,fsdp,tp,pp,cp,ac,compile,float8,tps_per_gpu"


def only(folder: Path, head: str, line: str) -> TrainingRow:
    path = folder / "table.csv"
    path.write_text(f"{head}\n{line}\n")
    (row,) = read_training_rows(path)
    return row


def left_out(folder: Path, head: str, line: str) -> str:
    with pytest.raises(LeftOutError) as reason:
        told(only(folder, head, line))
    return str(reason.value)


@pytest.mark.parametrize(
    ("case", "model", "layout", "kind", "sizes"),
    [
        ("a_l4_tp8_pp1_dp1_mbc4_cef", "llama3-405b", "tp8pp1", "non-vpp", (8, 1, 1, 1, 1, 1)),
        ("deepseekv3_l4_ep8_pp1_dp8_mbc4", "deepseekv3", "ep8pp1", "non-vpp", (1, 1, 1, 8, 1, 1)),
        ("deepseek_v2_l4_ep4_pp2_dp4_mbc4", "deepseekv2", "ep4pp2", "non-vpp", (1, 2, 1, 4, 1, 1)),
        ("llama3_70b_l4_tp2_cp2_pp1_dp2_mbc4", "llama3-70b", "tp2cp2pp1", "non-vpp", (2, 1, 2, 1, 2, 1)),
        ("llama3_70b_l4_mbc4", "llama3-70b", "pp1_cp2_tp2", "non-vpp", (2, 1, 2, 1, 2, 1)),
        ("llama3_70b_l4_pp2_vp2_mbc4_mbs2", "llama3-70b", "tp1pp2", "vpp", (1, 2, 1, 1, 4, 2)),
        ("llama3_70b_l4_mbc4", "llama3-70b", "tp1pp2vp2", "vpp", (1, 2, 1, 1, 4, 2)),
    ],
)
def test_a_layout_is_read_part_by_part(
    tmp_path: Path, case: str, model: str, layout: str, kind: str, sizes: tuple[int, ...]
) -> None:
    row = only(tmp_path, SIMUMAX, f"{case},{model},{layout},4,4,{kind},300")
    parallel, training = told(row).parallel, told(row).training
    found = (parallel.tp, parallel.pp, parallel.cp, parallel.ep, parallel.dp, parallel.interleave)
    assert found == sizes
    assert parallel.chips == 8
    assert training.batch == 4 * parallel.replicas * parallel.microbatch
    assert parallel.context == ("all_to_all" if parallel.cp > 1 else "gather")


@pytest.mark.parametrize(("case", "tokens"), [("llama3_70b_l4_mbc4_cef", 4096), ("llama3_70b_l4_cp8_seq32768", 32768)])
def test_tokens_of_a_sequence_are_those_of_the_name(tmp_path: Path, case: str, tokens: int) -> None:
    """Rotation and gates in one kernel each, as Megatron-LM has them unless it is told not to, which no script does."""
    step = told(only(tmp_path, SIMUMAX, f"{case},llama3-70b,cp8,4,4,non-vpp,300"))
    assert step.training.seq == tokens
    assert step.options.dispatch == "fused"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,llama3-70b,tp2xy2,12,4,non-vpp,1", "parallel tp2xy2 is not known"),
        ("x,llama3-70b,tp2,tp2,4,non-vpp,1".replace("tp2,tp2", "tp2tp2,12"), "is not known"),
        ("x,llama3-70b,,12,4,non-vpp,1", "is not known"),
        ("x,llama3-70b,tp3pp1,12,4,non-vpp,1", "are not 8 chips"),
        ("x,llama3-70b,tp2pp1dp2,12,4,non-vpp,1", "are not 8 chips"),
        ("x,deepseekv3,ep8etp2,12,4,non-vpp,1", "cut over 2 tensor-parallel chips"),
        ("x,llama3-70b,tp1pp2,12,4,vpp,1", "numbers of chunks"),
        ("x,llama3-70b,tp1pp2vp2,12,4,non-vpp,1", "numbers of chunks"),
        ("llama3_70b_l12_dp4_mbc8,llama3-70b,tp2pp1,12,4,non-vpp,1", "says mbc 8 for 4"),
        ("llama3_70b_l8_tp4,llama3-70b,tp2pp1,12,4,non-vpp,1", "says layers 8 for 12, tp 4 for 2"),
        ("llama3_70b_l12_full_recompute,llama3-70b,tp2pp1,12,4,non-vpp,1", "recompute in"),
        ("x,deepseekv3,cp4ep2,12,4,non-vpp,1", "experts lie on 2 chips, no multiple of 4"),
        ("x,lama3-70b,tp2pp1,12,4,non-vpp,1", "did you mean 'llama3_70b'?"),
    ],
)
def test_what_is_not_understood_is_left_out_and_says_so(tmp_path: Path, line: str, reason: str) -> None:
    assert reason in left_out(tmp_path, SIMUMAX, line)


def test_models_are_cut_as_its_scripts_cut_them(tmp_path: Path) -> None:
    """One dense layer whatever the model has, tokens of experts padded to the mean; 16 heads of keys in Llama 3 405B: a
    block of 405B has 2 x 16384 x 8 x 128 weights more than the model's own."""
    step = told(only(tmp_path, SIMUMAX, "x,deepseekv3,ep8pp1,4,4,non-vpp,300"))
    assert step.model.moe is not None
    assert (step.model.layers, step.model.moe.first_dense, step.training.dropless) == (4, 1, False)
    large = told(only(tmp_path, SIMUMAX, "x,llama3-405b,tp8pp1,1,4,non-vpp,300")).model
    own = load_model({"base": "llama3_405b", "layers": 1}).description
    assert parameters(large).total - parameters(own).total == 2 * 16384 * 8 * 128


def test_a_row_of_megatron_bridge_is_the_same_step_in_either_table(tmp_path: Path) -> None:
    """The table typed here has all that recipes say in columns; Bridge's own has it in `bridge_recipes`."""
    typed = read_training_rows(ROOT / "docs/accuracy/megatron_bridge_h100.csv")
    names = {name: name.upper() for name in ("llama3_405b", "llama3_70b", "llama3_8b", "gpt_oss_120b")}
    names |= {"qwen3_30b_a3b": "Qwen3_30B_a3B", "qwen3_235b_a22b": "Qwen3_235B_a22B"}
    for row in typed:
        cell = row.cells.get
        dropped = " (tokendrop)" if cell("dropless") == "false" else ""
        precision = "BF16" if cell("dtype") == "bf16" else "FP8"
        assert row.measured_s is not None
        rate = float(row.text("global_batch")) * float(row.text("seq")) / float(row.text("n_chips")) / row.measured_s
        line = [
            "DGX-H100", names[row.model] + dropped, cell("n_chips"), precision, cell("global_batch"), cell("micro_batch"),
            cell("seq"), "8" if cell("sharding") == "FSDP" else "0", cell("tp"), cell("pp"), cell("cp"), cell("interleave"),
            cell("ep"), f"{rate:.6f}",
        ]  # fmt: skip
        other = only(tmp_path, BRIDGE, ",".join(str(each) for each in line))
        assert other.measured_s == pytest.approx(row.measured_s, rel=1e-6)
        step, again = told(row), told(other)
        # without tensor parallelism there is nothing to cut in pieces
        assert replace(again.parallel, collective_matmul=1) == replace(step.parallel, collective_matmul=1)
        assert step.parallel.tp == 1 or again.parallel.collective_matmul == step.parallel.collective_matmul
        assert (again.model, again.training, again.options) == (step.model, step.training, step.options)
        assert repr(again.system) == repr(step.system)


@pytest.mark.parametrize(
    ("precision", "formats"),
    [
        ("BF16", (None, "bf16", "blocks")),
        ("FP8-CS", ("fp8", "fp8", "current")),
        ("FP8-DS", ("fp8", "fp8", "delayed")),
        ("FP8-MX", ("fp8", "fp8", "blocks")),
        ("FP8-SC", ("fp8", "fp8", "blocks")),
        ("NVFP4", ("fp4", "bf16", "current")),
    ],
)
def test_a_precision_is_not_another(tmp_path: Path, precision: str, formats: tuple[str | None, str, str]) -> None:
    step = told(only(tmp_path, BRIDGE, f"DGX-B200,LLAMA3_8B,8,{precision},128,2,8192,0,1,1,1,n/a,1,9000"))
    found = step.training.precision
    assert (found.matmul, found.weights, found.scaling) == formats
    assert step.options.dispatch == ("fused" if precision == "NVFP4" else "fused_graph")


@pytest.mark.parametrize(
    ("system", "chips", "chip", "groups"),
    [
        ("DGX-GB200", 64, "gb200", "switch(64) over nvlink"),
        ("DGX-GB300", 256, "gb300", "[switch(64) over nvlink, fat_tree(4,leaf=8,rails=yes) over infiniband]"),
        ("DGX-GB300", 72, "gb300", "switch(72) over nvlink"),
        ("DGX-GB200", 8, "gb200", "switch(8) over nvlink"),
        ("DGX-B300", 64, "b300", "[switch(8) over nvlink, fat_tree(8,leaf=72,rails=yes) over infiniband]"),
        ("DGX-B200", 16, "b200", "[switch(8) over nvlink, fat_tree(2,leaf=32,rails=yes) over infiniband]"),
    ],
)
def test_gpus_that_have_one_switch(tmp_path: Path, system: str, chips: int, chip: str, groups: str) -> None:
    """Eight of a DGX, 72 of a rack; jobs of more have as many in each of the fewest racks that hold them."""
    line = f"{system},LLAMA3_8B,{chips},BF16,{16 * chips},1,8192,0,1,1,1,n/a,1,9000"
    found = told(only(tmp_path, BRIDGE, line)).system
    assert (found.chip.name, found.size) == (chip, chips)
    assert groups in repr(found)


def test_experts_of_a_rack_are_reached_without_nodes(tmp_path: Path) -> None:
    """64 chips that share experts are one NVLink domain of GB200s, and eight nodes of B200s."""
    for system, nodes in (("DGX-GB200", 1), ("DGX-B200", 8)):
        line = f"{system},DeepSeekV3,256,FP8-MX,2048,1,4096,0,1,4,1,4,64,1000"
        step = told(only(tmp_path, BRIDGE, line))
        assert (step.parallel.ep, step.parallel.expert_nodes) == (64, nodes)
        # one more block, which predicts a further token
        assert (step.model.name, step.model.layers) == ("deepseek_v3", 62)


@pytest.mark.parametrize(
    ("system", "model", "precision", "reason"),
    [
        ("DGX-VR200", "LLAMA3_8B", "BF16", "chip vr200 is not known"),
        ("DGX-B200", "Nemotron_3_Nano", "BF16", "model Nemotron_3_Nano is not in the catalogue"),
        ("DGX-B200", "LLAMA3_8B", "FP6", "precision FP6 is not known"),
        ("DGX-H100", "LLAMA3_8B LoRA", "BF16", "LoRA trains a few weights"),
        ("DGX-H100", "LLAMA3_8B (mirrored)", "BF16", "what (mirrored) means"),
    ],
)
def test_rows_of_megatron_bridge_that_have_no_form(
    tmp_path: Path, system: str, model: str, precision: str, reason: str
) -> None:
    line = f"{system},{model},8,{precision},128,2,8192,0,1,1,1,n/a,1,9000"
    assert reason in left_out(tmp_path, BRIDGE, line)


def test_experts_lie_whole_on_chips_that_share_a_tensor_or_a_sequence(tmp_path: Path) -> None:
    """64 chips of eight nodes share experts, those that share a tensor among them; eight those that share a sequence."""
    step = told(only(tmp_path, BRIDGE, "DGX-H100,DeepSeekV3,1024,FP8-SC,8192,1,4096,0,2,8,1,4,64,1000"))
    assert (step.parallel.expert_chips, step.parallel.ep, step.parallel.dp, step.parallel.expert_nodes) == (
        64,
        32,
        2,
        8,
    )
    step = told(only(tmp_path, SIMUMAX, "x,deepseekv3,cp2ep8pp1,4,4,non-vpp,300"))
    assert (step.parallel.expert_chips, step.parallel.ep, step.parallel.chips) == (8, 4, 8)
    assert step.training.batch == 4 * 4


def test_fine_tuning_of_all_weights_is_a_step_like_another(tmp_path: Path) -> None:
    step = told(only(tmp_path, BRIDGE, "DGX-H100,LLAMA3_8B SFT,8,FP8-CS,32,1,4096,0,1,1,1,n/a,1,9000"))
    assert (step.model.name, step.training.batch, step.training.recompute) == ("llama3_8b", 32, "none")


def test_replicas_beyond_those_that_shard_hold_copies(tmp_path: Path) -> None:
    """HSDP: 256 chips that shard by 32 are eight copies; a batch is that of all of them."""
    line = "llama3.1-70b,256,H100,HSDP,8192,2,,32,1,1,1,selective,1,0,829"
    row = only(tmp_path, TITAN, line)
    step = told(row)
    assert (step.parallel.dp, step.parallel.shard, step.parallel.copies) == (256, 32, 8)
    assert step.training.batch == 512
    assert row.measured_s == pytest.approx(512 * 8192 / 256 / 829)
    assert "is not local_batch x replicas" in left_out(tmp_path, TITAN, line.replace(",2,,32", ",2,64,32"))
    assert "no part of 256 replicas" in left_out(tmp_path, TITAN, line.replace(",2,,32", ",2,,512"))


@pytest.mark.parametrize(
    ("technique", "pieces", "schedule"),
    [
        ("3D 1F1B AsyncTP", 8, "1f1b"),
        ("2D async TP", 8, "1f1b"),
        ("3D Interleaved 1F1B", 1, "interleaved"),
        ("3D ZBV", 1, "zero_bubble"),
        ("3D GPipe", 1, "gpipe"),
    ],
)
def test_what_a_technique_says_is_read(tmp_path: Path, technique: str, pieces: int, schedule: str) -> None:
    line = f"llama3.1-405b,512,H100,{technique},8192,32,256,8,8,8,1,full,1,1,100"
    parallel = told(only(tmp_path, TITAN, line)).parallel
    assert (parallel.collective_matmul, parallel.schedule) == (pieces, schedule)
    assert parallel.interleave == (2 if schedule == "interleaved" else 1)


def test_experts_of_torchtitan_lie_among_chips_that_shard(tmp_path: Path) -> None:
    step = told(only(tmp_path, TITAN, "llama4-scout,64,H200,FSDP+EP,8192,1,64,64,1,1,1,full,1,0,2900"))
    assert (step.model.name, step.parallel.ep, step.parallel.dp) == ("llama4_scout", 16, 4)
    assert "float8 mxfp6 is not known" in left_out(
        tmp_path, TITAN, "llama3.1-8b,8,H100,FSDP,8192,2,16,8,1,1,1,full,1,mxfp6,100"
    )


@pytest.mark.parametrize("chip", ["H100", "A100", "B200", "MI300X", "NVIDIA H200 SXM", "GB300"])
def test_chips_by_their_plain_names(tmp_path: Path, chip: str) -> None:
    """A library of CUDA is brought to NVIDIA's alone."""
    step = told(only(tmp_path, TITAN, f"llama3.1-8b,8,{chip},FSDP,8192,2,16,8,1,1,1,selective,1,0,2900"))
    assert step.system.size == 8
    assert step.system.chip.name.split("_")[0].upper() in chip.upper()
    measured = step.system.chip.calibration.measured
    assert measured is not None
    assert measured.attention_like == (None if chip == "MI300X" else "ampere_flash_2")


def test_models_of_the_catalogue_under_other_spellings() -> None:
    """What is published of shapes: Llama 3.1 differs from 3 in its angles alone; a size is a word more for what has it."""
    for name, meant in (
        ("LLAMA3.1_405B", "llama3_405b"),
        ("llama3.3-70b", "llama3_70b"),
        ("GPT OSS 120B", "gpt_oss_120b"),
        ("DeepSeekV3", "deepseek_v3"),
        ("DeepSeek-V3-671B", "deepseek_v3"),
        ("deepseek-v3-16b", "deepseek_v2_lite"),
        ("Kimi_K2", "kimi_k2"),
        ("Qwen2.5-7B", "qwen2.5_7b"),
        ("mixtral-8x7b", "mixtral_8x7b"),
    ):
        assert model_called(name) == meant
    for name in ("deepseek-v3-70b", "llama3-9b", "llama2-3-8b", "", "qwen25-7b"):
        assert model_called(name) is None
    assert no_model("lama3-8b") == "model lama3-8b is not in the catalogue, did you mean 'llama3_8b'?"


def test_kimi_k2_is_deepseek_v3_with_other_heads_and_experts() -> None:
    """Half the heads, 384 experts for 256, one dense block for three; 1T parameters, 32B in use."""
    kimi, deepseek = (load_model(name).description for name in ("kimi_k2", "deepseek_v3"))
    assert isinstance(kimi, Transformer)
    assert isinstance(deepseek, Transformer)
    assert kimi.moe is not None
    assert deepseek.moe is not None
    assert (2 * kimi.attention.heads, 2 * kimi.moe.experts) == (deepseek.attention.heads, 3 * deepseek.moe.experts)
    assert parameters(kimi).total == pytest.approx(1e12, rel=0.03)
    assert parameters(kimi).active == pytest.approx(32e9, rel=0.02)


def test_rows_of_one_model_with_other_heads_are_not_one_model(tmp_path: Path) -> None:
    """Rows of one model on as many chips share what was worked out, but not where a row changes its shape."""
    head = "source,framework,model,layers,kv_heads,seq,global_batch,tp,pp,dp,dtype,n_chips,chip"
    path = tmp_path / "rows.csv"
    lines = [f"x,megatron-core,llama3-8b,2,{heads},4096,8,1,1,8,bf16,8,H100,1" for heads in (8, 32)]
    path.write_text("\n".join([f"{head},measured_seconds_per_iteration", *lines]) + "\n")
    rows = read_training_rows(path)
    together, alone = trained(rows), [trained([row])[0] for row in rows]
    assert [each.predicted_s for each in together] == [each.predicted_s for each in alone]
    assert together[0].flops < together[1].flops
