"""Laws of the planner's choices, over random programs, kinds and shardings.

- Float noise decides nothing, nor what ops, dims and mesh axes are called: the same ops, the same time.
- `auto` is never slower in a run than the textbook's choice.
- Sharding keeps the work: all chips together do at least that of one chip, and at most as often as chips do the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, Problems, SpecError, System, load_chip
from simulator import (
    Dim,
    Items,
    Op,
    OpGraph,
    RunOptions,
    Sharding,
    Tensor,
    bind,
    bind_op,
    check_graph,
    dearer_choices,
    parse_graph,
    plan_sharding,
    print_items,
    simulate,
)
from simulator.passes.sharding.assignment import OpPlan, plan_seconds
from simulator.passes.sharding.moves import Step
from simulator.passes.soundness import whole
from tests.support.annotations import MESHES, annotated, einsums, programs
from tests.support.planning import MODES, XY, bytes_cost, system_of
from tests.support.strategies import many, one, run

Case = tuple[list[str], dict[str, int], dict[str, int]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A sharded matmul, or a program of vector ops, in bf16 and of a size at which bytes and hops both count."""
    if draw(st.booleans()):
        line, mesh, dims = draw(einsums())
        lines = [line]
    else:
        lines, mesh, dims = draw(programs())
    scale = draw(st.sampled_from([1, 64]))
    return [line.replace("fp32", "bf16") for line in lines], mesh, {name: size * scale for name, size in dims.items()}


def torus_of(mesh: Mapping[str, int]) -> System:
    """A torus with an axis for each of the mesh's, or one chip."""
    sizes = ",".join(map(str, mesh.values()))
    if math.prod(mesh.values()) > 1:
        return many(f"torus({sizes})", mesh, "tpu_v5p")
    return System(load_chip("tpu_v5p"), None, Mesh(mesh))


# Noise


def noisy(cost: Callable[[Op], float], seed: int) -> Callable[[Op], float]:
    """The same cost, but for a rounding error that depends on everything that an op is."""

    def seconds(op: Op) -> float:
        error = zlib.crc32(f"{seed} {op}".encode()) / 2**32 - 0.5
        return cost(op) * (1 + 1e-13 * error)

    return seconds


@settings(max_examples=50)
@given(cases(), st.integers(0, 10**6))
def test_rounding_errors_of_costs_choose_nothing(case: Case, seed: int) -> None:
    lines, mesh, dims = case
    system, graph = system_of(mesh), parse_graph(lines, dims)
    cost = bytes_cost(graph, system)
    exact, rounded = (plan_sharding(graph, system, "auto", each) for each in (cost, noisy(cost, seed)))
    assert print_items(exact.items) == print_items(rounded.items)


@pytest.mark.parametrize("seed", range(8))
def test_of_equals_the_one_with_fewest_inserted_ops_is_taken(seed: int) -> None:
    """Where bytes alone count, an all_reduce and a reduce_scatter with an all_gather cost the same: one op is simpler."""
    graph = parse_graph(["y:bf16[B,F] = gelu(x:bf16[B,F]{U_X})"], {"B": 64, "F": 256})

    def cost(op: Op) -> float:
        factor = {"all_reduce": 2.0, "reduce_scatter": 1.0, "all_gather": 1.0}.get(op.kind, 0.0)
        return 0.1 + factor * 0.3 if op.kind == "gelu" else factor * 0.3

    made = plan_sharding(graph, XY, "auto", noisy(cost, seed))
    assert [op.kind for op in made.flat()] == ["all_reduce", "gelu"]


# Names


def renamed(items: Items, names: Mapping[str, str], dims: Mapping[str, str], axes: Mapping[str, str]) -> Items:
    """The same program under other names of tensors, dims and mesh axes."""

    def letters(text: str) -> str:
        return "".join(axes[axis] for axis in text)

    def tensor(each: Tensor) -> Tensor:
        moved = tuple(Dim(dims[str(dim.size)], letters(dim.axes)) for dim in each.dims)
        return replace(each, name=names[each.name], dims=moved, partial=letters(each.partial))

    def op(each: Op) -> Op:
        options = tuple((key, dims[raw] if key == "axis" else raw) for key, raw in each.options)
        return replace(each, output=tensor(each.output), inputs=tuple(map(tensor, each.inputs)), options=options)

    return tuple(
        op(item) if isinstance(item, Op) else replace(item, items=renamed(item.items, names, dims, axes))
        for item in items
    )


