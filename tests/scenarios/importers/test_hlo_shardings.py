"""Shardings that annotate a module: read in every way of writing them, and the program of one chip that follows.

What is expected is what our own planner makes of the same ops sharded by hand, or a count by hand.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from hw import SpecError
from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers.hlo.sharding.layouts import common_cuts, layouts_in, meshes_in, split_at
from tests.scenarios.importers.test_hlo import made, words

MESH = 'sdy.mesh @mesh = <["d"=2, "m"=4]>'
ROWS, COLUMNS = ((4, 2),), ((1, 4),)
"""The digits of axis d and of axis m of a mesh of 2 x 4."""


@pytest.mark.parametrize(
    ("said", "cuts"),
    [
        ('#sdy.sharding<@mesh, [{"d"}, {"m"}]>', (ROWS, COLUMNS)),
        ('#sdy.sharding<@mesh, [{"m", "d"}, {}]>', ((*COLUMNS, *ROWS), ())),
        ('#sdy.sharding_per_value<[<@mesh, [{}, {"d", ?}p1], replicated={"m"}>]>', ((), ROWS)),
        ('#sdy.sharding<@mesh, [{"m":(1)2}, {"m":(2)2}]>', (((2, 2),), ((1, 2),))),
        ('xla.sdy.sharding="#sdy.sharding<@mesh, [{\\"d\\"}, {}]>"', (ROWS, ())),
        ('#sdy.sharding<mesh<["a"=2, "b"=4]>, [{"a"}, {"b"}]>', (ROWS, COLUMNS)),
        ("{devices=[2,4]<=[8]}", (ROWS, COLUMNS)),
        ('{devices=[2,4]<=[8] metadata={op_name="a[b={}]"}}', (ROWS, COLUMNS)),
        ("{devices=[2,1,4]<=[8] last_tile_dim_replicate}", (ROWS, ())),
        ("{devices=[1,4,2]<=[2,4]T(1,0) last_tile_dim_replicate}", ((), COLUMNS)),
        ("{devices=[4,2]<=[2,4]T(1,0)}", (COLUMNS, ROWS)),
        ("{devices=[8,1]<=[8]}", (((1, 8),), ())),
        ("{devices=[2,4]0,1,2,3,4,5,6,7}", (ROWS, COLUMNS)),
        ("{devices=[4,2]0,4,1,5,2,6,3,7}", (COLUMNS, ROWS)),
        ("{devices=[2,1,4]0,2,4,6,1,3,5,7 last_tile_dims={replicated}}", (((1, 2),), ())),
        ("{replicated}", ()),
        ("{maximal device=0}", ()),
    ],
)
def test_every_way_of_writing_a_sharding(said: str, cuts: tuple[tuple[tuple[int, int], ...], ...]) -> None:
    (found,) = layouts_in(said, meshes_in(MESH))
    assert found.cuts == cuts


def test_shardings_of_a_tuple_are_several() -> None:
    found = layouts_in("{{devices=[2,4]<=[8]}, {replicated}, {manual}}", {})
    assert [each.cuts for each in found] == [(ROWS, COLUMNS), (), ()]
    assert [each.manual for each in found] == [False, False, True]


def test_digits_that_overlap_are_split() -> None:
    (eight,), (two,) = layouts_in("{devices=[8]<=[8]}", {}), layouts_in("{devices=[2,4]<=[8]}", {})
    assert split_at(eight, common_cuts([eight, two])).cuts == (((4, 2), (1, 4)),)


@pytest.mark.parametrize("said", ["{devices=[2,3]<=[8]}", "{devices=[4]0,2,1,1}", "{devices=[3,2]<=[2,3]}"])
def test_a_sharding_that_fits_no_mesh_is_refused(tmp_path: Path, said: str) -> None:
    text = TP.replace('sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}, %arg1', f'mhlo.sharding = "{said}"}}, %arg1')
    with pytest.raises(SpecError, match=r"module.txt:3:1: a sharding cannot be read: "):
        made(tmp_path, text)


TP = """module @jit_mlp attributes {mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<512x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}, %arg1: tensor<256x1024xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"m"}]>}, %arg2: tensor<1024x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"m"}, {}]>}) -> (tensor<512x256xf32> {jax.result_info = "result", sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}) {
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] : (tensor<512x256xf32>, tensor<256x1024xf32>) -> tensor<512x1024xf32>
    %1 = call @act(%0) : (tensor<512x1024xf32>) -> tensor<512x1024xf32>
    %2 = stablehlo.dot_general %1, %arg2, contracting_dims = [1] x [0] : (tensor<512x1024xf32>, tensor<1024x256xf32>) -> tensor<512x256xf32>
    return %2 : tensor<512x256xf32>
  }
  func.func private @act(%arg0: tensor<512x1024xf32>) -> tensor<512x1024xf32> {
    %0 = stablehlo.tanh %arg0 : tensor<512x1024xf32>
    return %0 : tensor<512x1024xf32>
  }
}
"""  # noqa: E501

TP_HLO = """HloModule jit_mlp

