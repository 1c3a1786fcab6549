"""Fusion: what may be one kernel, what that saves, and what a spill costs.

Law: FLOPs are kept; HBM bytes never grow, with re-reads (overlap auto) as without (full), spilled or not; every kernel
still reads only what an earlier one wrote; a reduction that needs all of its input ends a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, SpecError, System, parse_topology
from simulator import Kernel, OpGraph, PlannedKernel, RunOptions, fuse, parse_graph, simulate
from tests.support.strategies import CHAIN_DIMS, chains, chip_with, many, one, outcome, planned_bytes, run, show_error

FULL = RunOptions(overlap="full")
SMALL = System(chip_with("tpu_v5e", {"on_chip.capacity": 100_000}))
TINY = System(chip_with("tpu_v5e", {"on_chip.capacity": 1000}))
SYSTEMS = {"roomy": one(), "small": SMALL, "tiny": TINY}


def kernels(lines: Sequence[Any], rule: Any, system: System | None = None, **dims: Any) -> list[Kernel]:
    """What a run on one chip executes, with perfect overlap."""
    planned = run(lines, dims or CHAIN_DIMS, system or one(), FULL, rule).plan.kernels
    return [part.kernel for part in planned]


def names(lines: Sequence[Any], rule: Any) -> list[str]:
    return [kernel.name for kernel in kernels(lines, rule, N=1024, M=64, K=32)]


# Laws


def check_laws(plain: Sequence[PlannedKernel], fused: Sequence[PlannedKernel]) -> None:
    flops, flops_apart = (sum(part.kernel.flops for part in each) for each in (fused, plain))
    assert flops == pytest.approx(flops_apart, rel=1e-12)
    moved, moved_apart = (sum(part.hbm_bytes for part in each) for each in (fused, plain))
    assert moved <= moved_apart * (1 + 1e-12)
    made = {access.tensor for part in plain for access in part.kernel.writes}
    written: set[str] = set()
    for part in fused:
        inside = {access.tensor for access in part.kernel.writes}
        needs = {access.tensor for access in part.kernel.reads}
        assert needs & made <= written
        assert {name for name in needs if name.endswith("/spill")} <= inside
        written |= inside
    read = {access.tensor for part in plain for access in part.kernel.reads}
    assert made - read <= written, "a result of the program is lost"


@pytest.mark.parametrize("room", sorted(SYSTEMS))
@pytest.mark.parametrize("overlap", ["full", "auto"])
def test_flops_are_kept_and_bytes_never_grow(overlap: Literal["full", "auto"], room: str) -> None:
    options = RunOptions(overlap=overlap)

    @settings(max_examples=150)
    @given(chains(), st.data())
    def law(lines: list[str], data: st.DataObject) -> None:
        graph = parse_graph(lines, CHAIN_DIMS)

        def planned(rule: Any) -> list[PlannedKernel]:
            made = OpGraph(graph.dims, graph.items, rule)
            return list(simulate(made, SYSTEMS[room], options).plan.kernels)

        plain = planned("none")
        check_laws(plain, planned("elementwise"))
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(lines) - 1)] * 2)))
        group = [f"t{at}" for at in range(first, last + 1)]
        fused = outcome(lambda: planned([group]))
        if isinstance(fused, ValueError):
            assert "fuse: " in str(fused)
        else:
            check_laws(plain, fused)

    law()


# What is saved


CHAIN = ["a:bf16[N] = relu(x:bf16[N])", "b:bf16[N] = elementwise(a, flops=2)", "c:bf16[N] = elementwise(b, flops=2)"]


@pytest.mark.parametrize(("rule", "passes", "printed"), [("none", 6, 154.141e-6), ("elementwise", 2, 51.3802e-6)])
def test_three_elementwise_ops_take_six_passes_or_two(rule: str, passes: int, printed: float) -> None:
    """49 MiB of bf16 on an A100 at 2.0e12 B/s."""
    n = 25_690_112
    result = run(CHAIN, {"N": n}, System(chip_with("a100_80gb_sxm", {"hbm.bandwidth": 2.0e12})), FULL, rule)
    assert planned_bytes(result.plan) == passes * n * 2
    print(show_error(f"fuse: {rule}, s", result.time_s, printed))
    assert result.time_s == pytest.approx(printed, rel=1e-5)


def test_a_matmul_keeps_its_result_on_chip_for_what_follows() -> None:
    lines = ["h:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", "y:bf16[M,N] = add(h, b:bf16[N])"]
    (joined,) = kernels(lines, [["h", "y"]])
    m, k, n = (CHAIN_DIMS[dim] for dim in "MKN")
    assert joined.hbm_bytes == 2 * (m * k + k * n + n + m * n)
    assert (joined.matrix_flops, joined.vector_flops) == (2 * m * n * k, m * n)
    assert joined.ops == ("h", "y")


def test_what_others_need_is_still_written() -> None:
    lines = [*CHAIN[:2], "d:bf16[N] = relu(b)", "e:bf16[N] = matmul(v:bf16[K], w:bf16[K,N])", "g:bf16[N] = add(a, e)"]
    joined = kernels(lines, [["a", "b"]], N=1024, K=64)[0]
    assert {access.tensor for access in joined.writes} == {"a", "b"}
    assert joined.hbm_bytes == 3 * 1024 * 2


def test_standard_attention_in_one_kernel_moves_what_flash_moves() -> None:
    """4 T d b per head instead of (4 T d + 4 T^2) b."""
    line = "o:bf16[H,T,D] = attention(q:bf16[H,T,D], k:bf16[H,T,D], v:bf16[H,T,D], kind=standard)"
    sizes: dict[str, Any] = {"H": 4, "T": 512, "D": 64}
    apart = kernels([line], "none", **sizes)
    assert sum(kernel.hbm_bytes for kernel in apart) == 4 * (4 * 512 * 64 + 4 * 512**2) * 2
    (joined,) = kernels([line], [["o"]], **sizes)
    assert joined.hbm_bytes == 4 * 4 * 512 * 64 * 2


def test_each_round_of_a_block_is_fused_on_its_own() -> None:
    block = {"repeat": 3, "carry": {"x": "b"}, "ops": ["a:bf16[N] = relu(x)", "b:bf16[N] = relu(a)"]}
    lines = ["x:bf16[N] = copy(z:bf16[N])", block]
    assert names(lines, [["a", "b"]]) == ["x", "a.0+b.0", "a.1+b.1", "a.2+b.2"]
    assert names(lines, "elementwise") == ["x", "a.0+b.0+a.1+b.1+a.2+b.2"]


def test_a_group_of_ops_whose_names_end_in_numbers() -> None:
    lines = ["h.0:bf16[N] = relu(x:bf16[N])", "h.1:bf16[N] = relu(h.0)"]
    assert names(lines, [["h.0", "h.1"]]) == ["h.0+h.1"]


# What ends a group


@pytest.mark.parametrize("rule", ["elementwise", [["a", "r", "c"]]], ids=str)
@pytest.mark.parametrize("reduction", ["softmax(a)", "layer_norm(a)", "rms_norm(a)"])
def test_a_reduction_ends_a_group(reduction: str, rule: Any) -> None:
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", f"r:bf16[M,N] = {reduction}", "c:bf16[M,N] = relu(r)"]
    assert names(lines, rule) == ["a+r", "c"]


@pytest.mark.parametrize("rule", ["elementwise", [["a", "r", "c"]]], ids=str)
def test_a_sum_ends_a_group(rule: Any) -> None:
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", "r:bf16[M] = reduce(a)", "c:bf16[M] = relu(r)"]
    assert names(lines, rule) == ["a+r", "c"]


def test_known_statistics_do_not_end_a_group() -> None:
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", "r:bf16[M,N] = batch_norm(a)", "c:bf16[M,N] = relu(r)"]
    assert names(lines, "elementwise") == ["a+r+c"]


@pytest.mark.parametrize("rule", ["elementwise", [["a", "r", "c"]]], ids=str)
def test_batch_norm_in_training_ends_one_kernel_with_its_statistics_and_begins_the_next(rule: Any) -> None:
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", "r:bf16[M,N] = batch_norm(a, train=true)", "c:bf16[M,N] = relu(r)"]
    assert names(lines, rule) == ["a+r/statistics", "r+c"]


TRAINED = ["a:bf16[B,C,H,H] = relu(x:bf16[B,C,H,H])", "r:bf16[B,C,H,H] = batch_norm(a, train=true)"]
CONVOLVED = "y:bf16[B,K,H,H] = conv2d(r, w:bf16[K,C,3,3], pad=1)"
LEFT = "q:bf16[B,C,H,H] = copy(a)"


@pytest.mark.parametrize(
    ("lines", "rule", "passes"),
    [
        (TRAINED, "none", 5),  # relu 2, batch norm 3
        (TRAINED, "elementwise", 4),  # read x, write a and count; read a, write r
        ([TRAINED[0], "r:bf16[B,C,H,H] = batch_norm(x, train=true)", "c:bf16[B,C,H,H] = relu(r)"], [["r", "c"]], 2 + 3),
        ([*TRAINED, CONVOLVED], "none", 7),
        ([*TRAINED, CONVOLVED], [["a", "r", "y"]], 4),  # read x, write a; read a, write y: r never exists
        ([*TRAINED, LEFT], "elementwise", 4 + 2),  # a is written anyway
        (["a:bf16[B,C,H,H] = add(x:bf16[B,C,H,H], z:bf16[B,C,H,H])", TRAINED[1]], "elementwise", 5),
    ],
)
def test_batch_norm_in_training_fused_writes_its_input_once_and_reads_it_once(
    lines: list[str], rule: Any, passes: int
) -> None:
    """Statistics are complete only after the last element, so what they are of exists in HBM: nothing is made anew."""
    dims: dict[str, Any] = {"B": 8, "C": 64, "K": 64, "H": 56}
    made = kernels(lines, rule, **dims)
    size, weights = 2 * 8 * 64 * 56 * 56, 2 * 64 * 64 * 9 if CONVOLVED in lines else 0
    assert sum(kernel.hbm_bytes for kernel in made) == passes * size + weights
    apart = kernels(lines, "none", **dims)
    assert sum(kernel.flops for kernel in made) == sum(kernel.flops for kernel in apart)


@pytest.mark.parametrize(
    "others",
    [["z:bf16[M,K] = batch_norm(x, train=true)"], ["a:bf16[M,K] = relu(x)", "z:bf16[M,K] = batch_norm(a, train=true)"]],
)
def test_batch_norm_in_training_is_not_multiplied_by_the_re_reads_of_a_matmul(others: list[str]) -> None:
    """x is read 2048/128 times by the matmul's tiles; the statistics need it once or twice more, not as often again."""
    lines = ["h:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", *others]
    group = [line.split(":")[0] for line in lines]
    apart, joined = (
        planned_bytes(run(lines, CHAIN_DIMS, SMALL, RunOptions(), rule).plan) for rule in ("none", [group])
    )
    assert joined <= apart


