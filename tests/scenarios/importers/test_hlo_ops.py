"""Odd instructions of HLO and StableHLO against counts by hand: what is split in two, said as a call, or named otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import SpecError
from scenarios.importers import import_files
from scenarios.importers.hlo.replica_groups import groups_of
from tests.scenarios.importers.test_hlo import entry, made, words

WRAPPED = """
%wrapped (p: f32[1024,64]) -> f32[256,64] {
  %p = f32[1024,64]{1,0} parameter(0)
  ROOT %t = f32[256,64]{1,0} reduce-scatter(%p), replica_groups={{0,1,2,3}}, dimensions={0}, to_apply=%add
}

%fused (p: f32[1024,64]) -> f32[1024,64] {
  %p = f32[1024,64]{1,0} parameter(0)
  %e = f32[1024,64]{1,0} exponential(%p)
  ROOT %t = f32[1024,64]{1,0} tanh(%e)
}
"""
SIZE = 1024 * 64 * 4


def module(body: str, partitions: int = 1) -> str:
    """A scheduled module that may call the computations above."""
    about = f"is_scheduled=true, num_partitions={partitions}"
    head, text = entry(body, about=about).split("\n", 1)
    return f"{head}\n{WRAPPED}\n{text}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{replica_groups={{0,1},{2,3}}}", ((0, 1), (2, 3))),
        ("mesh['a'=4,'b'=1,'c'=2], device_ids=([2,4]T(1,0)) {'a'}", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("mesh['a'=2,'b'=1,'c'=4] {'c'}", ((0, 1, 2, 3), (4, 5, 6, 7))),
        ("mesh['a'=2,'c'=4] {'a'}", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("mesh['a'=8] {'a':(1)2}", ((0, 4), (1, 5), (2, 6), (3, 7))),
        ("mesh['a'=8] {'a':(4)2}", ((0, 1), (2, 3), (4, 5), (6, 7))),
        ("mesh['a'=2,'c'=4] {'a','c'}", ((0, 1, 2, 3, 4, 5, 6, 7),)),
    ],
)
def test_groups_along_axes_of_a_mesh(said: str, expected: tuple[tuple[int, ...], ...]) -> None:
    """`device_ids` says which chip is at which place: [2,4] turned is 0 4 1 5 2 6 3 7."""
    groups, _, devices = said.partition(", device_ids=")
    attributes = {"replica_groups": groups} | ({"device_ids": devices} if devices else {})
    assert groups_of(attributes, 8) == expected


def test_a_group_that_no_mesh_has_is_refused(tmp_path: Path) -> None:
    op = "ROOT %c = f32[1024,64] all-reduce(%x), replica_groups=mesh['a'=4] {'z'}, to_apply=%add"
    with pytest.raises(SpecError, match=r"module.txt:\d+:1: c = all-reduce.*no axis z"):
        made(tmp_path, module(f"%x = f32[1024,64]{{1,0}} parameter(0)\n{op}", 4))


def test_a_collective_of_several_arrays_makes_each(tmp_path: Path) -> None:
    """Three quarters of what stands there behind it, of 1024 x 64 x 4 and of 512 x 64 x 2 bytes."""
    text = module(
        """%x = f32[256,64]{1,0} parameter(0)
        %y = bf16[128,64]{1,0} parameter(1)
        %s = ((f32[256,64], bf16[128,64]), (f32[1024,64], bf16[512,64])) all-gather-start(%x, %y), replica_groups={{0,1,2,3}}, dimensions={0}
        %d = (f32[1024,64], bf16[512,64]) all-gather-done(%s)
        %g0 = f32[1024,64] get-tuple-element(%d), index=0
        %g1 = bf16[512,64] get-tuple-element(%d), index=1
        %n = f32[1024,64] negate(%g0)
        ROOT %m = bf16[512,64] negate(%g1)""",  # noqa: E501
        4,
    )
    assert words(made(tmp_path, text))["network_bytes"] == 0.75 * (SIZE + 512 * 64 * 2)


def test_what_is_split_in_start_and_done_is_what_it_says(tmp_path: Path) -> None:
    """A fusion and a wrapped reduce-scatter: three quarters of a chip's array are sent, and nothing waits for that."""
    text = module(
        """%x = f32[1024,64]{1,0} parameter(0)
        %a = ((f32[1024,64]), f32[256,64]) async-start(%x), calls=%wrapped
        %s = ((f32[1024,64]), f32[1024,64], s32[]) fusion-start(%x), kind=kLoop, calls=%fused
        %n = f32[1024,64]{1,0} negate(%x)
        %d = f32[1024,64]{1,0} fusion-done(%s)
        %e = f32[256,64]{1,0} async-done(%a)
        ROOT %r = (f32[1024,64], f32[256,64]) tuple(%d, %e)""",
        4,
    )
    found = made(tmp_path, text)
    assert not found.unpriced
    assert words(found)["flops"] == 3 * 1024 * 64
    assert words(found)["network_bytes"] == 0.75 * SIZE
    assert not any("after=" in line for line in found.ops)


