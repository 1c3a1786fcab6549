"""Columns of a pipeline stamped from one microbatch are those of the pipeline written out."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError
from simulator import CHUNKED, Op, OpGraph, Pipeline, PipelineChunk, Repeat, Round, parse_graph, pipelined, simulate
from simulator.graph.copied import Copied, CopiedGroups
from simulator.graph.items import every_op
from tests.support.pipelines import Lasting, lasting_chunks, layered_chunks
from tests.support.strategies import many

DIMS = {"B": 64, "H": 256, "F": 512, "N": 64}


def both(chunks: Sequence[PipelineChunk], pipeline: Pipeline) -> tuple[OpGraph, OpGraph]:
    """A pipeline, and the same written out."""
    made = pipelined(chunks, pipeline)
    assert isinstance(made.items, Copied)
    return OpGraph(DIMS, made.items), OpGraph(DIMS, tuple(made.items))


def told(op: Op) -> tuple[Any, ...]:
    """All that an op says, also what does not count when ops are compared."""
    return op, op.turn, op.source, [each.written for each in (op.output, *op.inputs)]


def check_same(stamped: OpGraph, written: OpGraph) -> None:
    one, other = stamped.unrolled, written.unrolled
    assert [told(op) for op in one] == [told(op) for op in other]
    assert one.first == other.first
    # numbers of what is given may differ, names may not
    read = [[each.name(value) if value < 0 else value for value in each.reads] for each in (one, other)]
    assert read[0] == read[1]
    given = [{(each.name(value), value) for value in each.reads if value < 0} for each in (one, other)]
    assert len(given[0]) == len(given[1]) == len({name for name, _ in given[0]}) == len(one.given) == len(other.given)


@settings(max_examples=30)
@given(st.data())
def test_stamped_is_written_out(data: st.DataObject) -> None:
    schedule = data.draw(st.sampled_from(["gpipe", "1f1b", "interleaved", "zero_bubble", "paired"]))
    interleave = data.draw(st.integers(1, 2)) if schedule in CHUNKED else 1
    stages, times = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    count = stages * interleave
    if schedule == "zero_bubble":
        chunks = lasting_chunks([Lasting()] * count, two_parts=True)
    else:
        chunks = layered_chunks(count, layers=data.draw(st.integers(1, 3)))
    check_same(*both(chunks, Pipeline(stages=stages, microbatches=stages * times, schedule=schedule)))


def test_more_microbatches_are_no_more_sites() -> None:
    few, many = (both(layered_chunks(2, 2), Pipeline(stages=2, microbatches=count))[0] for count in (3, 30))
    assert len(many.unrolled) > 8 * len(few.unrolled)
    assert len(many.unrolled.sites) == len(few.unrolled.sites)


def test_what_is_not_written_out_says_so_and_can_be_sent_to_another_process() -> None:
    made = pipelined(layered_chunks(2, 2), Pipeline(stages=2, microbatches=3))
    graph = OpGraph(DIMS, made.items, fuse=made.fuse or "none")
    # of each chunk two passes there and back and its end; two ops for each of four transfers
    assert repr(made.items) == "PipelineItems(18 items, and copies of them)"
    assert repr(made.fuse) == "CopiedGroups(0 groups in 12 copies)"
    assert pickle.loads(pickle.dumps(graph)) == graph


def test_a_run_writes_no_pipeline_out() -> None:
    made = pipelined(layered_chunks(2, 2), Pipeline(stages=2, microbatches=3))
    simulate(
        OpGraph(DIMS, made.items, fuse=made.fuse or "none"), many("grid(2,2,1)", {"P": 2, "T": 2, "D": 1}, "tpu_v5p")
    )
    assert "_all" not in vars(made.items)


def test_what_waits_for_ops_of_its_own_microbatch_waits_for_the_same() -> None:
    lines = [
        "y:bf16[B] = relu(x:bf16[B])",
        "z:bf16[B] = gelu(x, after=y)",
        {"repeat": 2, "carry": {"z": "a"}, "ops": ["a:bf16[B] = relu(z)", "b:bf16[B] = relu(z, after=[a@round, y])"]},
    ]
    chunk = PipelineChunk(forward=parse_graph(lines, {}).items, takes=("x",), makes=("y",))
    chunks = [replace(chunk, takes=()), replace(chunk, makes=())]
    stamped, written = both(chunks, Pipeline(stages=2, microbatches=3))
    check_same(stamped, written)
    assert {op.option("after") for op in stamped.unrolled if op.name == "b.s1.m2.1"} == {"[a.s1.m2.1, y.s1.m2]"}


def test_what_is_received_is_of_each_microbatch_and_what_is_given_is_of_its_kind() -> None:
    lines = [
        "y:bf16[B] = add(x:bf16[B], w:bf16[B])",
        "z:bf16[B] = add(y, ids:bf16[B])",
        "dx:bf16[B] = add(dz:bf16[B], ids)",
    ]
    items = parse_graph(lines, {}).items
    first = PipelineChunk(
        forward=items[:2], backward=items[2:], makes=("z",), takes_back=("dz",), shared=frozenset({"w"})
    )
    last = replace(first, makes=(), takes=("x",), takes_back=(), makes_back=("dx",))
    stamped, written = both([first, last], Pipeline(stages=2, microbatches=2))
    check_same(stamped, written)
    read = {op.name: [tensor.name for tensor in op.inputs] for op in stamped.unrolled}
    assert read["y.s1.m1"] == ["x.s1.m1", "w.s1"]
    assert read["z.s1.m1"] == ["y.s1.m1", "ids.s1.m1"]
    assert read["dx.s0.m1"] == ["dz.s0.m1", "ids.s0.m1"]


def test_an_op_that_makes_what_all_microbatches_share_is_written_out() -> None:
    lines = ["y:bf16[B] = relu(x:bf16[B])", "w:bf16[B] = relu(v:bf16[B])"]
    chunk = PipelineChunk(forward=parse_graph(lines, {}).items, takes=("x",), makes=("y",), shared=frozenset({"w"}))
    chunks = [replace(chunk, takes=()), replace(chunk, makes=())]
    assert type(pipelined(chunks, Pipeline(stages=2, microbatches=3)).items) is tuple


@pytest.mark.parametrize(
    "first", ["copy(w:bf16[B]@host)", "copy(w:bf16[B], queue=own)", "all_reduce(w:bf16[B], over=T)"]
)
def test_the_first_kernel_waits_for_what_was_sent_behind_what_goes_on_beside_it(first: str) -> None:
    items = parse_graph([f"c:bf16[B] = {first}", "y:bf16[B] = relu(x:bf16[B])", "z:bf16[B] = add(y, c)"], {}).items
    chunk = PipelineChunk(forward=items, makes=("z",), shared=frozenset({"w"}))
    last = replace(chunk, makes=(), takes=("x",))
    stamped, written = both([chunk, last], Pipeline(stages=2, microbatches=2, blocking=True))
    check_same(stamped, written)
    waits = {op.name: op.option("after") for op in written.every_op()}
    assert waits["c.s0.m1"] == waits["y.s0.m1"] == "z.s0.m0.sent"
    assert waits["z.s0.m1"] is None


@settings(max_examples=20)
@given(st.data())
def test_what_waits_for_passes_before_is_written_out(data: st.DataObject) -> None:
    """Stages that wait for what they have sent; that have a buffer for what they receive, and hold what they make; and ops
    that wait for what a pass of their stage before, of whatever chunk, has left."""
    schedule = data.draw(st.sampled_from(["gpipe", "1f1b", "interleaved"]))
    stages, times = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    count = stages * (2 if schedule in CHUNKED else 1)
    layers = data.draw(st.integers(1, 3))
    chunks = [_leaving(chunk, data) for chunk in layered_chunks(count, layers=layers)]
    pipeline = Pipeline(
        stages=stages,
        microbatches=stages * times,
        schedule=schedule,
        blocking=data.draw(st.booleans()),
        buffered=data.draw(st.booleans()),
    )
    stamped, written = both(chunks, pipeline)
    check_same(stamped, written)
    told = [list(zip(each.unrolled.waiting, each.unrolled.awaited, strict=True)) for each in (stamped, written)]
    assert told[0] == told[1]


def _leaving(chunk: PipelineChunk, data: st.DataObject) -> PipelineChunk:
    """A chunk whose backward pass leaves one or two of its ops, and has one that waits for what was left; and, perhaps,
    whose passes have an op that waits for the pass before."""
    made = [(op.name, isinstance(item, Repeat)) for item in chunk.backward for op in every_op((item,))]
    left = [data.draw(st.sampled_from(made)) for _ in range(data.draw(st.integers(1, 2)))]
    rounds = [(Round(0),) if inside and data.draw(st.booleans()) else () for _, inside in left]
    names = [((name, each),) for (name, _), each in zip(left, rounds, strict=True)]
    waits = {data.draw(st.sampled_from(made))[0]: data.draw(st.integers(1, len(names)))}
    ahead = [op.name for op in every_op(chunk.forward)]
    paced = frozenset(data.draw(st.lists(st.sampled_from([*ahead, *(name for name, _ in made)]), max_size=2)))
    paces: dict[Any, Any] = {"forward": ((data.draw(st.sampled_from(ahead)), ()),), "backward": names[0]}
    return replace(chunk, leaves=tuple(names), awaits=waits, paced=paced, paces=paces if paced else {})


GROUPS = [("a", "b"), ("c", "s", "d"), ("t", "u")]
FUSED = [
    "a:bf16[B,N] = relu(x:bf16[B,N])",
    "b:bf16[B,N] = gelu(a)",
    {
        "repeat": 2,
        "carry": {"b": "d"},
        "ops": ["c:bf16[B,N] = add(b, w:bf16[B,N])", "s:bf16[B,N] = softmax(c)", "d:bf16[B,N] = relu(s)"],
    },
    "t:bf16[B,N] = add(d, a)",
    "u:bf16[B,N] = relu(t)",
]


@pytest.mark.parametrize("groups", [GROUPS, [("a", "b", "u")], [("a", "b"), ("b", "t")], [("a", "b"), ("a", "s")]])
def test_groups_in_all_copies_are_those_of_their_names(groups: list[tuple[str, ...]]) -> None:
    """Groups that can be, with a reduction in one; around a stranger; with an op in common; of two blocks."""
    chunk = PipelineChunk(
        forward=parse_graph(FUSED, {}).items, takes=("x",), makes=("u",), shared=frozenset({"w"}), fuse=tuple(groups)
    )
    chunks = [replace(chunk, takes=()), replace(chunk, makes=())]
    made = pipelined(chunks, Pipeline(stages=2, microbatches=3))
    assert isinstance(made.fuse, CopiedGroups)
    system, outcomes = many("line(2)", {"P": 2}), list[Any]()
    for items, rule in ((made.items, made.fuse), (tuple(made.items), made.fuse), (made.items, [*map(list, made.fuse)])):
        try:
            plan = simulate(OpGraph(DIMS, items, fuse=rule), system).plan
            outcomes.append([(planned.kernel, planned.queue) for planned in plan.kernels])
        except SpecError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert isinstance(outcomes[0], str) == (groups is not GROUPS)
