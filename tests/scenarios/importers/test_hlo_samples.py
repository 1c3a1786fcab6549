"""What stands in XLA's own tests and in modules of others: solvers, norms over a batch, loops, odd calls.

Sizes and forms are those of openxla/xla, xla/hlo/parser/hlo_parser_test.cc; counts are by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import SpecError
from scenarios.importers import ImportOptions, import_files
from tests.scenarios.importers.test_hlo import entry, made, words


@pytest.mark.parametrize(
    ("line", "flops", "moved"),
    [
        # each number of b by n multiply-adds; a third of n for each of a factor
        ("f32[64,128] triangular-solve(%b, %a), lower=true", 2 * 64 * 128 * 128, 4 * (128 * 128 + 2 * 64 * 128)),
        ("f32[128,128] cholesky(%b), lower=true", 128**3 // 3, 4 * 2 * 128 * 128),
        # 4 FLOP an element, read once; 10, read twice
        ("f32[64,128] batch-norm-inference(%a, %c, %c, %c, %c)", 4 * 64 * 128, 4 * (2 * 64 * 128 + 128)),
        (
            "(f32[64,128], f32[128], f32[128]) batch-norm-training(%a, %c, %c)",
            10 * 64 * 128,
            4 * (3 * 64 * 128 + 3 * 128),
        ),
        # 4 scales of 8 bits for each row of 128 numbers of 8 bits, on both sides
        (
            "bf16[64,32] scaled-dot(%q, %w, %qs, %ws), lhs_contracting_dims={1}, rhs_contracting_dims={1}",
            2 * 64 * 32 * 128,
            64 * 128 + 32 * 128 + 4 * (64 + 32) + 2 * 64 * 32,
        ),
        # 20 of 28 taps in each direction fall on a number: the first of 7 has two, the others three
        (
            "f32[1,14,14,512] convolution(%x, %k), window={size=3x3 pad=1_2x1_2 lhs_dilate=2x2 rhs_reversal=1x1}, "
            "dim_labels=b01f_01oi->b01f",
            2 * 20 * 20 * 512 * 512,
            4 * (7 * 7 * 512 + 9 * 512 * 512 + 14 * 14 * 512),
        ),
        # a library's call with the labels of a convolution: 3 taps of 64 channels for each number that is made
        (
            "f32[8,198,32] custom-call(%s, %t), window={size=3}, dim_labels=b0f_0io->b0f, "
            'custom_call_target="DynamicConvolutionForward"',
            2 * 8 * 198 * 32 * 3 * 64,
            4 * (8 * 200 * 64 + 3 * 64 * 32 + 8 * 198 * 32),
        ),
    ],
)
def test_what_xla_keeps_as_one_instruction(tmp_path: Path, line: str, flops: int, moved: int) -> None:
    shapes = "b f32[128,128],a f32[64,128],c f32[128],q f8e4m3fn[64,128],w f8e4m3fn[32,128],qs f8e8m0fnu[64,4]"
    shapes += ",ws f8e8m0fnu[32,4],x f32[1,7,7,512],k f32[3,3,512,512],s f32[8,200,64],t f32[3,64,32]"
    given = [one.split(" ") for one in shapes.replace("],", "]|").split("|")]
    parameters = "\n".join(f"  %{name} = {kind} parameter({at})" for at, (name, kind) in enumerate(given))
    found = made(tmp_path, entry(f"{parameters}\n  ROOT %made = {line}"))
    assert not found.unpriced
    assert words(found)["flops"] == pytest.approx(flops, rel=1e-4)
    assert words(found)["hbm_bytes"] == moved


LOOP = """
%body (arg: (s32[], f32[64,64])) -> (s32[], f32[64,64]) {
  %arg = (s32[], f32[64,64]) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %x = f32[64,64] get-tuple-element(%arg), index=1
  %y = f32[64,64] dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %by = s32[] constant(STEP)
  %n = s32[] add(%i, %by)
  ROOT %t = (s32[], f32[64,64]) tuple(%n, %y)
}
%cond (arg: (s32[], f32[64,64])) -> pred[] {
  %arg = (s32[], f32[64,64]) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %limit = s32[] constant(LIMIT)
  ROOT %goes = pred[] compare(%i, %limit), direction=WAY
}
"""


def looped(first: str, step: int, limit: int, way: str) -> str:
    body = f"""%p = f32[64,64] parameter(0)
  %asked = s32[] parameter(1)
  %first = s32[] {first}
  %t = (s32[], f32[64,64]) tuple(%first, %p)
  %loop = (s32[], f32[64,64]) while(%t), condition=%cond, body=%body
  ROOT %r = f32[64,64] get-tuple-element(%loop), index=1"""
    head, text = entry(body).split("\n", 1)
    said = LOOP.replace("STEP", str(step)).replace("LIMIT", str(limit)).replace("WAY", way)
    return f"{head}\n{said}\n{text}"


@pytest.mark.parametrize(
    ("first", "step", "limit", "way", "turns"),
    [
        (0, 1, 10, "LT", 10),
        (4, 2, 10, "LT", 3),
        (4, 4, 10, "LT", 2),
        (1, 1, 10, "LE", 10),
        (12, -1, 0, "GT", 12),
        (12, -1, 0, "GE", 13),
        (2, 3, 11, "NE", 3),
    ],
)
def test_loops_that_count(tmp_path: Path, first: int, step: int, limit: int, way: str, turns: int) -> None:
    found = made(tmp_path, looped(f"constant({first})", step, limit, way))
    assert words(found)["flops"] == turns * 2 * 64**3


def test_a_loop_of_unknown_turns_is_asked_for(tmp_path: Path) -> None:
    """Counted down to nought from what the program is given."""
    text = looped("copy(%asked)", -1, 0, "GT")
    with pytest.raises(SpecError, match=r"how often this loop goes round is not known.*say it with --dim loop=N"):
        made(tmp_path, text)
    found = made(tmp_path, text, ImportOptions(dims={"loop": 7}))
    assert words(found)["flops"] == 7 * 2 * 64**3
    with pytest.raises(SpecError, match="'lop'"):
        made(tmp_path, text, ImportOptions(dims={"loop": 7, "lop": 7}))


def test_stablehlo_says_which_way_it_compares(tmp_path: Path) -> None:
    text = """module @m {
  func.func public @main(%arg0: tensor<64x64xf32>) -> tensor<64x64xf32> {
    %c = stablehlo.constant dense<4> : tensor<i32>
    %0:2 = stablehlo.while(%iterArg = %c, %iterArg_0 = %arg0) : tensor<i32>, tensor<64x64xf32>
    cond {
      %c_0 = stablehlo.constant dense<10> : tensor<i32>
      %1 = stablehlo.compare  LT, %iterArg, %c_0,  SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
    } do {
      %1 = stablehlo.dot_general %iterArg_0, %iterArg_0, contracting_dims = [1] x [0]
          : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
      %c_0 = stablehlo.constant dense<2> : tensor<i32>
      %2 = stablehlo.add %iterArg, %c_0 : tensor<i32>
      stablehlo.return %2, %1 : tensor<i32>, tensor<64x64xf32>
    }
    return %0#1 : tensor<64x64xf32>
  }
}
"""
    path = tmp_path / "loop.mlir"
    path.write_text(text)
    assert words(import_files([path]))["flops"] == 3 * 2 * 64**3


def test_calls_in_three_steps_and_barriers_are_what_they_start(tmp_path: Path) -> None:
    """A call that is started, looked at and waited for is one op; what only waits for other chips is none."""
    text = entry(
        """%p = f32[10]{0} parameter(0)
  %wait = (f32[10]{0}, u32[]{:S(2)}) custom-call(), custom_call_target="BarrierStart"
  %s = ((f32[10]{0}), f32[20]{0}, s32[]) custom-call-start(f32[10]{0} %p), custom_call_target="foo"
  %u = ((f32[10]{0}), f32[20]{0}, s32[]) custom-call-update(((f32[10]{0}), f32[20]{0}, s32[]) %s)
  ROOT %d = f32[20]{0} custom-call-done(((f32[10]{0}), f32[20]{0}, s32[]) %u)"""
    )
    found = made(tmp_path, text)
    assert [(each.kind, each.count) for each in found.unpriced] == [("custom-call foo", 1)]


def test_a_ragged_all_to_all_sends_its_first_operand(tmp_path: Path) -> None:
    """Behind it stand where it goes, and offsets and sizes of what is sent and received."""
    text = entry(
        """%p = f32[64,128] parameter(0)
  %q = f32[64,128] parameter(1)
  %o = s64[8] parameter(2)
  ROOT %r = f32[64,128] ragged-all-to-all(%p, %q, %o, %o, %o, %o), replica_groups={{0,1,2,3,4,5,6,7}}""",
        about="num_partitions=8",
    )
    assert words(made(tmp_path, text))["network_bytes"] == 7 / 8 * 64 * 128 * 4
