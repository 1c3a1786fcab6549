"""Sharding as it is written: local shapes and FLOPs, and errors that name the collective that is missing.

Law: with every axis of an op splitting one of its loops, FLOPs a chip x chips along those axes = FLOPs of the whole.
Where nothing is inserted (`sharding: written`, which is what `bind` sees), what needs data from another chip is refused at
its place, with the collective that would bring it; what the planner makes of it stands in `test_planner` beside this.
Source: "How to Scale Your Model", chapter on sharding: the four cases of a sharded matmul.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mesh, SpecError, System, load_chip, parse_topology
from simulator import Kernel, RunOptions
from tests.support.strategies import kernels_of, many, one, run

DIMS = {"B": 64, "D": 128, "F": 256, "H": 32, "G": 8, "T": 16, "S": 16, "K": 64, "V": 1024, "P": 10}
MESH = many("switch(8)", {"X": 2, "Y": 4}, "h100_sxm")


def bound(*lines: str, system: System = MESH) -> list[Kernel]:
    return kernels_of(*lines, system=system, **DIMS)


def refusal(*lines: str, system: System = MESH) -> str:
    with pytest.raises(SpecError) as caught:
        bound(*lines, system=system)
    return str(caught.value)


# What fits


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])", 1),  # everything on every chip
        ("y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F])", 2),  # case 1: nothing contracted is sharded
        ("y:bf16[B_X,F_Y] = matmul(x:bf16[B_X,D], w:bf16[D,F_Y])", 8),
        ("y:bf16[B_XY,F] = matmul(x:bf16[B_XY,D], w:bf16[D,F])", 8),
        ("y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])", 2),  # case 3: partial sums
        ("y:bf16[B_Y,F]{U_X} = matmul(x:bf16[B_Y,D_X], w:bf16[D_X,F])", 8),
        ("y:bf16[B,F]{U_XY} = matmul(x:bf16[B,D_XY], w:bf16[D_XY,F])", 8),
        ("y:bf16[B,F]{U_YX} = matmul(x:bf16[B,D_XY], w:bf16[D_XY,F])", 8),
        ("y:bf16[B_X,F_Y] = gelu(x:bf16[B_X,F_Y])", 8),
        ("y:bf16[B_X,F] = softmax(x:bf16[B_X,F])", 2),
        ("y:bf16[B,F_X] = softmax(x:bf16[B,F_X], axis=B)", 2),
        ("o:bf16[B_X,H_Y,T,K] = attention(q:bf16[B_X,H_Y,T,K], k:bf16[B_X,H_Y,S,K], v:bf16[B_X,H_Y,S,K])", 8),
        ("o:bf16[H,T_X,K] = attention(q:bf16[H,T_X,K], k:bf16[H,S,K], v:bf16[H,S,K])", 2),
        # tensor parallel GQA: 32 heads and 8 kv heads, both over Y, each chip with its 8 heads and their 2 kv heads
        ("o:bf16[B,H_Y,T,K] = attention(q:bf16[B,H_Y,T,K], k:bf16[B,G_Y,S,K], v:bf16[B,G_Y,S,K])", 4),
    ],
)
def test_a_chip_does_its_share_of_the_flops(line: str, share: int) -> None:
    whole = re.sub(r"_[XY]+", "", re.sub(r"\{U_[XY]+\}", "", line))
    total = sum(kernel.flops for kernel in bound(whole, system=one("h100_sxm")))
    assert sum(kernel.flops for kernel in bound(line)) * share == total


@given(st.permutations("XY"), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_sharding_keeps_the_flops_of_a_matmul(axes: list[str], b: int, d: int, f: int) -> None:
    """Each axis to one of the loops B, D, F or to none; what shards D is left to be summed."""
    loops = {"B": "", "D": "", "F": ""}
    for axis, loop in zip(axes, ("BDF."[b], "BDF."[d]), strict=True):
        if loop != ".":
            loops[loop] += axis
    dims = {name: f"{name}_{used}" if used else name for name, used in loops.items()}
    partial = f"{{U_{loops['D']}}}" if loops["D"] else ""
    line = "y:bf16[{B},{F}]{partial} = matmul(x:bf16[{B},{D}], w:bf16[{D},{F}])".format(**dims, partial=partial)
    (kernel,) = bound(line)
    chips = MESH.mesh.extent("".join(loops.values()))
    assert kernel.matrix_flops * chips == 2 * 64 * 128 * 256
    parts = {name: DIMS[name] // MESH.mesh.extent(used) for name, used in loops.items()}
    assert kernel.hbm_bytes == 2 * (parts["B"] * parts["D"] + parts["D"] * parts["F"] + parts["B"] * parts["F"])


@pytest.mark.parametrize(
    "lines",
    [
        ["y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])", "z:bf16[B,F]{U_X} = add(y, y)"],
        ["y:bf16[B,F]{U_X} = scale(x:bf16[B,F]{U_X})"],
        ["y:bf16[B]{U_X} = reduce(x:bf16[B,F]{U_X})"],
        ["y:bf16[B]{U_XY} = reduce(x:bf16[B,F_Y]{U_X})"],
        ["s:fp32[]{U_X} = dot(x:fp32[V_X], y:fp32[V_X])"],
        ["y:bf16[B,D]{U_X} = embedding(t:bf16[V_X,D], i:int32[B])"],
        # a matmul is linear in each operand: a partial sum times a whole one is a partial sum
        ["y:bf16[B,F]{U_X} = matmul(x:bf16[B,D]{U_X}, w:bf16[D,F])"],
        ["y:bf16[B,F]{U_XY} = matmul(x:bf16[B,D_Y]{U_X}, w:bf16[D_Y,F])"],
        ["y:bf16[B,F] = all_reduce(x:bf16[B,F]{U_XY}, over=XY)"],
        ["y:bf16[B,F]{U_Y} = all_reduce(x:bf16[B,F]{U_XY}, over=X)"],
        ["y:bf16[B_X,F] = reduce_scatter(x:bf16[B,F]{U_X}, over=X)"],
        ["y:bf16[B_YX,F] = reduce_scatter(x:bf16[B_Y,F]{U_X}, over=X)"],
        ["y:bf16[B,F_Y] = all_gather(x:bf16[B_X,F_Y], over=X)"],
        ["y:bf16[B,F] = all_gather(x:bf16[B_XY,F], over=XY)"],
        ["y:bf16[B,F_X] = all_to_all(x:bf16[B_X,F], over=X)"],
        ["y:bf16[B_Y,F_X] = all_to_all(x:bf16[B_X,F_Y], over=XY)"],
        ["y:bf16[B,F_X]{U_Y} = all_to_all(x:bf16[B_X,F]{U_Y}, over=X)"],
        ["y:bf16[B_YX,F] = slice(x:bf16[B_Y,F], over=X)", "z:bf16[B_YX,F] = relu(y)"],
        ["y:bf16[B_X,F_Y] = slice(x:bf16[B,F], over=XY)", "z:bf16[B_X,F_Y] = relu(y)"],
        ["y:bf16[B_Y,F]{U_X} = broadcast(x:bf16[B_Y,F]{U_X}, over=X)"],
        ["y:bf16[B_YX,F] = permute(x:bf16[B_XY,F], over=X)"],
        ["y:bf16[B,F]{U_Y} = reduce_to(x:bf16[B,F]{U_XY}, over=X)"],
        ["y:bf16[B_Y,F] = gather_to(x:bf16[B_XY,F], over=X)"],
        ["y:bf16[B_XY,F] = scatter(x:bf16[B_Y,F], over=X)"],
    ],
)
def test_partial_sums_pass_through_what_is_linear_and_collectives_resolve_them(lines: list[str]) -> None:
    assert bound(*lines)


# What does not, unless something is inserted


@pytest.mark.parametrize(
    ("line", "column", "collective"),
    [
        # case 2: one operand is sharded over the contraction
        ("y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])", 37, "all_gather(x, over=X)"),
        ("y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D_XY,F])", 35, "all_gather(w, over=XY)"),
        # case 3, without saying that the result is a partial sum
        ("y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])", 1, "all_reduce or reduce_scatter over=X"),
        ("y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_XY], w:bf16[D_XY,F])", 1, "all_reduce or reduce_scatter over=XY"),
        ("s:fp32[] = dot(x:fp32[V_X], y:fp32[V_X])", 1, "all_reduce or reduce_scatter over=X"),
        # case 4: both operands are sharded over one axis, in dims that are not contracted
        ("y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F_X])", 39, "all_gather(w, over=X)"),
        ("y:bf16[B,F_X] = matmul(x:bf16[B_X,D], w:bf16[D,F_X])", 39, "all_gather("),
        # a row that must be whole
        ("y:bf16[B,F_X] = softmax(x:bf16[B,F_X])", 25, "all_gather(x, over=X)"),
        ("y:bf16[B,F_Y] = rms_norm(x:bf16[B,F_Y])", 26, "all_gather(x, over=Y)"),
        ("o:bf16[H,T,K] = attention(q:bf16[H,T,K], k:bf16[H,S_X,K], v:bf16[H,S_X,K])", 42, "all_gather(k, over=X)"),
        # a sum that must be complete
        ("y:bf16[B,F]{U_X} = gelu(x:bf16[B,F]{U_X})", 25, "all_reduce(x, over=X)"),
        ("y:bf16[B,F]{U_X} = add(x:bf16[B,F]{U_X}, z:bf16[B,F])", 24, "all_reduce(x, over=X)"),
        ("y:bf16[B,F]{U_X} = mul(x:bf16[B,F]{U_X}, z:bf16[B,F]{U_X})", 24, "all_reduce("),
        ("y:bf16[B,F]{U_X} = matmul(x:bf16[B,D]{U_X}, w:bf16[D,F]{U_X})", 27, "all_reduce("),
    ],
)
def test_the_missing_collective_is_named_at_its_place(line: str, column: int, collective: str) -> None:
    message = refusal(line)
    assert message.startswith(f"ops:1:{column}: "), message
    assert collective in message


@pytest.mark.parametrize(
    "line",
    [
        "y:bf16[128,64] = relu(x:bf16[128_X,64])",
        "y:bf16[64] = reduce(x:bf16[64,128_X])",
        "y:bf16[2,8,4,4] = conv2d(x:bf16[2,8_X,4,4], w:bf16[8,8_X,1,1])",
    ],
)
def test_sizes_instead_of_names_are_sharded_no_less(line: str) -> None:
    """Half of the work is done on each chip and nothing brings the halves together."""
    assert re.search(r"^ops:1:\d+: .*\bX\b", refusal(line))


@pytest.mark.parametrize(
    "line",
    [
        # the batch is as large as there are channels, and they are different dims all the same
        "y:bf16[64_X,64,4,4] = conv2d(x:bf16[64_X,64,4,4], w:bf16[64,64,1,1])",
        "y:bf16[64_X,64] = add(x:bf16[64_X,64], b:bf16[64])",
    ],
)
def test_equal_sizes_are_not_one_dim(line: str) -> None:
    whole = sum(kernel.flops for kernel in bound(line.replace("_X", ""), system=one("h100_sxm")))
    assert sum(kernel.flops for kernel in bound(line)) == whole / 2


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("y:fp32[B,F] = all_reduce(x:bf16[B,F]{U_X}, over=X)", 1, "all_reduce keeps the dtype: bf16 in, fp32 out"),
        ("y:bf16[B,F]{U_X} = relu(x:bf16[B,F])", 1, "declared a partial sum over X, but nothing sharded is summed"),
        ("y:bf16[B,F] = all_reduce(x:bf16[B,F], over=X)", 26, "all_reduce over X wants partial sums {U_X}"),
        ("y:bf16[B,F] = all_reduce(x:bf16[B,F]{U_XY}, over=X)", 1, "keeps the dims of x:bf16[B,F]{U_XY}"),
        ("y:bf16[B,F] = all_gather(x:bf16[B,F], over=X)", 26, "wants a dim sharded over it"),
        ("y:bf16[B_X,F] = all_gather(x:bf16[B_X,F], over=X)", 1, "into the same without X"),
        ("y:bf16[B_X,F] = reduce_scatter(x:bf16[B,F], over=X)", 32, "reduce_scatter over X wants partial sums"),
        ("y:bf16[B,F] = reduce_scatter(x:bf16[B,F]{U_X}, over=X)", 1, "shards a dim of x over it"),
        ("y:bf16[B,F] = reduce_to(x:bf16[B,F], over=X)", 25, "reduce_to over X wants partial sums {U_X}"),
        ("y:bf16[B,F] = gather_to(x:bf16[B,F], over=X)", 25, "gather_to over X wants a dim sharded over it"),
        ("y:bf16[B,F] = scatter(x:bf16[B,F], over=X)", 1, "scatter over X keeps x:bf16[B,F] and shards a dim of it"),
        ("y:bf16[B_X,F] = scatter(x:bf16[B_X,F], over=X)", 25, "scatter over X wants a tensor whole over it"),
        ("y:bf16[B_X,F] = broadcast(x:bf16[B,F], over=X)", 1, "broadcast over X keeps x:bf16[B,F] as it is"),
        ("y:bf16[B] = permute(x:bf16[B,F], over=X)", 1, "permute over X keeps x:bf16[B,F] as it is"),
        ("y:bf16[B,F] = broadcast(x:bf16[B,F], over=X, root=2)", 46, "there is no place 2 in a group; root= wants one"),
        ("y:bf16[B,F] = all_reduce(x:bf16[B,F]{U_X}, over=Z)", 44, "unknown mesh axis 'Z'"),
        ("y:bf16[B,F] = all_reduce(x:bf16[B,F]{U_X}, over=x)", 44, "over= wants mesh axes, single capitals"),
        ("y:bf16[B_Z] = relu(x:bf16[B_Z])", 20, "unknown mesh axis 'Z'"),
        ("y:bf16[P_Y] = relu(x:bf16[P_Y])", 20, "dim P = 10 does not divide over the 4 chips of Y"),
        ("s:bf16[B] = send(x:bf16[B], from=0, to=8)", 37, "there is no chip 8; the system has chips 0 to 7"),
        ("s:bf16[B] = send(x:bf16[B], from=2, to=2)", 37, "send from chip 2 to itself"),
        ("s:bf16[B] = send(x:bf16[B], from=2, to=3, chunks=2)", 43, "is one transfer and is not cut into chunks"),
        ("s:bf16[B] = send(x:bf16[B], from=2)", 13, "send needs from= and to="),
        ("y:bf16[B] = relu(x:bf16[B], after=[q])", 29, "op 'q'"),
        ("y:bf16[B]@disk = copy(x:bf16[B])", 18, "h100_sxm has no memory 'disk'"),
    ],
)
def test_a_wrong_annotation_is_refused_at_its_place(line: str, column: int, words: str) -> None:
    message = refusal(line)
    assert f"ops:1:{column}: " in message
    assert words in message


def test_a_run_of_what_is_written_inserts_nothing() -> None:
    lines = ["y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])"]
    with pytest.raises(SpecError, match=r"ops:1:37: .*all_gather\(x, over=X\)"):
        run(lines, DIMS, MESH, RunOptions(sharding="written"))
    assert [kernel.kernel.kind for kernel in run(lines, DIMS, MESH).plan.kernels] == ["all_gather", "matmul"]


def test_a_collective_without_its_axes() -> None:
    assert "all_reduce needs over=" in refusal("y:bf16[B,F] = all_reduce(x:bf16[B,F])")


def test_every_op_of_a_graph_is_checked() -> None:
    message = refusal(
        "y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])",
        "z:bf16[B,F] = softmax(y)",
        "v:bf16[B,F_X] = softmax(t:bf16[B,F_X])",
    )
    assert [line.split(":")[1] for line in message.splitlines()] == ["1", "3"]


# From Python, where no scenario file has been checked before


@pytest.mark.parametrize("size", [0, -64])
def test_a_dim_holds_at_least_one(size: int) -> None:
    with pytest.raises(SpecError, match="B"):
        run(["y:bf16[B] = relu(x:bf16[B])"], {"B": size}, one())


def test_a_mesh_that_does_not_fit_the_wiring_is_refused() -> None:
    chip = load_chip("tpu_v5e")
    with pytest.raises(ValueError, match="mesh"):
        run(
            ["y:bf16[P] = all_gather(x:bf16[P_X], over=X)"],
            {"P": 12},
            System(chip, parse_topology("ring(4)", chip.links), Mesh({"X": 3})),
        )