def test_each_member_runs_at_the_peak_of_its_own_dtype() -> None:
    lines = ["a:bf16[M,N] = matmul(x:int8[M,K], w:int8[K,N])", "b:bf16[M,K] = matmul(a, v:bf16[N,K])"]
    (joined,) = run(lines, CHAIN_DIMS, one(), FULL, [["a", "b"]]).plan.kernels
    flops = 2 * 1024 * 512 * 2048
    assert joined.times_s["matrix_unit"] == pytest.approx(flops / 3.94e14 + flops / 1.97e14)


def test_elementwise_joins_nothing_to_a_matmul() -> None:
    lines = ["h:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", "y:bf16[M,N] = relu(h)", "z:bf16[M,N] = relu(y)"]
    assert names(lines, "elementwise") == ["h", "y+z"]


def test_an_op_that_steps_between_keeps_them_apart() -> None:
    """s needs a and feeds c: as one kernel, a and c would have to run both before and after s."""
    lines = ["a:bf16[N] = relu(x:bf16[N])", "s:bf16[N] = copy(a)", "c:bf16[N] = add(a, s)"]
    assert names(lines, "elementwise") == ["a", "s", "c"]


def test_fusing_does_not_undo_what_was_said_about_order() -> None:
    """s waits for a, by `after=`; it must not begin before a has ended, in whatever kernel a ends up."""
    lines = ["a:bf16[N] = relu(x:bf16[N])", "s:bf16[N] = relu(w:bf16[N], after=[a])", "c:bf16[N] = relu(a)"]
    result = run(lines, {"N": 10**6}, one(), FULL, "elementwise")
    ends = {}
    for task, number in enumerate(result.plan.program.kernel):
        for op in result.plan.kernels[number].kernel.ops:
            ends[op] = result.begin_ps[task], result.end_ps[task]
    assert ends["s"][0] >= ends["a"][1]


