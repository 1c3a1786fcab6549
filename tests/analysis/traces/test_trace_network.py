"""What of a trace is communication: the names that libraries, engines and compilers give it, and those that a user adds."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis import read_trace
from hw import SpecError
from scenarios.cli import app
from tests.support.traces import kernel, read_parts, slice_, thread, written

NETWORK = [
    "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
    "ncclKernel_SendRecv_RING_SIMPLE_Sum_int8_t(ncclDevComm*, unsigned long, ncclWork*)",
    "void rccl::ncclDevKernel_Generic_4(ncclDevKernelArgsStorage<4096ul>)",
    "ncclSymkDevKernel_AllReduce_AGxLLMC_R_sum_bf16(ncclSymkDevWorkArgs4K)",
    "void vllm::cross_device_reduce_1stage<__nv_bfloat16, 8>(vllm::RankData*)",
    "_ZN6sglang26cross_device_reduce_2stageI13__nv_bfloat16Li8EEEvPNS_8RankDataE",
    "void sglang::twoShotAllReduceKernel<half, 8>(Params)",
    "void tensorrt_llm::kernels::oneShotAllReduceKernel<__nv_bfloat16, 8, false>(AllReduceParams)",
    "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<(AllReduceFusionPattern)1>(Args)",
    "void aiter::allreduce_fusion_kernel_1stage<__hip_bfloat16>(Data)",
    "void quickreduce::allreduce_prototype_twoshot<int>(void const*)",
    "one_shot_all_reduce_kernel",
    "two_shot_all_reduce_kernel",
    "void c10d::symmetric_memory::(anonymous namespace)::one_shot_all_reduce_kernel<c10::BFloat16, 16>(Args)",
    "multimem_all_reduce_kernel",
    "void (anonymous namespace)::multimem_one_shot_all_reduce_kernel<float>(float*)",
    "multimem_all_gather_kernel",
    "deep_ep::internode::dispatch",
    "void deep_ep::intranode::combine<__nv_bfloat16, 8>(void*)",
    "void deep_ep::internode_ll::combine<true, 7168>(void*)",
    "nvshmemi_transfer_rma_nbi",
    "void rocshmem::ipc_put<char>(void*)",
    "void mori::moe::EpDispatchIntraNodeKernel<__hip_bfloat16>(Args)",
    "userbuffers_fp16_sum_inplace_gpu_rr_rs_oop_fp8",
    "mscclpp_allreduce_kernel",
    "void oneapi::ccl::allreduce_small<int>()",
    "oneccl_allreduce_large",
    "hcom_allReduce__812_0_1",
    "hcom_broadcast_",
    "HcomAllReduce",
    "hccl::allGather",
    "gloo:all_reduce",
    "c10d::allreduce_",
    "all_to_all_kernel",
    "reduce_scatter_kernel",
    "%all-reduce.7 = bf16[8,128]{1,0:T(8,128)} all-reduce(bf16[8,128]{1,0} %fusion.3), channel_id=1",
    "moefinalize_allreduce_fusion_kernel_oneshot_lamport",
    "AivAllReduce",
    "all-reduce.7",
    "all-reduce",
    "all-gather-start.2",
    "all-gather-done.2.clone",
    "reduce-scatter.1.remat2",
    "collective-permute-done",
    "ragged-all-to-all.3",
    "async-collective-start.1",
    "%all-to-all.4",
    "send.1",
    "recv-done.3",
]
COMPUTE = [
    "gemm",
    "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x128x64",
    "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float>>(float)",
    "void at::native::elementwise_kernel<128, 2, c10d::AllReduceFunctor>(int, ncclComm*)",
    "void fused_rmsnorm<__nv_bfloat16>(AllReduceParams, deep_ep::Config)",
    "triton_poi_fused_all_reduce_wait_tensor_add_0",
    "triton_red_fused__to_copy_all_gather_into_tensor_mean_12",
    "all-reduce_add_fusion.3",
    "loop_all-gather_fusion",
    "fusion.all-reduce.fusion.2",
    "fusion.12",
    "convert_reduce-scatter_fusion.clone",
    "small_reduce_kernel",
    "wall_gather_stats",
    "moe_align_block_size_kernel",
    "deep_gemm::fp8_gemm_kernel",
    "deep_epilogue_kernel",
    "dmatmul",
    "broadcast_add",
    "fused_all_gather_matmul_kernel",
    "aclnnMatmulAllReduce_MatmulAllReduce",
    "%fusion.3 = bf16[8,128]{1,0} fusion(bf16[8,128]{1,0} %all-reduce.7), kind=kLoop",
    "triton_fused_reduce_scatter_tensor_mul_4",
    "sendrecover",
    "hcompute_stage",
    "reduce_2stage_reduce",
    "reduce.3",
]
MEMORY = ["Memcpy DtoH (Device -> Pinned)", "Memset (Device)", "MemcpyD2H", "hipMemcpyAsync", "CopyDeviceToHost", "dma_0",
          "copy.3", "copy-start.2", "copy-done.2", "infeed.1", "slice-start.4"]  # fmt: skip


@pytest.mark.parametrize(("names", "word"), [(NETWORK, "network"), (COMPUTE, "arithmetic"), (MEMORY, "memory")])
def test_what_a_kernel_does_goes_by_its_own_name(names: list[str], word: str, tmp_path: Path) -> None:
    timeline = read_trace(written(tmp_path, [kernel(name, at, 1) for at, name in enumerate(names)]))
    found = dict(zip(timeline["op"].astype(str), timeline["does"].astype(str), strict=True))
    assert {name: does for name, does in found.items() if does != word} == {}


@pytest.mark.parametrize(
    ("name", "said", "word"),
    [
        ("fusion.3", "all-reduce fusion", "network"),
        ("custom.1", "collective-permute", "network"),
        ("all-reduce.3", "loop fusion", "arithmetic"),
        ("all-gather-like.1", "convolution fusion", "arithmetic"),
        ("all-reduce-start.1", "async-start", "network"),
        ("copy.1", "data formatting", "memory"),
        ("anything", "copy-done", "memory"),
    ],
)
def test_what_xla_says_of_an_op_comes_before_its_name(name: str, said: str, word: str, tmp_path: Path) -> None:
    path = written(tmp_path, [slice_(name, 0, 1, args={"hlo_category": said})])
    assert read_trace(path)["does"].tolist() == [word]


@pytest.mark.parametrize(
    ("task", "word"), [("COMMUNICATION", "network"), ("HCCL", "network"), ("SDMA", "memory"), ("MIX_AIC", "arithmetic")]
)
def test_what_ascend_says_of_a_task_comes_before_its_name(task: str, word: str, tmp_path: Path) -> None:
    path = written(tmp_path, [slice_("aclnnX", 0, 1, args={"Task Type": task})])
    assert read_trace(path)["does"].tolist() == [word]


def test_communication_is_exposed_where_nothing_computes(tmp_path: Path) -> None:
    names = ["gemm", NETWORK[4], "deep_ep::internode::dispatch", "multimem_all_reduce_kernel", NETWORK[0]]
    events = [kernel(name, 10 * at, 10) for at, name in enumerate(names)]
    assert read_parts(tmp_path, events) == {0: {"arithmetic": 10, "network": 40, "total": 50}}


def test_a_pattern_says_what_else_is_communication(tmp_path: Path) -> None:
    names = ["gemm", "our_exchange_v2", "Memcpy PtoP (Device -> Device)"]
    path = written(tmp_path, [kernel(name, 10 * at, 10) for at, name in enumerate(names)])
    assert read_trace(path)["does"].tolist() == ["arithmetic", "arithmetic", "memory"]
    both = read_trace(path, network=["our_exchange", "^Memcpy PtoP"])
    assert both["does"].tolist() == ["arithmetic", "network", "network"]
    command = CliRunner().invoke(app, ["import", str(path), "--network", "exchange_v\\d", "--network", "PtoP"])
    assert "33.3 %   66.7 %" in command.stdout


def test_what_is_no_pattern_is_told_beside_what_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_trace(tmp_path / "none.json", network=["fine", "(open", "*"])
    assert [str(problem).split(":")[0] for problem in caught.value.problems] == [
        "--network",
        "--network",
        str(tmp_path / "none.json"),
    ]
    assert "'(open' is not a regular expression: missing ), unterminated subpattern" in str(caught.value)


def test_words_in_the_category_of_another_programs_trace_say_nothing(tmp_path: Path) -> None:
    events = [thread(0, 1, "main"), slice_("paint", 0, 5, cat="blink,network"), slice_("draw", 5, 5, cat="gpu,memory")]
    assert read_parts(tmp_path, events) == {0: {"arithmetic": 10, "total": 10}}
