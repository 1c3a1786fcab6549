"""Differentiation: what a backward pass costs against its forward pass, where its gradients lie, what recomputing adds.

Laws: a backward matmul is two of its forward pass; flash attention five matmuls for two; gradients of weights are partial
sums over the axes that shard tokens, those of activations are whole where they are used; recomputing adds its own ops only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, RunError, System, load_chip, parse_topology
from simulator import Op, OpGraph, Repeat, Result, RunOptions, Tensor, parse_graph, print_items, simulate
from simulator.passes.differentiate import Gradients, differentiate

LAYER = (
    "n:bf16[B{b},S,M] = rms_norm(x{x}, g:bf16[M])",
    "q:bf16[B{b},H{t},S,D] = matmul(n, wq:bf16[M,H{t},D])",
    "k:bf16[B{b},K{t},S,D] = matmul(n, wk:bf16[M,K{t},D])",
    "v:bf16[B{b},K{t},S,D] = matmul(n, wv:bf16[M,K{t},D])",
    "a:bf16[B{b},H{t},S,D] = attention(q, k, v, kind={kind})",
    "o:bf16[B{b},S,M]{u} = matmul(a, wo:bf16[H{t},D,M])",
)
SIZES = {"L": 3, "B": 8, "S": 256, "M": 512, "H": 8, "K": 4, "D": 64}


def block(batch: str = "", heads: str = "", kind: str = "flash") -> OpGraph:
    """Layers of one attention each; `batch` and `heads`: the mesh axes that shard them."""
    b, t, u = (f"_{batch}" if batch else ""), (f"_{heads}" if heads else ""), (f"{{U_{heads}}}" if heads else "")
    lines = [line.format(b=b, t=t, u=u, kind=kind, x="") for line in LAYER]
    whole = [f"w:bf16[B{b},S,M] = all_reduce(o, over={heads})"] if heads else []
    end = f"y:bf16[B{b},S,M] = add(x, {'w' if heads else 'o'})"
    start = f"x:bf16[B{b},S,M] = copy(tokens:bf16[B{b},S,M])"
    return parse_graph([start, {"repeat": "L", "carry": {"x": "y"}, "ops": [*lines, *whole, end]}], SIZES)


WEIGHTS = ("g", "wq", "wk", "wv", "wo")


def backward(graph: OpGraph, wanted: Sequence[str] = (*WEIGHTS, "x"), recompute: Sequence[str] = ()) -> Gradients:
    outputs = {op.name: op.output for op in graph.every_op()}
    return differentiate(graph.items, {"y": replace(outputs["y"], name="dy")}, wanted, recompute)


def with_backward(graph: OpGraph, recompute: Sequence[str] = ()) -> OpGraph:
    """Both passes, as they are printed and read again."""
    made = next(op.output for op in graph.every_op() if op.name == "y")
    seed = parse_graph([f"dy:{made.type_text} = copy(y:{made.type_text})"], graph.dims)
    return replace(graph, items=(*graph.items, *seed.items, *backward(graph, recompute=recompute).items))


def run(graph: OpGraph, system: System | None = None) -> Result:
    return simulate(graph, system or System(load_chip("h100_sxm")), RunOptions(overlap="full"))


def flops(result: Result) -> float:
    return sum(planned.kernel.matrix_flops for planned in result.plan.kernels)


@pytest.mark.parametrize(("kind", "times"), [("flash", 2.5), ("standard", 2.0), ("linear", 2.0)])
def test_backward_matmuls_cost_twice_and_attention_what_its_kind_makes_again(kind: str, times: float) -> None:
    forward = run(block(kind=kind))
    both = run(with_backward(block(kind=kind)))
    attention = sum(each.kernel.matrix_flops for each in forward.plan.kernels if each.kernel.kind == "attention")
    expected = flops(forward) + 2 * (flops(forward) - attention) + times * attention
    print(f"{kind}: {flops(both):.6g} FLOPs, expected {expected:.6g}")
    assert flops(both) == pytest.approx(expected, rel=1e-12)


def test_gradients_have_the_dims_and_shards_of_their_tensors() -> None:
    graph = block()
    found = backward(graph).of
    inputs = {tensor.name: tensor for op in graph.every_op() for tensor in op.inputs}
    assert set(found) == {*WEIGHTS, "x"}
    for name, gradient in found.items():
        assert (gradient.dims, gradient.dtype) == (inputs[name].dims, inputs[name].dtype)


def test_gradients_of_weights_are_sums_over_what_shards_tokens_and_activations_are_whole() -> None:
    graph = block(batch="D", heads="T")
    found = backward(graph)
    assert {name: found.of[name].partial for name in ("wq", "wk", "wv", "wo")} == dict.fromkeys(
        ("wq", "wk", "wv", "wo"), "D"
    )
    assert found.of["x"].partial == ""
    (walked,) = (item for item in found.items if isinstance(item, Repeat))
    reduced = [op for op in walked.items if isinstance(op, Op) and op.kind == "all_reduce"]
    assert [(op.output.name, op.option("over")) for op in reduced] == [("dn_whole", "T")]


def test_what_a_collective_did_is_undone_by_its_counterpart() -> None:
    pairs = {
        "all_gather": ("x:bf16[A,B_X]", "y:bf16[A,B]", "", "slice"),
        "reduce_scatter": ("x:bf16[A,B]{U_X}", "y:bf16[A,B_X]", "", "all_gather"),
        "all_to_all": ("x:bf16[A_X,B]", "y:bf16[A,B_X]", "", "all_to_all"),
        "permute": ("x:bf16[A,B]", "y:bf16[A,B]", ", shift=1", "permute"),
        "slice": ("x:bf16[A,B]", "y:bf16[A,B_X]", "", "all_gather"),
    }
    for kind, (taken, made, options, counterpart) in pairs.items():
        graph = parse_graph([f"{made} = {kind}({taken}, over=X{options})"], {"A": 8, "B": 8})
        (op,) = graph.every_op()
        found = differentiate(graph.items, {"y": replace(op.output, name="dy")}, ["x"])
        assert [each.kind for each in found.items if isinstance(each, Op)] == [counterpart]
        assert found.of["x"].dims == op.inputs[0].dims


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([("", ""), ("D", ""), ("", "T"), ("D", "T")]), st.sampled_from(["flash", "standard"]))
def test_sharding_keeps_the_flops_of_both_passes(axes: tuple[str, str], kind: str) -> None:
    batch, heads = axes
    mesh = dict.fromkeys(batch + heads, 2)
    chip = load_chip("h100_sxm")
    text = f"switch({2 ** len(mesh)}) over nvlink"
    system = System(chip, parse_topology(text, chip.links), Mesh(mesh)) if mesh else System(chip)
    sharded = run(with_backward(block(batch, heads, kind)), system)
    assert sharded.plan.inserted == ()
    assert flops(sharded) * 2 ** len(mesh) == pytest.approx(flops(run(with_backward(block(kind=kind)))), rel=1e-12)


@pytest.mark.parametrize("again", [("a",), ("n", "q", "k", "v", "a")])
def test_recomputing_adds_its_own_ops_and_nothing_else(again: tuple[str, ...]) -> None:
    graph = block()
    forward = {op.name: 0.0 for op in graph.every_op()}
    for planned in run(graph).plan.kernels:
        forward[planned.kernel.base_ops[0]] += planned.kernel.matrix_flops
    plain, recomputed = run(with_backward(graph)), run(with_backward(graph, again))
    assert flops(recomputed) - flops(plain) == pytest.approx(sum(forward[name] for name in again), rel=1e-12)
    marked = {each.kernel.kind for each in recomputed.plan.kernels if each.kernel.recompute}
    assert marked == {op.kind for op in graph.every_op() if op.name in again}
    assert len(backward(graph).of) == len(backward(graph, recompute=again).of)


def test_a_kind_without_a_rule_is_refused() -> None:
    graph = parse_graph(["y:bf16[A] = custom(x:bf16[A], flops=1 FLOP)"], {"A": 4})
    (op,) = graph.every_op()
    with pytest.raises(RunError, match="y: custom cannot be differentiated"):
        differentiate(graph.items, {"y": replace(op.output, name="dy")}, ["x"])


def test_the_backward_pass_prints_and_reads_back() -> None:
    graph = with_backward(block())
    again = parse_graph(print_items(graph.items), graph.dims)
    assert print_items(again.items) == print_items(graph.items)
    assert run(again).time_s == run(graph).time_s


def test_every_gradient_is_made_once() -> None:
    graph = with_backward(block("D", "T"))
    names = [op.name for op in graph.every_op()]
    assert len(names) == len(set(names))
    assert all(isinstance(each, Tensor) for each in backward(block("D", "T")).of.values())