def test_fusing_loses_no_work_on_the_chips_that_run_only_a_part() -> None:
    """a runs on both chips, c only where the received tensor is: on the other chip a still feeds d."""
    lines = [
        "a:bf16[N] = relu(x:bf16[N])",
        "s:bf16[N] = send(t:bf16[N], from=0, to=1)",
        "r:bf16[N] = recv(from=0, to=1)",
        "c:bf16[N] = add(a, r)",
        "d:bf16[N] = relu(a)",
    ]
    plain, fused = (run(lines, {"N": 64}, many("line(2)", {"X": 2}), FULL, rule) for rule in ("none", "elementwise"))
    work = [sum(part.kernel.flops * len(part.chips) for part in result.plan.kernels) for result in (plain, fused)]
    assert work[0] == work[1] == 64 * 5


# Spills


SOFTMAX_AFTER = ["a:bf16[M,N] = relu(x:bf16[M,N])", "z:bf16[M,N] = softmax(a)"]


@pytest.mark.parametrize(("columns", "spilled"), [(25_000, False), (25_001, True)])
def test_a_row_that_does_not_fit_is_spilled_at_the_price_of_not_fusing_it(columns: int, spilled: bool) -> None:
    """A row in bf16, twice over, against 100 000 bytes on chip."""
    size = 16 * columns * 2
    (joined,) = kernels(SOFTMAX_AFTER, "elementwise", SMALL, M=16, N=columns)
    assert joined.hbm_bytes == (4 if spilled else 2) * size
    assert joined.spilled_bytes == (2 if spilled else 0) * size


