"""Tables of others, in their own columns, as rows of ours: figures by hand, what they do not say, lines that are wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hw import SpecError, System
from hw.chips import chip_kernels
from scenarios.validation import TrainingRow, has_training_rows, read_training_rows, scaled, told, trained
from simulator import Estimator

SIMUMAX = "case,model,parallel,layer_num,mbc,kind,real_ms", "a,llama3-70b,tp2pp1,12,4,non-vpp,725.5"
BRIDGE = (
    "System,Model,#-GPUs,Precision,GBS,MBS,Sequence Length,FSDP,TP,PP,CP,VP,EP,Tokens / sec / GPU",
    "DGX-H100,LLAMA3_70B,64,FP8,256,1,8192,0,4,8,1,5,n/a,1639",
)
TITAN = (
    "model,gpus,chip,technique,seq,local_batch,global_batch,fsdp,tp,pp,cp,ac,compile,float8,tps_per_gpu",
    "llama3.1-8b,8,H200,FSDP,8192,2,16,8,1,1,1,selective,1,0,8192",
)
TPU = (
    "model,chips,gbs,seq,precision,step_s,tflops_per_chip,tokens_per_s_per_chip",
    "gemma4-2b,64,256,8192,bf16,0.57,893,57874",
)


def only(folder: Path, table: tuple[str, ...]) -> TrainingRow:
    path = folder / "table.csv"
    path.write_text("\n".join(table) + "\n")
    assert has_training_rows(path)
    (row,) = read_training_rows(path)
    return row


def test_a_step_on_eight_b200(tmp_path: Path) -> None:
    row = only(tmp_path, SIMUMAX)
    assert row.measured_s == pytest.approx(0.7255)
    step = told(row)
    assert (step.model.name, step.model.layers, step.training.batch) == ("llama3_70b", 12, 16)
    assert (step.parallel.tp, step.parallel.dp, step.parallel.overlap_gradients) == (2, 4, False)
    assert step.system.chip.name == "b200"


def test_tokens_a_second_are_seconds_of_a_step(tmp_path: Path) -> None:
    """256 x 8192 tokens on 64 chips of 1639 tokens a second each take 19.99 s."""
    row = only(tmp_path, BRIDGE)
    assert row.measured_s == pytest.approx(256 * 8192 / 64 / 1639)
    step = told(row)
    assert (step.parallel.dp, step.parallel.interleave, step.parallel.ep) == (2, 5, 1)
    assert (step.training.precision.matmul, step.training.precision.scaling) == ("fp8", "current")
    assert step.options.dispatch == "fused"


def test_experts_of_two_nodes_are_reached_through_nodes(tmp_path: Path) -> None:
    """Qwen's recipe for H100 has HybridEP, that of GPT-OSS has not; dropping tokens leaves as many rows as balance does."""
    said = {"Qwen3_30B_a3B": 2, "Qwen3_30B_a3B (tokendrop)": 1, "GPT OSS 120B": 1}
    for model, nodes in said.items():
        row = only(tmp_path, (BRIDGE[0], f"DGX-H100,{model},16,BF16,1024,1,4096,0,1,1,1,n/a,16,8960"))
        step = told(row)
        assert (step.parallel.ep, step.parallel.expert_nodes, step.parallel.imbalance) == (16, nodes, 1.0)
        assert step.training.dropless == ("tokendrop" not in model)
        assert (step.training.precision.gradients, step.training.precision.main_gradients) == ("bf16", "bf16")


def test_weights_are_shared_out_over_what_shards(tmp_path: Path) -> None:
    row = only(tmp_path, TITAN)
    assert row.measured_s == pytest.approx(2.0)
    step = told(row)
    assert (step.parallel.dp, step.parallel.zero, step.parallel.microbatch, step.training.batch) == (8, 3, 2, 16)
    assert (step.training.recompute, step.training.eager, step.options.dispatch) == ("alternate", False, "compiled")
    capped = told(only(tmp_path, (TITAN[0], TITAN[1].replace("H200", "H100-96GB-HBM2e-500W"))))
    assert (capped.system.chip.power_watts, capped.system.chip.hbm.bytes_per_s) == (500, 2.4e12)


def test_who_issues_kernels_is_a_matter_of_the_row(tmp_path: Path) -> None:
    """Rows of one model on as many chips share what was worked out, but not their host."""
    slow = TITAN[1].replace("selective,1", "selective,0")
    path = tmp_path / "both.csv"
    path.write_text("\n".join([*TITAN, slow]) + "\n")
    compiled, eager = trained(read_training_rows(path))
    (alone,) = trained([eager.row])
    assert eager.predicted_s == alone.predicted_s != compiled.predicted_s


def test_what_a_table_does_not_say_leaves_its_rows_out(tmp_path: Path) -> None:
    row = only(tmp_path, TPU)
    assert row.measured_s == pytest.approx(0.57)
    (found,) = trained([row])
    assert found.predicted_s is None
    assert "is not known" in found.left_out


def _apart(system: System) -> bool:
    """Whether attention goes back in two kernels."""
    kernels = chip_kernels(system.chip)
    return kernels is not None and kernels.times.attention_backward.apart