@settings(max_examples=60)
@given(cases(), st.sampled_from(MODES), st.sampled_from([system_of, torus_of]), st.randoms())
def test_names_choose_nothing_and_take_no_time(
    case: Case, mode: Sharding, system_like: Callable[[Mapping[str, int]], System], random: Any
) -> None:
    lines, mesh, dims = case
    graph = parse_graph(lines, dims)
    tensors = sorted({tensor.name for op in graph.every_op() for tensor in (op.output, *op.inputs)})
    names = dict(zip(tensors, random.sample([f"n{at}" for at in range(len(tensors))], len(tensors)), strict=True))
    dim_names = dict(zip(dims, random.sample(["A1", "b", "M", "Zz"][: len(dims)], len(dims)), strict=True))
    axes = dict(zip(mesh, random.sample("ABCXYZ", len(mesh)), strict=True))
    other = OpGraph(
        {dim_names[name]: size for name, size in dims.items()}, renamed(graph.items, names, dim_names, axes)
    )
    options = RunOptions(overlap="full", sharding=mode)
    before = simulate(graph, system_like(mesh), options)
    after = simulate(other, system_like({axes[axis]: size for axis, size in mesh.items()}), options)
    assert [each.kernel.kind for each in after.plan.kernels] == [each.kernel.kind for each in before.plan.kernels]
    assert after.time_s == pytest.approx(before.time_s, rel=1e-9, abs=1e-12 * len(before.plan.program))


def placed(graph: OpGraph, axes: Mapping[str, str]) -> list[tuple[object, ...]]:
    """Every op with where its tensors lie, under other names of the axes; in which order a dim names them says nothing."""

    def letters(text: str) -> frozenset[str]:
        return frozenset(axes[axis] for axis in text)

    def place(tensor: Tensor) -> tuple[object, ...]:
        return tuple(letters(dim.axes) for dim in tensor.dims), letters(tensor.partial)

    return [
        (op.kind, letters(op.option("over") or ""), *map(place, op.inputs), place(op.output)) for op in graph.flat()
    ]


@settings(max_examples=60)
@given(einsums(), st.sampled_from(MODES))
def test_of_axes_that_cost_the_same_the_names_choose_none(
    case: tuple[str, dict[str, int], dict[str, int]], mode: Sharding
) -> None:
    """Under names in the opposite order the same axes go the same ways."""
    line, mesh, dims = case
    graph = parse_graph([line], dims)
    axes = dict(zip(mesh, "CBA", strict=False))
    tensors = {tensor.name: tensor.name for op in graph.every_op() for tensor in (op.output, *op.inputs)}
    other = OpGraph(dims, renamed(graph.items, tensors, {name: name for name in dims}, axes))
    systems = (system_of(mesh), system_of({axes[axis]: size for axis, size in mesh.items()}))
    made, again = (
        plan_sharding(each, system, mode, bytes_cost(each, system))
        for each, system in zip((graph, other), systems, strict=True)
    )
    assert placed(made, axes) == placed(again, {axis: axis for axis in axes.values()})


# Auto


@settings(max_examples=60)
@given(cases(), st.sampled_from([system_of, torus_of]))
def test_auto_is_never_slower_than_the_textbook(case: Case, system_like: Callable[[Mapping[str, int]], System]) -> None:
    lines, mesh, dims = case
    auto, canonical = (
        run(lines, dims, system_like(mesh), RunOptions(overlap="full", sharding=mode)).time_s
        for mode in ("auto", "canonical")
    )
    assert auto <= canonical * (1 + 1e-9)


@pytest.mark.parametrize(("rounds", "moved"), [(1, ["all_gather"]), (10, ["all_to_all", "all_gather"])])
def test_what_one_gather_serves_twice_is_not_exchanged_as_well(rounds: int, moved: list[str]) -> None:
    """The softmax needs x whole: 4. The exchange before it costs 1, and nothing once x is gathered there; but in a block
    of ten rounds ten exchanges and a gather are cheaper than ten gathers."""
    system = many("switch(8)", {"X": 8}, "h100_sxm")
    block = {"repeat": rounds, "ops": ["y:bf16[B,F_X] = add(x:bf16[B_X,F], b:bf16[F])"]}
    graph = parse_graph([block, "z:bf16[B,F] = softmax(x, axis=B)"], {"B": 4096, "F": 4096})

    def cost(op: Op) -> float:
        return {"all_gather": 4.0, "all_to_all": 1.0}.get(op.kind, 0.001)

    made = plan_sharding(graph, system, "auto", cost)
    assert [op.kind for op in made.every_op() if op.kind in ("all_gather", "all_to_all")] == moved


def test_auto_looks_at_what_overlaps() -> None:
    """The gather of w goes beside y and costs nothing; two exchanges take less alone, but the second waits for z."""
    system = many("torus(4,2)", {"X": 4, "Y": 2})
    lines = ["y:bf16[B_X] = custom(x:bf16[B_X], flops=1e12)", "z:bf16[B_Y,F_X] = softmax(w:bf16[B_Y,F_X])"]
    dims = {"B": 8192, "F": 8192}
    result = run(lines, dims, system, RunOptions(overlap="full", sharding="auto"))
    assert [each.kind for each in result.plan.inserted] == ["all_gather"]


def test_a_chip_without_a_peak_is_told_and_not_priced() -> None:
    lines = ["y:fp32[B,F] = matmul(x:fp32[B,D_X], w:fp32[D,F])"]
    for mode in MODES:
        with pytest.raises(SpecError, match=r"tpu_v5e has no matrix_unit.peak for fp32"):
            run(lines, {"B": 64, "D": 64, "F": 64}, many("ring(4)", {"X": 4}), RunOptions(sharding=mode))


