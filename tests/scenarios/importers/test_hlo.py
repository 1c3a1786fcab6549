"""HLO and StableHLO: the same program in both texts costs the same, FLOPs and bytes are those of its shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import SpecError
from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, ImportOptions, import_files
from tests.support.mutations import refusals

HLO = """HloModule jit_mlp, is_scheduled=true, entry_computation_layout={(f32[64,128]{1,0})->f32[64,32]{1,0}}

%gelu (p0: f32[64,256], p1: f32[256]) -> f32[64,256] {
  %p0 = f32[64,256]{1,0} parameter(0)
  %p1 = f32[256]{0} parameter(1)
  %b = f32[64,256]{1,0} broadcast(%p1), dimensions={1}
  %add.1 = f32[64,256]{1,0} add(%p0, %b)
  ROOT %tanh.1 = f32[64,256]{1,0:T(8,128)} tanh(%add.1), metadata={op_name="jit(f)/tanh" source_line=3}
}

ENTRY %main.9 (x: f32[64,128], w: f32[128,256], bias: f32[256], v: f32[256,32]) -> f32[64,32] {
  %x = f32[64,128]{1,0} parameter(0), metadata={op_name="x"}
  %w = f32[128,256]{1,0} parameter(1)
  %bias = f32[256]{0} parameter(2)
  %v = f32[256,32]{1,0} parameter(3)
  %dot.1 = f32[64,256]{1,0} dot(f32[64,128]{1,0} %x, f32[128,256] %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %fused = f32[64,256]{1,0} fusion(%dot.1, %bias), kind=kLoop, calls=%gelu
  ROOT %dot.2 = f32[64,32]{1,0} dot(%fused, %v), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""

STABLE = """module @jit_mlp attributes {mhlo.num_partitions = 1 : i32} {
  func.func public @main(%arg0: tensor<64x128xf32>, %arg1: tensor<128x256xf32>, %arg2: tensor<256xf32>, %arg3: tensor<256x32xf32>) -> (tensor<64x32xf32> {jax.result_info = "result"}) {
    %0 = stablehlo.dot_general %arg0, %arg1, contracting_dims = [1] x [0], precision = [DEFAULT, DEFAULT] : (tensor<64x128xf32>, tensor<128x256xf32>) -> tensor<64x256xf32>
    %1 = stablehlo.broadcast_in_dim %arg2, dims = [1] : (tensor<256xf32>) -> tensor<1x256xf32>
    %2 = stablehlo.broadcast_in_dim %1, dims = [0, 1] : (tensor<1x256xf32>) -> tensor<64x256xf32>
    %3 = stablehlo.add %0, %2 : tensor<64x256xf32>
    %4 = call @act(%3) : (tensor<64x256xf32>) -> tensor<64x256xf32>
    %5 = stablehlo.dot_general %4, %arg3, contracting_dims = [1] x [0] : (tensor<64x256xf32>, tensor<256x32xf32>) -> tensor<64x32xf32>
    return %5 : tensor<64x32xf32>
  }
  func.func private @act(%arg0: tensor<64x256xf32>) -> tensor<64x256xf32> {
    %0 = stablehlo.tanh %arg0 : tensor<64x256xf32>
    return %0 : tensor<64x256xf32>
  }
}
"""  # noqa: E501

LOOP = """module @jit_loop {
  func.func public @main(%arg0: tensor<64x64xbf16>, %arg1: tensor<64x64xbf16>) -> tensor<64x64xbf16> {
    %c = stablehlo.constant dense<0> : tensor<i32>
    %0:3 = stablehlo.while(%iterArg = %arg1, %iterArg_0 = %c, %iterArg_1 = %arg0) : tensor<64x64xbf16>, tensor<i32>, tensor<64x64xbf16>
    cond {
      %c_2 = stablehlo.constant dense<10> : tensor<i32>
      %1 = stablehlo.compare LT, %iterArg_0, %c_2, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %1 : tensor<i1>
    } do {
      %1 = stablehlo.dot_general %iterArg_1, %iterArg, contracting_dims = [1] x [0] : (tensor<64x64xbf16>, tensor<64x64xbf16>) -> tensor<64x64xbf16>
      %c_2 = stablehlo.constant dense<1> : tensor<i32>
      %2 = stablehlo.add %iterArg_0, %c_2 : tensor<i32>
      stablehlo.return %iterArg, %2, %1 : tensor<64x64xbf16>, tensor<i32>, tensor<64x64xbf16>
    }
    return %0#2 : tensor<64x64xbf16>
  }
}
"""  # noqa: E501

SHARD_MAP = """module @jit_f attributes {mhlo.num_partitions = 8 : i32} {
  sdy.mesh @mesh = <["d"=2, "m"=4]>
  func.func public @main(%arg0: tensor<512x256xf32>, %arg1: tensor<256x1024xf32>) -> tensor<512x1024xf32> {
    %0 = sdy.manual_computation(%arg0, %arg1) in_shardings=[<@mesh, [{"d"}, {"m"}]>, <@mesh, [{"m"}, {}]>] out_shardings=[<@mesh, [{"d"}, {}]>] manual_axes={"d", "m"} (%arg3: tensor<256x64xf32>, %arg4: tensor<64x1024xf32>) {
      %1 = stablehlo.dot_general %arg3, %arg4, contracting_dims = [1] x [0] : (tensor<256x64xf32>, tensor<64x1024xf32>) -> tensor<256x1024xf32>
      %2 = "stablehlo.all_reduce"(%1) <{channel_handle = #stablehlo.channel_handle<handle = 1, type = 1>, replica_groups = dense<[[0, 1, 2, 3], [4, 5, 6, 7]]> : tensor<2x4xi64>, use_global_device_ids}> ({
      ^bb0(%arg6: tensor<f32>, %arg7: tensor<f32>):
        %6 = stablehlo.add %arg6, %arg7 : tensor<f32>
        stablehlo.return %6 : tensor<f32>
      }) : (tensor<256x1024xf32>) -> tensor<256x1024xf32>
      sdy.return %2 : tensor<256x1024xf32>
    } : (tensor<512x256xf32>, tensor<256x1024xf32>) -> tensor<512x1024xf32>
    return %0 : tensor<512x1024xf32>
  }
}
"""  # noqa: E501


def entry(body: str, parameters: str = "x: f32[4096,4096]", about: str = "is_scheduled=true") -> str:
    """A module of one computation."""
    lines = "\n".join(f"  {line.strip()}" for line in body.strip().splitlines())
    return f"HloModule m, {about}\n\nENTRY %main ({parameters}) -> f32[] {{\n{lines}\n}}\n"


def made(folder: Path, text: str, options: ImportOptions | None = None) -> Imported:
    path = folder / "module.txt"
    path.write_text(text)
    return import_files([path], options=options)


def words(found: Imported) -> dict[str, float]:
    scenario = build_scenario(parse_document(found.text, "made.yaml"), Path("made.yaml"))
    summary = summarise(scenario)
    return {name: float(str(summary[name])) for name in ("time", "flops", "hbm_bytes", "network_bytes", "t_network")}


DOTS = 2 * 64 * 128 * 256 + 2 * 64 * 256 * 32
BYTES = 4 * (64 * 128 + 128 * 256 + 2 * 64 * 256 + 64 * 256 + 256 + 64 * 256 + 256 * 32 + 64 * 32)
"""Operands and results of two dots and a fused kernel between them, once each."""


def test_hlo_costs_what_its_shapes_say(tmp_path: Path) -> None:
    found = made(tmp_path, HLO)
    assert words(found)["flops"] == DOTS + 2 * 64 * 256
    assert words(found)["hbm_bytes"] == BYTES
    assert not found.unpriced
    assert found.name == "jit_mlp"


def test_stablehlo_costs_the_same(tmp_path: Path) -> None:
    """Its sum and its tanh are one kernel, by the rule that the file says: `fuse: elementwise`."""
    found = made(tmp_path, STABLE)
    assert words(found)["flops"] == DOTS + 2 * 64 * 256
    assert words(found)["hbm_bytes"] == BYTES
    assert dict(found.rules) == {"fuse": "elementwise"}


def test_a_loop_is_a_block_that_carries(tmp_path: Path) -> None:
    found = made(tmp_path, LOOP)
    assert words(found)["flops"] == 10 * 2 * 64**3
    assert found.ops[0]["repeat"] == 10
    assert found.ops[0]["carry"] == {"arg0": "dot_1"}
    with pytest.raises(SpecError, match=r"module.txt:4:1: .*how often this loop goes round is not known"):
        made(tmp_path, LOOP.replace("dense<10>", "dense<-1>"))


def test_what_was_broadcast_is_written_where_a_loop_carries_it(tmp_path: Path) -> None:
    """Zeros for a sum: 8 KiB written once, then ten turns that read the sum, a matrix, and write the sum."""
    text = LOOP.replace(
        "%c = stablehlo.constant dense<0> : tensor<i32>",
        "%c = stablehlo.constant dense<0> : tensor<i32>\n    %z = stablehlo.constant dense<0.0> : tensor<bf16>\n"
        "    %s = stablehlo.broadcast_in_dim %z, dims = [] : (tensor<bf16>) -> tensor<64x64xbf16>",
        1,
    ).replace("%iterArg_1 = %arg0", "%iterArg_1 = %s")
    found = made(tmp_path, text)
    assert words(found)["hbm_bytes"] == 2 + 8192 + 10 * 3 * 8192
    assert found.ops[-1]["carry"] == {"z_v_broadcast": "dot_1"}


CASE = """module @jit_case {
  sdy.mesh @mesh = <["d"=2]>
  func.func public @main(%arg0: tensor<i32>, %arg1: tensor<64x64xf32>) -> tensor<64x64xf32> {
    %0 = sdy.sharding_constraint %arg1 <@mesh, [{"d"}, {}]> : tensor<64x64xf32>
    %1 = "stablehlo.case"(%arg0) ({
      %2 = stablehlo.tanh %0 : tensor<64x64xf32>
      stablehlo.return %2 : tensor<64x64xf32>
    }, {
      %2 = stablehlo.dot_general %0, %0, contracting_dims = [1] x [0] : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
      stablehlo.return %2 : tensor<64x64xf32>
    }) : (tensor<i32>) -> tensor<64x64xf32>
    return %1 : tensor<64x64xf32>
  }
}
"""  # noqa: E501


def test_the_heavier_branch_stands_for_all(tmp_path: Path) -> None:
    """Half of the rows on each of two chips, by all columns, which come from both."""
    found = made(tmp_path, CASE)
    assert words(found)["flops"] == 2 * 32 * 64 * 64
    assert words(found)["network_bytes"] == 32 * 64 * 4
    assert not found.unpriced


def test_a_shard_map_runs_on_a_mesh(tmp_path: Path) -> None:
    """Groups of four neighbours: 2 x 3/4 of 256 x 1024 x 4 bytes over 450 GB/s."""
    found = made(tmp_path, SHARD_MAP)
    assert found.system == {"chip": "h100_sxm", "topology": "switch(8) over nvlink", "mesh": {"X": 2, "Y": 4}}
    assert words(found)["flops"] == 2 * 256 * 64 * 1024
    assert words(found)["t_network"] == pytest.approx(2 * 0.75 * 2**20 / 450e9, rel=1e-6)


@pytest.mark.parametrize(
    ("op", "moved"),
    [
        ("%c = f32[1024,64] all-reduce(%x), replica_groups={{0,4},{1,5},{2,6},{3,7}}, to_apply=%add", 2 * 0.5),
        ("%c = f32[1024,64] all-reduce(%x), replica_groups=[4,2]<=[2,4]T(1,0), to_apply=%add", 2 * 0.5),
        ("%c = f32[4096,64] all-gather(%x), replica_groups=[2,4]<=[8], dimensions={0}", 3),
        (
            "%c = f32[256,64] reduce-scatter(%x), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}, to_apply=%add",
            0.75,
        ),
        ("%c = f32[1024,64] all-to-all(%x), replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}", 0.75),
        ("%c = f32[1024,64] all-reduce(%x), replica_groups={}, to_apply=%add", 2 * 7 / 8),
        ("%c = f32[1024,64] all-reduce(%x), replica_groups={{0,3,5},{1,2,4}}, to_apply=%add", 2 * 2 / 3),
    ],
)
def test_collectives_go_over_their_groups(tmp_path: Path, op: str, moved: float) -> None:
    text = entry(f"%x = f32[1024,64]{{1,0}} parameter(0)\nROOT {op}", about="num_partitions=8")
    assert words(made(tmp_path, text))["t_network"] == pytest.approx(moved * 2**18 / 450e9, rel=1e-6)


def test_what_was_started_runs_beside_what_follows(tmp_path: Path) -> None:
    """A dot of 2 x 4096^3 FLOP in fp32 beside an all-reduce, or, where that is not split, behind it."""
    head = "%x = f32[4096,4096]{1,0} parameter(0)\n"
    dot = "%d = f32[4096,4096]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}\n"
    root = "ROOT %t = (f32[4096,4096], f32[4096,4096]) tuple(%c, %d)"
    both = (
        "%s = f32[4096,4096]{1,0} all-reduce-start(%x), replica_groups={}, to_apply=%add\n" + dot
        + "%c = f32[4096,4096]{1,0} all-reduce-done(%s)\n",
        "%c = f32[4096,4096]{1,0} all-reduce(%x), replica_groups={}, to_apply=%add\n"
        "%n = f32[4096,4096]{1,0} negate(%x)\n" + dot,
    )  # fmt: skip
    texts = [entry(head + body + root, about="is_scheduled=true, num_partitions=4") for body in both]
    beside, behind = (words(made(tmp_path, text)) for text in texts)
    network = 2 * 0.75 * 2**26 / 450e9
    assert beside["time"] < behind["time"] - 0.5 * network
    assert behind["time"] > network + beside["time"] - network


def test_a_convolution_is_one(tmp_path: Path) -> None:
    """2 x 8 x 28 x 28 x 128 x 3 x 3 x 64 FLOP, by `conv2d` where its padding is even, else by its numbers."""
    flops = 2 * 8 * 28 * 28 * 128 * 9 * 64
    for pad, side in (("1_1x1_1", 55), ("0_1x0_1", 56)):
        window = f"size=3x3 stride=2x2 pad={pad}"
        text = entry(
            f"""%x = f32[8,{side},{side},64]{{3,2,1,0}} parameter(0)
            %w = f32[3,3,64,128]{{3,2,1,0}} parameter(1)
            ROOT %y = f32[8,28,28,128] convolution(%x, %w), window={{{window}}}, dim_labels=b01f_01io->b01f"""
        )
        found = made(tmp_path, text)
        assert words(found)["flops"] == flops
        assert any("conv2d" in line for line in found.ops) == (pad[0] == "1")


def test_a_part_is_read_and_written_as_a_part(tmp_path: Path) -> None:
    """A step of decoding: one row of a cache is written in place, and 16 rows of it are read."""
    text = entry(
        """%c = bf16[4096,1024]{1,0} parameter(0)
        %r = bf16[1,1024]{1,0} parameter(1)
        %i = s32[] parameter(2)
        %u = bf16[4096,1024]{1,0} dynamic-update-slice(%c, %r, %i, %i)
        ROOT %s = bf16[16,1024]{1,0} slice(%u), slice={[0:16], [0:1024]}"""
    )
    assert words(made(tmp_path, text))["hbm_bytes"] == 2 * 2048 + 2 * 16 * 2048


def test_what_has_no_rule_is_listed(tmp_path: Path) -> None:
    text = entry(
        """%x = f32[4096,4096]{1,0} parameter(0)
        %y = f32[4096,4096]{1,0} custom-call(%x), custom_call_target="yours"
        ROOT %z = f32[4096,4096]{1,0} custom-call(%y), custom_call_target="mine" """
    )
    found = made(tmp_path, text)
    assert {each.kind for each in found.unpriced} == {"custom-call yours", "custom-call mine"}
    with pytest.raises(SpecError, match="custom needs at least one of flops="):
        words(found)
    priced = made(tmp_path, text, ImportOptions(unknown="bytes"))
    assert words(priced)["hbm_bytes"] == 4 * 4 * 4096**2


def test_mistakes_are_told_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"module.txt:16:1: dot.1 = dot.*its operand does not have"):
        made(tmp_path, HLO.replace("lhs_contracting_dims={1}", "lhs_contracting_dims={7}", 1))
    with pytest.raises(SpecError, match=r"module.txt:17:1: fused: nothing before it is called dot.9"):
        made(tmp_path, HLO.replace("fusion(%dot.1,", "fusion(%dot.9,"))


@pytest.mark.parametrize("text", [HLO, STABLE, LOOP, SHARD_MAP], ids=["hlo", "stablehlo", "loop", "shard_map"])
def test_broken_modules_are_read_or_refused(tmp_path: Path, text: str) -> None:
    named = "hlo" if text is HLO else "stablehlo"
    said = refusals(text.encode(), tmp_path / "module.txt", lambda path: import_files([path], named).text)
    assert len(said) > 10
    assert not any("index out of range" in each for each in said), "Python's own words"