def test_a_matmul_waits_for_a_collective_that_was_not_split(tmp_path: Path) -> None:
    text = module(
        """%x = f32[1024,64]{1,0} parameter(0)
        %c = f32[1024,64]{1,0} all-reduce(%x), replica_groups={}, to_apply=%add
        %d = f32[1024,1024]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={1}
        ROOT %r = (f32[1024,64], f32[1024,1024]) tuple(%c, %d)""",
        4,
    )
    assert any("matmul(" in line and "after=[c]" in line for line in made(tmp_path, text).ops)


def test_what_a_channel_carries_goes_along_the_ring(tmp_path: Path) -> None:
    pairs = "frontend_attributes={_xla_send_recv_source_target_pairs={{0,1},{1,2},{2,3}}}"
    text = module(
        f"""%x = f32[1024,64]{{1,0}} parameter(0)
        %tok = token[] after-all()
        %r = (f32[1024,64], u32[], token[]) recv(%tok), channel_id=1, {pairs}
        %s = (f32[1024,64], u32[], token[]) send(%x, %tok), channel_id=1, {pairs}
        %sd = token[] send-done(%s), channel_id=1
        %rd = (f32[1024,64], token[]) recv-done(%r), channel_id=1
        %v = f32[1024,64] get-tuple-element(%rd), index=0
        ROOT %n = f32[1024,64] negate(%v)""",
        4,
    )
    found = made(tmp_path, text)
    assert words(found)["network_bytes"] == SIZE
    assert not found.unpriced