def test_dear_choices_of_a_mesh_that_does_not_fit_are_none() -> None:
    empty = System(XY.chip, XY.topology, Mesh({"X": 0}))
    graph = parse_graph(["y:bf16[B] = relu(x:bf16[B_X])"], {"B": 8})
    assert dearer_choices(graph, empty, lambda _op: 1.0) == ()


# Work

SHAPES: Mapping[str, tuple[str, list[str], str, str]] = {
    "relu": ("relu", ["BF"], "BF", ""),
    "add": ("add", ["BF", "F"], "BF", ""),
    "where": ("where", ["BF", "BF", "B"], "BF", ""),
    "softmax": ("softmax", ["BF"], "BF", ""),
    "softmax over rows": ("softmax", ["BF"], "BF", "axis=B"),
    "layer_norm": ("layer_norm", ["BF", "F", "F"], "BF", ""),
    "rms_norm": ("rms_norm", ["BF", "F"], "BF", ""),
    "batch_norm": ("batch_norm", ["BFS", "F", "F"], "BFS", "train=true"),
    "matmul": ("matmul", ["BD", "DF"], "BF", ""),
    "batched matmul": ("matmul", ["GBD", "GDF"], "GBF", ""),
    "sparse matmul": ("sparse_matmul", ["BD", "DF"], "BF", "density=0.25"),
    "convolution": ("conv2d", ["BCST", "FCRQ"], "BFST", "pad=1"),
    "grouped convolution": ("conv2d", ["BCST", "FLRQ"], "BFST", "pad=1, groups=2"),
    "pooling": ("max_pool2d", ["BCST"], "BCST", "window=3, stride=1, pad=1"),
    "flash attention": ("attention", ["BHTD", "BKSD", "BKSE"], "BHTE", "kind=flash"),
    "causal attention": ("attention", ["BHTD", "BKTD", "BKTD"], "BHTD", "causal=true"),
    "standard attention": ("attention", ["BHTD", "BKSD", "BKSE"], "BHTE", "kind=standard"),
    "elementwise": ("elementwise", ["BF", "BF"], "BF", "flops=3"),
}
"""By what it is: kind, dims of the inputs and of the output, options. Sums are left out: the addition of two parts of a
sum is done where they meet, in the collective."""

SIZES = dict.fromkeys("BFDGSTHE", 16) | {"K": 4, "C": 32, "L": 16, "R": 3, "Q": 3}


@st.composite
def ops(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """Any op that computes, all of its tensors sharded at random; the mesh."""
    mesh = draw(st.sampled_from([mesh for mesh in MESHES if 1 < math.prod(mesh.values()) <= 16]))
    kind, inputs, output, options = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    tensors = [draw(annotated(f"i{at}", dims, "".join(mesh))) for at, dims in enumerate(inputs)]
    made = draw(annotated("y", output, "".join(mesh), partial=False))
    line = f"{made} = {kind}({', '.join([*tensors, *([options] if options else [])])})"
    return line.replace("fp32", "bf16"), mesh


@settings(max_examples=250)
@given(ops(), st.sampled_from(MODES))
def test_sharding_keeps_the_work_of_every_kind(case: tuple[str, dict[str, int]], mode: Sharding) -> None:
    line, mesh = case
    graph, system = parse_graph([line], SIZES), system_of(mesh)
    problems = Problems()
    check_graph(graph, system, problems)
    if problems.found:  # dims that do not divide are refused, however they are planned
        return
    made = plan_sharding(graph, system, mode, bytes_cost(graph, system))
    (asked,) = graph.flat()
    (carried,) = (op for op in made.flat() if op.kind == asked.kind)
    work = sum(kernel.flops for kernel in bind(made, system))
    alone = sum(kernel.flops for kernel in bind_op(whole(asked), graph, one("h100_sxm")))
    split = {axis for tensor in (*carried.inputs, carried.output) for axis in tensor.axes}
    same = math.prod(size for axis, size in mesh.items() if axis not in split)
    assert work * system.size >= alone * (1 - 1e-12)
    if not (asked.kind == "attention" and set(carried.output.dims[-1].axes) & split):
        assert work * system.size == pytest.approx(alone * same, rel=1e-12)


def test_a_tensor_that_an_op_takes_twice_is_gathered_and_paid_once() -> None:
    """A plan that brings both inputs of `add(x, x)` to every chip costs the addition and one gather, not two."""
    gather, addition = parse_graph(
        ["g:bf16[B,F] = all_gather(x:bf16[B_X,F], over=X)", "y:bf16[B,F] = add(g, g)"], {"B": 8, "F": 8}
    ).items
    assert isinstance(gather, Op)
    assert isinstance(addition, Op)
    (x,) = gather.inputs
    step = Step("all_gather", "X", replace(gather.output, name="x"))
    plan = OpPlan(addition, ((step,), (step,)), ())
    assert (
        plan_seconds(replace(addition, inputs=(x, x)), plan, (), lambda op: 1.0 if op.kind == "add" else 10.0) == 11.0
    )