def test_a_row_that_others_need_too_is_written_once_and_read_back() -> None:
    """It does not fit on chip either way: x read, a written, a read back for the softmax, z written."""
    size = 16 * 100_000 * 2
    lines = [*SOFTMAX_AFTER, "u:bf16[M,N] = copy(a)"]
    assert kernels(lines, "elementwise", SMALL, M=16, N=100_000)[0].hbm_bytes == 4 * size


def test_the_largest_intermediate_is_spilled_and_the_others_stay() -> None:
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", "b:fp32[M,N] = cast(a)", "z:fp32[M,N] = add(a, b)"]
    room = System(chip_with("tpu_v5e", {"on_chip.capacity": 2 * 128 * 128 * 4}))
    (joined,) = kernels(lines, "elementwise", room, M=1024, N=1024)
    million = 1024 * 1024
    # b in fp32 fills the memory alone, so beside a it has to go: written and read back
    assert joined.spilled_bytes == 2 * 4 * million
    assert joined.hbm_bytes == (2 + 4 + 2 * 4) * million


@pytest.mark.parametrize("called", ["abcdz", "bacdz", "dcbaz", "zyxwv"])
def test_of_equals_that_is_spilled_which_costs_least_whatever_they_are_called(called: str) -> None:
    """Tensors of a size, room for two: beside a, which is read four times, c is needed longer than b is. Spilled, it is
    written and read back once; a would come back four times, and with b spilled c has to go all the same."""
    a, b, c, d, z = tuple(called)
    lines = [
        f"{a}:bf16[M,N] = relu(q:bf16[M,N])",
        f"{b}:bf16[M,N] = gelu({a})",
        f"{c}:bf16[M,N] = add({a}, {b})",
        f"{d}:bf16[M,N] = add({c}, {a})",
        f"{z}:bf16[M,N] = add({d}, {a})",
    ]
    room = System(chip_with("tpu_v5e", {"on_chip.capacity": 2 * 128 * 128 * 2 * 2}))
    (joined,) = kernels(lines, "elementwise", room, M=1024, N=1024)
    assert joined.spilled_bytes == 2 * 2 * 1024 * 1024