CONFIG = (
    'backend_config={"bmm1_dot_dimension_numbers":{"lhs_contracting_dimensions":["3"],"rhs_contracting_dimensions":["3"],'
    '"lhs_batch_dimensions":["0","2"],"rhs_batch_dimensions":["0","2"]},"mask_type":"CAUSAL"}'
)
FORWARD = 2 * 8 * 28 * 28 * 128 * 9 * 64
LIBRARY = {
    "forward": (
        "f16[8,28,28,64]", "f16[128,3,3,64]", "f16[8,28,28,128]", "__cudnn$convForward", FORWARD,
    ),
    "input": (
        "f16[8,28,28,128]", "f16[128,3,3,64]", "f16[8,28,28,64]", "__cudnn$convBackwardInput", FORWARD,
    ),
    "filter": (
        "f16[8,28,28,64]", "f16[8,28,28,128]", "f16[128,3,3,64]", "__cudnn$convBackwardFilter", FORWARD,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LIBRARY)
def test_convolutions_of_a_library_are_all_as_large_as_the_forward_one(tmp_path: Path, case: str) -> None:
    first, second, out, target, flops = LIBRARY[case]
    text = entry(
        f"""%x = {first}{{3,2,1,0}} parameter(0)
        %w = {second}{{3,2,1,0}} parameter(1)
        %c = ({out}{{3,2,1,0}}, u8[0]{{0}}) custom-call(%x, %w), window={{size=3x3 pad=1_1x1_1}}, dim_labels=b01f_o01i->b01f, custom_call_target="{target}"
        ROOT %g = {out} get-tuple-element(%c), index=0"""  # noqa: E501
    )
    assert words(made(tmp_path, text))["flops"] == flops


@pytest.mark.parametrize(("target", "flops"), [("__cudnn$fmhaSoftmax", 4.0), ("__cudnn$fmhaSoftmaxBackward", 10.0)])
def test_attention_of_a_library(tmp_path: Path, target: str, flops: float) -> None:
    """Two products forward, five backward, of half the pairs of 512 tokens, 16 heads of 64, batch 4; and the softmax."""
    arrays = "\n".join(f"%{name} = bf16[4,512,16,64]{{3,2,1,0}} parameter({at})" for at, name in enumerate("qkv"))
    text = entry(
        f"""{arrays}
        %c = (bf16[4,512,16,64], u8[0]{{0}}) custom-call(%q, %k, %v), custom_call_target="{target}", {CONFIG}
        ROOT %g = bf16[4,512,16,64] get-tuple-element(%c), index=0"""
    )
    found = made(tmp_path, text)
    assert not found.unpriced
    assert words(found)["flops"] == pytest.approx(flops * 4 * 16 * 512 * 512 / 2 * 64, rel=0.03)


def test_an_input_that_is_spread_out_is_not_multiplied_in_its_holes(tmp_path: Path) -> None:
    """14 elements with a hole behind each, and taps of 4 that step over two at each end: XLA counts those that meet one."""
    text = entry(
        """%x = f32[8,14,14,64]{3,2,1,0} parameter(0)
        %w = f32[4,4,64,128]{3,2,1,0} parameter(1)
        ROOT %y = f32[8,28,28,128] convolution(%x, %w), window={size=4x4 pad=2_2x2_2 lhs_dilate=2x2}, dim_labels=b01f_01io->b01f"""  # noqa: E501
    )
    one_way = sum(0 <= out - 2 + tap <= 26 and not (out - 2 + tap) % 2 for out in range(28) for tap in range(4))
    assert words(made(tmp_path, text))["flops"] == 2 * 8 * 64 * 128 * one_way**2


def test_a_sum_over_windows_adds_all_of_each_window_but_one(tmp_path: Path) -> None:
    text = entry(
        """%x = f32[64,128]{1,0} parameter(0)
        %z = f32[] constant(0)
        ROOT %y = f32[64,128]{1,0} reduce-window(%x, %z), window={size=1x128 pad=0_0x127_0}, to_apply=%add"""
    )
    assert words(made(tmp_path, text))["flops"] == 64 * 128 * 127


def stable(body: str, arguments: str, results: str) -> str:
    lines = "\n".join(f"    {line.strip()}" for line in body.strip().splitlines())
    return f"module @m {{\n  func.func public @main({arguments}) -> {results} {{\n{lines}\n  }}\n}}\n"


def test_results_by_their_own_names_and_a_reduction_of_pairs(tmp_path: Path) -> None:
    """The largest of 8 rows of 1000 and where it stands, 2 FLOP an element; numbers are counted, not read. Then the 4
    largest: 8 x 1000 x 4 bytes are read each time."""
    text = stable(
        """%c = stablehlo.constant dense<0> : tensor<i32>
        %cst = stablehlo.constant dense<0xFF800000> : tensor<f32>
        %0 = stablehlo.iota dim = 1 : tensor<8x1000xi32>
        %1:2 = stablehlo.reduce(%arg0 init: %cst), (%0 init: %c) across dimensions = [1] : (tensor<8x1000xf32>, tensor<8x1000xi32>, tensor<f32>, tensor<i32>) -> (tensor<8xf32>, tensor<8xi32>)
         reducer(%arg1: tensor<f32>, %arg3: tensor<f32>) (%arg2: tensor<i32>, %arg4: tensor<i32>)  {
          %2 = stablehlo.compare  GT, %arg1, %arg3,  FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
          %3 = stablehlo.select %2, %arg1, %arg3 : tensor<i1>, tensor<f32>
          %4 = stablehlo.select %2, %arg2, %arg4 : tensor<i1>, tensor<i32>
          stablehlo.return %3, %4 : tensor<f32>, tensor<i32>
        }
        %values, %indices = chlo.top_k(%arg0, k = 4) : tensor<8x1000xf32> -> (tensor<8x4xf32>, tensor<8x4xi32>)
        return %1#0, %values : tensor<8xf32>, tensor<8x4xf32>""",  # noqa: E501
        "%arg0: tensor<8x1000xf32>",
        "(tensor<8xf32>, tensor<8x4xf32>)",
    )
    found = made(tmp_path, text)
    assert words(found)["flops"] == 2 * 8 * 1000
    assert words(found)["hbm_bytes"] == 2 * 8 * 1000 * 4 + 2 * 8 * 4 + 2 * 8 * 4 * 4 + 3 * 4
    assert not found.unpriced


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tensor<?x64xf32, #stablehlo.bounds<16, ?>>", None),
        ("tensor<?x64xf32>", r"module.txt:2:1: main cannot be read: a size is open"),
    ],
)
def test_a_size_that_is_open_is_its_bound_or_refused(tmp_path: Path, kind: str, said: str | None) -> None:
    text = stable(f"%0 = stablehlo.add %arg0, %arg0 : {kind}\nreturn %0 : {kind}", f"%arg0: {kind}", kind)
    if said is None:
        assert words(made(tmp_path, text))["hbm_bytes"] == 2 * 16 * 64 * 4
        return
    with pytest.raises(SpecError, match=said):
        made(tmp_path, text)
    (tmp_path / "open.hlo").write_text(entry("ROOT %n = f32[?,64]{1,0} parameter(0)"))
    with pytest.raises(SpecError, match=r"open.hlo:\d+:1: this is no HLO instruction: a size is open"):
        import_files([tmp_path / "open.hlo"])