act.1 {
  Arg_0.1 = f32[512,1024]{1,0} parameter(0)
  ROOT tanh.3 = f32[512,1024]{1,0} tanh(Arg_0.1)
}

ENTRY main.2 {
  x.1 = f32[512,256]{1,0} parameter(0), sharding={devices=[2,1,4]<=[8] last_tile_dim_replicate}
  w1.1 = f32[256,1024]{1,0} parameter(1), sharding={devices=[1,4,2]<=[2,4]T(1,0) last_tile_dim_replicate}
  dot.3 = f32[512,1024]{1,0} dot(x.1, w1.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  call.1 = f32[512,1024]{1,0} call(dot.3), to_apply=act.1
  w2.1 = f32[1024,256]{1,0} parameter(2), sharding={devices=[4,1,2]<=[2,4]T(1,0) last_tile_dim_replicate}
  dot.4 = f32[512,256]{1,0} dot(call.1, w2.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  tuple.1 = (f32[512,256]{1,0}) tuple(dot.4)
  ROOT gte.1 = f32[512,256]{1,0} get-tuple-element(tuple.1), index=0, sharding={devices=[2,1,4]<=[8] last_tile_dim_replicate}
}
"""

SHARD_MAP = """HloModule jit_mlp, frontend_attributes={xla.sdy.meshes={mesh = #sdy.mesh<["d"=2, "m"=4]>}}

body.3 {
  p.7 = f32[256,256]{1,0} parameter(0)
  p.8 = f32[256,256]{1,0} parameter(1)
  p.9 = f32[256,256]{1,0} parameter(2)
  dot.2 = f32[256,256]{1,0} dot(p.7, p.8), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  tanh.1 = f32[256,256]{1,0} tanh(dot.2)
  dot.3 = f32[256,256]{1,0} dot(tanh.1, p.9), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT psum.5 = f32[256,256]{1,0} all-reduce(dot.3), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=add.2
}

ENTRY main.4 {
  x.1 = f32[512,256]{1,0} parameter(0)
  a.1 = f32[256,1024]{1,0} parameter(1)
  b.1 = f32[1024,256]{1,0} parameter(2)
  sm.12 = (f32[256,256]{1,0}, f32[256,256]{1,0}, f32[256,256]{1,0}) custom-call(x.1, a.1, b.1), custom_call_target="xla.sdy.GlobalToLocalShape", frontend_attributes={xla.sdy.in_shardings="#sdy.sharding_per_value<[<@mesh, [{\\"d\\"}, {}]>, <@mesh, [{}, {\\"m\\"}]>, <@mesh, [{\\"m\\"}, {}]>]>",xla.sdy.manual_axes="#sdy<manual_axes{\\"d\\", \\"m\\"}>"}
  sm.13 = f32[256,256]{1,0} get-tuple-element(sm.12), index=0
  sm.14 = f32[256,256]{1,0} get-tuple-element(sm.12), index=1
  sm.15 = f32[256,256]{1,0} get-tuple-element(sm.12), index=2
  sm.16 = f32[256,256]{1,0} call(sm.13, sm.14, sm.15), to_apply=body.3
  ROOT sm.17 = f32[512,256]{1,0} custom-call(sm.16), custom_call_target="xla.sdy.LocalToGlobalShape", frontend_attributes={xla.sdy.out_shardings="#sdy.sharding_per_value<[<@mesh, [{\\"d\\"}, {}]>]>"}
}
"""  # noqa: E501

PARTITIONED = """HloModule jit_mlp, is_scheduled=true, num_partitions=8

ENTRY main.4 {
  x.1 = f32[256,256]{1,0} parameter(0), sharding={devices=[2,1,4]<=[8] last_tile_dim_replicate}
  a.1 = f32[256,256]{1,0} parameter(1), sharding={devices=[1,4,2]<=[2,4]T(1,0) last_tile_dim_replicate}
  b.1 = f32[256,256]{1,0} parameter(2), sharding={devices=[4,1,2]<=[2,4]T(1,0) last_tile_dim_replicate}
  dot.2 = f32[256,256]{1,0} dot(x.1, a.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  tanh.1 = f32[256,256]{1,0} tanh(dot.2)
  dot.3 = f32[256,256]{1,0} dot(tanh.1, b.1), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT psum.5 = f32[256,256]{1,0} all-reduce(dot.3), replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=add.2
}
"""

BY_HAND = """
name: mlp
system: {chip: h100_sxm, topology: switch(8) over nvlink, mesh: {X: 2, Y: 4}}
workload:
  dims: {B: 512, D: 256, F: 1024}
  fuse: elementwise
  ops:
    - h:fp32[B_X,F_Y] = matmul(x:fp32[B_X,D], w1:fp32[D,F_Y])
    - a:fp32[B_X,F_Y] = tanh(h)
    - y:fp32[B_X,D] = matmul(a, w2:fp32[F_Y,D])
"""


@pytest.mark.parametrize(
    "text", [TP, TP_HLO, SHARD_MAP, PARTITIONED], ids=["stablehlo", "hlo", "shard_map", "partitioned"]
)
def test_an_mlp_takes_what_our_own_sharded_ops_take(tmp_path: Path, text: str) -> None:
    found = made(tmp_path, text)
    expected = summarise(build_scenario(parse_document(BY_HAND, "mlp.yaml"), Path("mlp.yaml")))
    assert found.system["mesh"] == {"X": 2, "Y": 4}
    if text is TP:
        assert "arguments in parts: arg0[512_X,256], arg1[256,1024_Y], arg2[1024_Y,256]" in found.notes
    for word in ("time", "flops", "hbm_bytes", "network_bytes", "t_network"):
        assert words(found)[word] == pytest.approx(float(str(expected[word])), rel=1e-6), word


def test_arguments_are_moved_to_how_a_shard_map_takes_them(tmp_path: Path) -> None:
    """A weight that lies in rows over four chips, and is taken in columns: three quarters of its quarter are exchanged."""
    rows = "a.1 = f32[256,1024]{1,0} parameter(1), sharding={devices=[4,1,2]<=[2,4]T(1,0) last_tile_dim_replicate}"
    moved = SHARD_MAP.replace("a.1 = f32[256,1024]{1,0} parameter(1)", rows)
    plain, found = (words(made(tmp_path, text))["network_bytes"] for text in (SHARD_MAP, moved))
    assert found - plain == 256 * 1024 * 4 / 4 * 3 / 4


def sharded(*, x: str, w: str, out: str, body: str = "", last: str = "%0") -> str:
    """A product of x[64,256] and w[256,512] on 2 x 4 chips."""
    said = [f"sdy.sharding = #sdy.sharding<@mesh, [{each}]>" for each in (x, w, out)]
    lines = f"    {body}\n" if body else ""
    return f"""module @m attributes {{mhlo.num_partitions = 8 : i32}} {{
  {MESH}
  func.func public @main(%arg0: tensor<64x256xf32> {{{said[0]}}}, %arg1: tensor<256x512xf32> {{{said[1]}}}) -> (tensor<64x512xf32> {{{said[2]}}}) {{
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] : (tensor<64x256xf32>, tensor<256x512xf32>) -> tensor<64x512xf32>
{lines}    return {last} : tensor<64x512xf32>
  }}
}}
"""  # noqa: E501


WHOLE, X_BYTES, W_BYTES, OUT_BYTES = 2 * 64 * 256 * 512, 64 * 256 * 4, 256 * 512 * 4, 64 * 512 * 4
CASES = {
    "batch on both axes, weights too: what is smaller is gathered": (
        {"x": '{"d","m"}, {}', "w": '{}, {"d","m"}', "out": '{}, {"d","m"}'}, WHOLE / 8, X_BYTES * 7 / 8,
    ),
    "weights kept in parts (FSDP) of the summed dim are gathered for a sharded batch": (
        {"x": '{"d"}, {}', "w": '{"d"}, {}', "out": '{"d"}, {}'}, WHOLE / 2, W_BYTES / 2,
    ),
    "parts of sums wanted whole are added up": (
        {"x": '{}, {"m"}', "w": '{"m"}, {}', "out": "{}, {}"}, WHOLE / 4, 2 * OUT_BYTES * 3 / 4,
    ),
    "parts of sums wanted in parts are scattered": (
        {"x": '{}, {"m"}', "w": '{"m"}, {}', "out": '{"m"}, {}'}, WHOLE / 4, OUT_BYTES * 3 / 4,
    ),
    "what is wanted in parts is not worked out whole": (
        {"x": "{}, {}", "w": "{}, {}", "out": '{"d"}, {"m"}'}, WHOLE / 8, 0,
    ),
    "what was worked out in parts and is wanted whole is gathered": (
        {"x": '{"d"}, {}', "w": '{}, {"m"}', "out": "{}, {}"}, WHOLE / 8, OUT_BYTES * 7 / 8,
    ),
    "a collective of Shardy's says how its operand is to lie": (
        {"x": '{"m"}, {}', "w": "{}, {}", "out": "{}, {}", "last": "%1",
         "body": '%1 = sdy.all_gather [{"m"}, {}] %0 out_sharding=<@mesh, [{}, {}]> : tensor<64x512xf32>'},
        WHOLE / 4, OUT_BYTES * 3 / 4,
    ),
    "from rows to columns in an exchange": (
        {"x": '{"m"}, {}', "w": "{}, {}", "out": '{}, {"m"}', "last": "%1",
         "body": '%1 = sdy.sharding_constraint %0 <@mesh, [{"m"}, {}]> : tensor<64x512xf32>'},
        WHOLE / 4, OUT_BYTES / 4 * 3 / 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_sent_where_shardings_meet(tmp_path: Path, case: str) -> None:
    """FLOPs of one chip, and the bytes that it sends, by the textbook's ring: (p-1)/p of what is whole."""
    said, flops, sent = CASES[case]
    found = words(made(tmp_path, sharded(**said)))
    assert (found["flops"], found["network_bytes"]) == (flops, sent)


UNEVEN = """module @m attributes {mhlo.num_partitions = 8 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<63x255xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {"m"}]>}, %arg1: tensor<255x511xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"m"}, {}]>}) -> (tensor<63x511xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"m"}]>}) {
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] : (tensor<63x255xf32>, tensor<255x511xf32>) -> tensor<63x511xf32>
    %1 = stablehlo.tanh %0 : tensor<63x511xf32>
    %2 = sdy.sharding_constraint %1 <@mesh, [{"m"}, {}]> : tensor<63x511xf32>
    return %2 : tensor<63x511xf32>
  }
}
"""  # noqa: E501


def test_parts_that_do_not_divide_are_padded(tmp_path: Path) -> None:
    """32 rows of 63 on each half, 64 of 255 that are contracted on each quarter, 16 of 63 rows where a quarter is wanted."""
    found = words(made(tmp_path, UNEVEN))
    assert found["flops"] >= 2 * 32 * 64 * 511
    assert found["flops"] <= 2 * 32 * 64 * 511 + 63 * 511


BROADCAST = """module @m attributes {mhlo.num_partitions = 8 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}, %arg1: tensor<64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}]>}) -> (tensor<64x128xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}) {
    %0 = sdy.sharding_constraint %arg1 <@mesh, [{"m"}]> : tensor<64xf32>
    %1 = stablehlo.broadcast_in_dim %0, dims = [0] : (tensor<64xf32>) -> tensor<64x128xf32>
    %2 = sdy.sharding_constraint %1 <@mesh, [{"m"}, {}]> : tensor<64x128xf32>
    %3 = stablehlo.multiply %arg0, %2 : tensor<64x128xf32>
    return %3 : tensor<64x128xf32>
  }
}
"""  # noqa: E501


def test_what_was_broadcast_moves_as_what_it_was(tmp_path: Path) -> None:
    """A column of 64 numbers, a quarter on each chip, is gathered for rows in halves: 48 numbers come, not 48 x 128."""
    found = words(made(tmp_path, BROADCAST))
    assert found["flops"] == 32 * 128
    assert found["network_bytes"] == 48 * 4


TURNED = """module @m attributes {mhlo.num_partitions = 8 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}, %arg1: tensor<128x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}) -> (tensor<1024x64xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}) {
    %0 = stablehlo.transpose %arg1, dims = [1, 0] : (tensor<128x64xf32>) -> tensor<64x128xf32>
    %1 = stablehlo.dot_general %arg0, %0, contracting_dims = [1] x [0] : (tensor<1024x64xf32>, tensor<64x128xf32>) -> tensor<1024x128xf32>
    %2 = stablehlo.dot_general %1, %arg1, contracting_dims = [1] x [0] : (tensor<1024x128xf32>, tensor<128x64xf32>) -> tensor<1024x64xf32>
    return %2 : tensor<1024x64xf32>
  }
}
"""  # noqa: E501


def test_a_square_that_is_turned_is_gathered_as_it_lies(tmp_path: Path) -> None:
    """Half of 128 x 64 is square, so that turning it changes no size of what a chip has."""
    assert words(made(tmp_path, TURNED))["flops"] == 2 * 2 * 512 * 64 * 128


def test_what_is_gathered_twice_is_gathered_once(tmp_path: Path) -> None:
    """Two products with a weight in parts, whose rows are sharded."""
    again = (
        "%1 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0] : (tensor<64x256xf32>, tensor<256x512xf32>)"
        " -> tensor<64x512xf32>\n    %2 = stablehlo.add %0, %1 : tensor<64x512xf32>"
    )
    text = sharded(x='{"d"}, {}', w='{"d"}, {}', out='{"d"}, {}', body=again, last="%2")
    assert words(made(tmp_path, text))["network_bytes"] == W_BYTES / 2


def test_batches_and_weights_in_as_many_parts(tmp_path: Path) -> None:
    """FSDP of an MLP over eight chips: both weights are gathered, although the first is larger than the batch."""
    text = TP.replace('[{"d"}, {}]', '[{"d","m"}, {}]').replace('[{}, {"m"}]', '[{"d","m"}, {}]')
    text = text.replace('[{"m"}, {}]', '[{"d","m"}, {}]')
    found = words(made(tmp_path, text))
    assert found["flops"] == (2 * 2 * 512 * 256 * 1024 + 512 * 1024) / 8
    assert found["network_bytes"] == 2 * 256 * 1024 * 4 * 7 / 8


LOOP = """module @m attributes {mhlo.num_partitions = 8 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<64x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}, %arg1: tensor<6x256x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {"m"}, {}]>}) -> tensor<64x256xf32> {
    %c = stablehlo.constant dense<0> : tensor<i32>
    %0:2 = stablehlo.while(%iterArg = %c, %iterArg_0 = %arg0) : tensor<i32>, tensor<64x256xf32>
    cond {
      %c_1 = stablehlo.constant dense<6> : tensor<i32>
      %1 = stablehlo.compare LT, %iterArg, %c_1, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
    } do {
      %c_1 = stablehlo.constant dense<0> : tensor<i32>
      %1 = stablehlo.dynamic_slice %arg1, %iterArg, %c_1, %c_1, sizes = [1, 256, 256] : (tensor<6x256x256xf32>, tensor<i32>, tensor<i32>, tensor<i32>) -> tensor<1x256x256xf32>
      %2 = stablehlo.reshape %1 : (tensor<1x256x256xf32>) -> tensor<256x256xf32>
      %3 = stablehlo.dot_general %iterArg_0, %2, contracting_dims = [1] x [1] : (tensor<64x256xf32>, tensor<256x256xf32>) -> tensor<64x256xf32>
      %c_2 = stablehlo.constant dense<1> : tensor<i32>
      %4 = stablehlo.add %iterArg, %c_2 : tensor<i32>
      stablehlo.return %4, %3 : tensor<i32>, tensor<64x256xf32>
    }
    return %0#1 : tensor<64x256xf32>
  }
}
"""  # noqa: E501


def test_a_loop_carries_what_is_sharded(tmp_path: Path) -> None:
    """Six layers whose outputs are columns in four parts, which the next gathers: 32 x 256 x 4 bytes, 3/4 sent."""
    found = words(made(tmp_path, LOOP))
    assert found["flops"] == 6 * 2 * 32 * 256 * 64
    assert found["network_bytes"] == 6 * 32 * 256 * 4 * 3 / 4


PARTLY = """module @m attributes {mhlo.num_partitions = 8 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<64x256xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {"m"}]>}, %arg1: tensor<256x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"m"}, {}]>}) -> (tensor<64x512xf32> {sdy.sharding = #sdy.sharding<@mesh, [{"d"}, {}]>}) {
    %0 = sdy.manual_computation(%arg0, %arg1) in_shardings=[<@mesh, [{?}, {"m", ?}]>, <@mesh, [{"m", ?}, {?}]>] out_shardings=[<@mesh, [{?}, {?}]>] manual_axes={"m"} (%arg2: tensor<64x64xf32>, %arg3: tensor<64x512xf32>) {
      %1 = stablehlo.tanh %arg2 : tensor<64x64xf32>
      %2 = stablehlo.dot_general %1, %arg3, contracting_dims = [1] x [0] : (tensor<64x64xf32>, tensor<64x512xf32>) -> tensor<64x512xf32>
      %3 = "stablehlo.all_reduce"(%2) <{replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>}> ({
      ^bb0(%arg4: tensor<f32>, %arg5: tensor<f32>):
        %4 = stablehlo.add %arg4, %arg5 : tensor<f32>
        stablehlo.return %4 : tensor<f32>
      }) : (tensor<64x512xf32>) -> tensor<64x512xf32>
      sdy.return %3 : tensor<64x512xf32>
    } : (tensor<64x256xf32>, tensor<256x512xf32>) -> tensor<64x512xf32>
    return %0 : tensor<64x512xf32>
  }
}
"""  # noqa: E501


def test_a_shard_map_over_some_axes_is_cut_by_the_others_within(tmp_path: Path) -> None:
    """32 rows by a quarter of what is contracted, and twice three quarters of 32 x 512 numbers."""
    found = words(made(tmp_path, PARTLY))
    assert found["flops"] == 2 * 32 * 64 * 512 + 32 * 64
    assert found["network_bytes"] == 2 * 3 / 4 * 32 * 512 * 4


ROWS_OF_A_TABLE = """module @m attributes {mhlo.num_partitions = 8 : i32} {
  func.func public @main(%arg0: tensor<1024x64xf32> {mhlo.sharding = "{devices=[4,1,2]<=[2,4]T(1,0) last_tile_dim_replicate}"}, %arg1: tensor<32x1xi32> {mhlo.sharding = "{devices=[2,1,4]<=[8] last_tile_dim_replicate}"}) -> (tensor<32x64xf32> {mhlo.sharding = "{devices=[2,1,4]<=[8] last_tile_dim_replicate}"}) {
    %0 = "stablehlo.gather"(%arg0, %arg1) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 64>}> : (tensor<1024x64xf32>, tensor<32x1xi32>) -> tensor<32x64xf32>
    return %0 : tensor<32x64xf32>
  }
}
"""  # noqa: E501


def test_rows_of_a_sharded_table_are_added_up(tmp_path: Path) -> None:
    """16 rows on each half of the chips: every chip has those of its part, and zeros; twice three quarters are sent."""
    assert words(made(tmp_path, ROWS_OF_A_TABLE))["network_bytes"] == 2 * 16 * 64 * 4 * 3 / 4


@pytest.mark.parametrize("text", [TP, SHARD_MAP, LOOP], ids=["sdy", "shard_map", "loop"])
def test_broken_shardings_are_read_or_refused(tmp_path: Path, text: str) -> None:
    """Every seventh sign of what says them is another."""
    places = [at for at, letter in enumerate(text) if letter in '{}[]"@<>=' and "shard" in text[max(0, at - 60) : at]]
    for at in places[::7]:
        with suppress(SpecError):
            words(made(tmp_path, text[:at] + "?" + text[at + 1 :]))