@pytest.mark.parametrize(("item_bytes", "spilled"), [(2 + 4, False), (2 + 4 - 1, True)])
def test_what_an_op_reads_and_what_it_makes_are_on_chip_at_once(item_bytes: int, spilled: bool) -> None:
    """Also where the op is the last that reads it: a tile of a in bf16 and one of b in fp32, each twice over."""
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", "b:fp32[M,N] = cast(a)", "z:fp32[M,N] = relu(b)"]
    room = System(chip_with("tpu_v5e", {"on_chip.capacity": 2 * 128 * 128 * item_bytes}))
    (joined,) = kernels(lines, "elementwise", room, M=1024, N=1024)
    assert joined.spilled_bytes == (2 * 4 * 1024 * 1024 if spilled else 0)


@pytest.mark.parametrize("places", [(0, 1), (1, 0)])
def test_unlike_chips_keep_on_chip_what_fits_on_all_of_them(places: tuple[int, int]) -> None:
    """They run one kernel, whichever of them is chip 0."""
    unlike = [chip_with("tpu_v5e", {"on_chip.capacity": nbytes}) for nbytes in (100_000, 10**6)]
    chips = tuple(unlike[place] for place in places)
    system = System(chips[0], parse_topology("line(2)", chips[0].links), Mesh({"X": 2}), chips)
    (joined,) = kernels(SOFTMAX_AFTER, "elementwise", system, M=16, N=25_001)
    assert joined.spilled_bytes == 2 * 16 * 25_001 * 2


# Mistakes


@pytest.mark.parametrize(
    ("lines", "rule", "words"),
    [
        (CHAIN, [["a", "q"]], "fuse: there is no op 'q'"),
        (CHAIN, [["a", "b"], ["b", "c"]], "fuse: an op stands in two groups"),
        (["a:bf16[N] = relu(x:bf16[N])", "s:bf16[N] = copy(a)", "c:bf16[N] = add(a, s)"], [["a", "c"]],
         "fuse: a, c cannot be one kernel, s stands between them"),
        (["a:bf16[N] = relu(x:bf16[N], chunks=2)", "c:bf16[N] = relu(a)"], [["a", "c"]], "need the same chunks="),
        (["y:bf16[N] = all_gather(x:bf16[N], over=X)", "c:bf16[N] = relu(y)"], [["y", "c"]], "is a all_gather"),
        (["r:bf16[N] = recv(from=0, to=1)", "s:bf16[N] = send(t:bf16[N], from=0, to=1)", "a:bf16[N] = relu(x:bf16[N])",
          "c:bf16[N] = add(a, r)"], [["a", "c"]], "a, c do not all run on the same chips"),
        (["a:bf16[N] = relu(x:bf16[N])", "c:bf16[N] = relu(a, tiles=3)"], [["a", "c"]], "tiles="),
        (CHAIN, "elementwize", "elementwise"),
    ],
)  # fmt: skip
def test_an_impossible_group_is_refused(lines: list[str], rule: Any, words: str) -> None:
    system = many("line(2)", {"X": 2})
    if "over=X" in lines[0]:
        lines = [lines[0].replace("x:bf16[N]", "x:bf16[N_X]"), *lines[1:]]
    with pytest.raises(SpecError) as caught:
        run(lines, {"N": 1024}, system, FULL, rule)
    assert words in str(caught.value)


def test_without_a_rule_nothing_is_touched() -> None:
    graph = parse_graph(CHAIN, {"N": 1024})
    plain = run(CHAIN, {"N": 1024}, one(), FULL).plan
    assert OpGraph(graph.dims, graph.items) == graph
    parts = [part.kernel for part in plain.kernels]
    assert fuse(parts, "none", one()) == parts