def test_a_fourier_transform_counts_as_xla_counts_it(tmp_path: Path) -> None:
    text = entry(
        """%x = f32[64,4096]{1,0} parameter(0)
        ROOT %y = c64[64,2049]{1,0} fft(%x), fft_type=RFFT, fft_length={4096}"""
    )
    assert words(made(tmp_path, text))["flops"] == 8 * 64 * 4096 * 12


def test_a_collective_that_is_split_but_said_to_be_synchronous_holds_up(tmp_path: Path) -> None:
    config = 'backend_config={"collective_backend_config":{"is_sync":true}}'
    text = module(
        f"""%x = f32[1024,64]{{1,0}} parameter(0)
        %c = f32[1024,64]{{1,0}} all-reduce-start(%x), replica_groups={{}}, to_apply=%add, {config}
        %e = f32[1024,64]{{1,0}} all-reduce-done(%c)
        %d = f32[1024,64]{{1,0}} negate(%x)
        ROOT %r = (f32[1024,64], f32[1024,64]) tuple(%e, %d)""",
        4,
    )
    assert any("neg(" in line and "after=[c]" in line for line in made(tmp_path, text).ops)


BROKEN_HLO = """HloModule m, num_partitions=2

ENTRY %main {
  %x = f32[16,8] parameter(0)
  %s = (f32[16,8], f32[32,8]) all-gather-start(
    f32[16,8] %x), replica_groups={{0,1}}, dimensions={0},
    metadata={op_type="AllGather" op_name="a(b"}
  %w = f32[8,4] parameter(1)
  %d = f32[32,8] all-gather-done(
    (f32[16,8], f32[32,8]) %s)
  ROOT %p = f32[32,4] dot(%d, %w), lhs_contracting_dims={1},
    rhs_contracting_dims={0}
}
"""
BROKEN_MLIR = """module @m attributes {
  mhlo.num_partitions = 2 : i32
} {
  func.func @main(
      %arg0: tensor<16x8xf32>,
      %arg1: tensor<8x4xf32>
  ) -> tensor<32x4xf32> {
    // what is gathered
    %0 = "stablehlo.all_gather"(%arg0) {
      all_gather_dim = 0 : i64,
      replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>
    } : (tensor<16x8xf32>) -> tensor<32x8xf32>
    %1 = "stablehlo.dot_general"(%0, %arg1) <{
      dot_dimension_numbers = #stablehlo.dot<
        lhs_contracting_dimensions = [1],
        rhs_contracting_dimensions = [0]
      >
    }> : (tensor<32x8xf32>, tensor<8x4xf32>)
      -> tensor<32x4xf32>
    func.return %1 : tensor<32x4xf32>
  }
}
"""


@pytest.mark.parametrize("text", [BROKEN_HLO, BROKEN_MLIR], ids=["hlo", "stablehlo"])
def test_lines_may_be_broken_where_people_break_them(tmp_path: Path, text: str) -> None:
    found = words(made(tmp_path, text))
    assert (found["flops"], found["network_bytes"]) == (2 * 32 * 8 * 4, 16 * 8 * 4)


def test_a_product_that_a_tpu_writes_as_a_convolution(tmp_path: Path) -> None:
    text = entry(
        """%x = bf16[512,256]{1,0:T(8,128)(2,1)} parameter(0)
        %w = bf16[256,1024]{1,0:T(8,128)(2,1)S(1)} parameter(1)
        ROOT %y = bf16[512,1024]{1,0:T(8,128)(2,1)} convolution(%x, %w), dim_labels=bf_io->bf"""
    )
    found = made(tmp_path, text)
    assert any("= matmul(" in line for line in found.ops)
    assert words(found)["flops"] == 2 * 512 * 256 * 1024


def test_places_in_a_tuple_may_be_told_anywhere(tmp_path: Path) -> None:
    text = entry(
        """%p = (f32[8,8], f32[8,8], f32[8,8], f32[8,8], f32[8,8], /*index=5*/(f32[8,8], f32[16,8])) parameter(0)
        %t = (f32[8,8], f32[16,8]) get-tuple-element(%p), index=5
        %e = f32[16,8] get-tuple-element(%t), index=1
        ROOT %n = f32[16,8] negate(%e)"""
    )
    assert words(made(tmp_path, text))["hbm_bytes"] == 2 * 16 * 8 * 4