def test_how_a_step_on_tpus_is_shared_out_stands_in_its_recipe(tmp_path: Path) -> None:
    """5 sequences of 8192 on each of 64 chips: 5.652 s of 7,247.1 tokens a second."""
    head = "recipe,step_s,tflops_per_chip,tokens_per_s_per_chip"
    row = only(tmp_path, (head, "training/trillium/Llama3.1-8B-MaxText/v6e-64/README.md,5.652,419.701,7247.111"))
    step = told(row)
    assert (step.parallel.dp, step.parallel.zero, step.parallel.microbatch, step.training.batch) == (64, 3, 5, 320)
    assert (step.model.name, step.training.recompute, step.options.dispatch) == ("llama3_8b", "surrounded", "graph")
    assert (step.system.chip.name, step.system.size, _apart(step.system)) == ("tpu_v6e", 64, False)
    older = told(only(tmp_path, (head, "training/trillium/Llama2-70B-MaxText/README.md,9.052,1,57922.8")))
    assert (older.model.name, _apart(older.system)) == ("llama2_70b", True)
    long = TPU[1].replace("gemma4-2b,64,256,8192,bf16", "llama3.1-70b,256,64,131072,fp8_full")
    step = told(only(tmp_path, (TPU[0], long)))
    assert (step.parallel.cp, step.parallel.dp, step.training.precision.matmul) == (4, 64, "fp8")


@pytest.mark.parametrize(("size", "parameters"), [(16, 15.8), (32, 31.7), (64, 62.8), (128, 125.0), (512, 499.3)])
def test_models_that_maxtext_scales_have_the_size_of_their_name(size: int, parameters: float) -> None:
    """Blocks of 4 d h + 3 d f, and two tables of 32,000 words."""
    model = scaled(f"maxtext-{size}B")
    width, heads = model.d_model, model.attention.heads * 128
    block = 4 * width * heads + 3 * width * (model.ffn.d_ff or 0)
    assert (model.layers * block + 2 * 32000 * width) / 1e9 == pytest.approx(parameters, rel=0.005)


def test_seconds_of_a_step_that_says_tflops_alone(tmp_path: Path) -> None:
    """4 x 2048 tokens a chip at 132 TFLOP/s: 6 FLOPs a token and weight (the table has none), and attention of 12 L s h."""
    head = "source,model,n_chips,chip,dtype,measured_tflops_per_chip,measured_seconds_per_iteration"
    row = only(tmp_path, (head, "MaxText,maxtext-32B,512,TPU v5e,bf16,132,"))
    matmuls = 32 * (4 * 8192**2 + 3 * 8192 * 28672) + 8192 * 32000
    assert row.measured_s == pytest.approx(8192 * (6 * matmuls + 12 * 32 * 2048 * 8192) / 132e12)
    step = told(row)
    assert (step.parallel.dp, step.parallel.shard, step.parallel.microbatch) == (512, 256, 4)


def test_a_size_has_a_script_for_each_chip(tmp_path: Path) -> None:
    """Of two slices of 64 TPU v5p 16 replicas of four chips each share weights out; matmuls are kept."""
    head = "source,model,slices,n_chips,chip,dtype,measured_tflops_per_chip,measured_seconds_per_iteration"
    rows = tmp_path / "rows.csv"
    rows.write_text(f"{head}\nMaxText,maxtext-32B,2,128,TPU v5p,bf16,319,\nMaxText,maxtext-32B,1,64,TPU v4,bf16,1,\n")
    two, other = read_training_rows(rows)
    step = told(two)
    assert (step.parallel.tp, step.parallel.dp, step.parallel.shard, step.training.batch) == (4, 32, 16, 6 * 128)
    assert (step.training.recompute, step.system.size, _apart(step.system)) == ("selective", 128, True)
    assert other.measured_s is None


def test_a_line_that_has_no_numbers_is_told_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(
        "\n".join([*SIMUMAX, SIMUMAX[1].replace("725.5", "soon"), SIMUMAX[1].replace("725.5", "-1")]) + "\n"
    )
    with pytest.raises(SpecError) as wrong:
        read_training_rows(path)
    assert sorted(problem.mark.line for problem in wrong.value.problems) == [3, 4]


def test_a_table_of_no_kind_is_none(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("colour,shape\nred,round\n")
    assert not has_training_rows(path)


def test_what_a_recipe_keeps_in_the_hosts_memory_crosses_pcie(tmp_path: Path) -> None:
    """Qwen3 235B, 16 sequences of 4,096 on each of two cores a chip: inputs of 94 blocks, 4,096 wide in bf16, go to the
    host in the forward pass and come back; Llama 3.1 70B keeps its own on the chip (decoder_layer_input=device)."""
    qwen = TPU[1].replace("gemma4-2b,64,256,8192,bf16", "qwen3-235b-a22b,256,8192,4096,fp8_full")
    llama = TPU[1].replace("gemma4-2b,64,256,8192,bf16", "llama3.1-70b,64,256,8192,fp8_full")
    there, here = (told(only(tmp_path, (TPU[0], line))) for line in (qwen, llama))
    assert (there.training.offload, here.training.offload) == (("activations",), ())
    link = there.system.chip.links["pcie"]
    sent_s = 94 * 2 * 16 * 4096 * 4096 * 2 / (link.bytes_per_s * link.count)
    found, free = (
        Estimator(there.model, there.system, there.options).estimate(there.parallel, training).expected
        for training in (there.training, replace(there.training, offload=()))
    )
    # the forward pass, a fifth of a step and more, is as long as what it sends takes, and the backward pass is longer
    assert 2 * sent_s < found
    assert free + 0.4 * sent_s < found < free + 2 * sent_s
