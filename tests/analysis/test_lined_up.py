"""Lining up two runs of the same work: nothing is lost, and what is the same work is found whatever stands between."""

from __future__ import annotations

import pytest

from analysis.timelines import Piece, line_up
from analysis.traces import FAMILIES, is_backward, kernel_family, op_family, short_name, work_does
from simulator import KINDS


def pieces(text: str) -> list[Piece]:
    """`mm 40` is a piece of the family mm that takes 40 us, `mm' 40` one of a backward pass."""
    made = []
    for each in text.split(", "):
        family, time_us = each.split()
        back = family.endswith("'")
        made.append(Piece(each, family.rstrip("'"), back, frozenset({family}), 1e-6 * float(time_us)))
    return made


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        ("mm 40, add 3, mm 40", "mm 41, add 3, mm 39", "0-0 1-1 2-2"),
        ("mm 40, add 3, mm 40", "mm 41, mm 39", "0-0 1- 2-1"),  # fused away
        ("mm 40, mm 300", "fill 9, mm 290", "0- 1-1 -0"),  # a long one is one long one, not the first that comes
        ("sum 5, mm 40, mm 40", "mm 40, mm 40, sum 5", "0-2 1-0 2-1"),  # two orders of what does not depend
        ("adam 9, adam 9, adam 9", "adam 27", "0,1,2-0"),  # one call for all
        ("norm 20, mm 9", "norm 12, norm 8, mm 9", "0-0,1 1-2"),  # two kernels for one
        ("gelu 9, gelu' 9", "gelu' 9", "0- 1-0"),
        ("mm 1", "add 1", "0- -0"),
    ],
)
def test_the_same_work_is_found(a: str, b: str, want: str) -> None:
    pairs = line_up(pieces(a), pieces(b))
    assert " ".join(f"{','.join(map(str, pair.a))}-{','.join(map(str, pair.b))}" for pair in pairs) == want


@pytest.mark.parametrize("shift", range(3))
def test_every_piece_is_in_one_pair(shift: int) -> None:
    names = ["mm 40", "norm 7", "add 3", "norm' 9", "sum 2", "adam 11", "add 1"]
    a, b = pieces(", ".join(names * 9)), pieces(", ".join(names[shift:] * 7))
    pairs = line_up(a, b)
    assert sorted(at for pair in pairs for at in pair.a) == list(range(len(a)))
    assert sorted(at for pair in pairs for at in pair.b) == list(range(len(b)))
    for pair in pairs:
        assert (
            len({(each.family, each.backward) for each in (*(a[at] for at in pair.a), *(b[at] for at in pair.b))}) == 1
        )
    assert [(pair.a, pair.b) for pair in line_up(a, a)] == [((at,), (at,)) for at in range(len(a))]
    assert line_up([], a) == line_up(a, [])[:0] + [type(pairs[0])((), (at,)) for at in range(len(a))]


def test_of_what_nothing_is_known_words_decide() -> None:
    unknown = [Piece(name, "", False, frozenset({name}), 1e-6) for name in ("gather", "spread")]
    known = [Piece("gather", "embedding", False, frozenset({"gather", "kernel"}), 1e-6)]
    assert [(pair.a, pair.b) for pair in line_up(unknown, known)] == [((0,), (0,)), ((1,), ())]


def test_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="take one step"):
        line_up(pieces("mm 1") * 4000, pieces("mm 1") * 4000)


@pytest.mark.parametrize(
    ("family", "name", "call"),
    [
        ("matmul", "nvjet_sm90_tst_192x128_64x5_1x2_h_bz_coopB_bias_TNT", "aten::addmm"),
        ("matmul", "sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x32", ""),
        ("matmul", "void cutlass::Kernel2<cutlass_80_wmma_tensorop_bf16_s161616gemm>", "mm"),
        ("attention", "cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7", ""),
        ("attention", "fmha_cutlassF_bf16_aligned_64x64_rf_sm80", ""),
        ("norm", "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float>(int)", ""),
        (
            "norm",
            "void at::native::(anonymous namespace)::GammaBetaBackwardCUDAKernelTemplate<c10::BFloat16>(long)",
            "",
        ),
        ("softmax", "void at::native::(anonymous namespace)::cunn_SoftMaxForward<4, float, float, float>", ""),
        ("loss", "void at::native::(anonymous namespace)::nll_loss_forward_reduce_cuda_kernel_2d<float>", ""),
        ("optimizer", "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedOptimizerTensor>", ""),
        ("embedding", "void at::native::(anonymous namespace)::sum_and_scatter<c10::BFloat16, long>(long const*)", ""),
        ("reduce", "void at::native::reduce_kernel<128, 4, at::native::ReduceOp<c10::BFloat16>>", "aten::sum"),
        ("elementwise", "void at::native::vectorized_elementwise_kernel<8, ...::{lambda()#1}>(int)", "aten::add"),
        ("collective", "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", ""),
        ("copy", "Memcpy DtoD (Device -> Device)", ""),
        ("convolution", "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw", "cudnn_convolution"),
    ],
)
def test_kernels_of_libraries_are_of_a_family(family: str, name: str, call: str) -> None:
    assert kernel_family(name, work_does(name), call.rpartition("::")[2]) == family


def test_kinds_of_ops_are_of_families() -> None:
    found = {kind: op_family([kind]) for kind in KINDS}
    assert set(found.values()) <= set(FAMILIES)
    assert op_family(["matmul", "add", "gelu"]) == "matmul"
    assert op_family(["all_reduce"], "network") == "collective"
    assert op_family(["copy"], "memory") == "copy"
    for kind, family in found.items():  # the patterns of names and the table of kinds say the same
        if family not in ("elementwise", "embedding", "matmul"):
            assert kernel_family(kind) in (family, "elementwise"), kind


def test_names_are_short_and_know_the_backward_pass() -> None:
    assert (
        short_name("void at::native::(anonymous namespace)::cunn_SoftMaxBackward<4, float>(float*)")
        == "cunn_SoftMaxBackward"
    )
    assert len(short_name("nvjet_sm90_tst_192x128_64x5_1x2_h_bz_coopB_bias_TNT_and_more")) == 44
    assert is_backward("cudnn_generated_fort_native_sdpa_sm90_flash_bprop_wgmma")
    assert is_backward("kernel", "native_layer_norm_backward")
    assert not is_backward("GradScaler_unscale")
