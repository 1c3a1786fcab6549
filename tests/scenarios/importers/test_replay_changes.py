"""Replays in which something is changed: the answer follows from dependencies, and lies between bounds that hold whatever
the trace did not say. Times are in microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError, System, load_chip
from scenarios.importers import Imported, ImportOptions, import_files
from simulator import RunOptions, parse_graph, simulate
from tests.support.replays import call, collective, launched, replay, time_us, two_ranks, work
from tests.support.traces import Event, written

H100 = [{"name": "NVIDIA H100 80GB HBM3"}]
MIB = 2**20


def between_us(made: Imported) -> tuple[float, float]:
    assert made.between_s is not None
    return made.between_s[0] * 1e6, made.between_s[1] * 1e6


def behind(at: float) -> list[Event]:
    """What is launched next on another stream waits for what was launched before."""
    return [call("cudaEventRecord", at, 1), call("cudaStreamWaitEvent", at + 1.5, 1)]


def gradients(sizes: Sequence[int] = (1, 1, 1), took: Sequence[float] = (40, 40, 40)) -> list[Event]:
    """Three kernels of 100 us, an all-reduce of so many MiB behind each, and an optimizer that waits for the last."""
    events: list[Event] = []
    free = 0.0
    for at, (size, dur) in enumerate(zip(sizes, took, strict=True)):
        end = 10 + 100 * (at + 1)
        events += [*launched("backward", 20 * at, end - 100, 100, 10 * at + 1), *behind(20 * at + 3)]
        free = max(free, end)
        events += collective(10 * at + 2, free, dur, size * MIB // 2, at=20 * at + 6)
        free += dur
    return [*events, *behind(70), *launched("adam", 75, free, 20, 99)]


# Larger buckets


def test_a_joined_collective_begins_when_the_last_could_and_all_wait_for_it(tmp_path: Path) -> None:
    """All of one size: nothing tells what a start costs, so it takes 40 to 120 us from 310 us on."""
    events = gradients()
    assert time_us(replay(tmp_path, events)) == pytest.approx(370)
    made = replay(tmp_path, events, ImportOptions(buckets=3 * MIB))
    assert time_us(made) == pytest.approx(310 + 120 + 20)
    assert between_us(made)[1] == pytest.approx(450)
    assert between_us(made)[0] <= 310 + 40 + 20
    assert "3 collectives of gradients are joined into 1" in made.notes
    # the first two joined end at 290, before the third could begin
    assert time_us(replay(tmp_path, events, ImportOptions(buckets=2 * MIB))) == pytest.approx(370)


def test_collectives_of_several_sizes_tell_what_a_start_costs(tmp_path: Path) -> None:
    """10 us and 20 us a MiB: 30, 50 and 30 us, together 4 MiB in 90."""
    made = replay(tmp_path, gradients((1, 2, 1), (30, 50, 30)), ImportOptions(buckets=4 * MIB))
    assert time_us(made) == pytest.approx(310 + 90 + 20)
    assert between_us(made)[1] == pytest.approx(310 + 110 + 20)


def test_collectives_that_work_stands_between_are_not_joined(tmp_path: Path) -> None:
    """What the second all-reduce sums waits for the first."""
    events: list[Event] = []
    for at in range(2):
        begin = 10 + 150 * at
        events += [*launched("layer", 20 * at, begin, 100, 10 * at + 1), *behind(20 * at + 3)]
        events += [*collective(10 * at + 2, begin + 100, 50, at=20 * at + 6), *behind(20 * at + 9)]
    made = replay(tmp_path, events, ImportOptions(buckets=100 * MIB))
    assert time_us(made) == pytest.approx(310)
    assert "2 collectives of gradients are joined into 2" in made.notes
    assert any("1 of these end early" in note for note in made.notes)


def ranks(folder: Path) -> list[Path]:
    """Two ranks with two all-reduces of 30 us, each behind a kernel; rank 1 is slower."""
    paths = []
    for rank, took in enumerate((100, 120)):
        first, second = [10 + 120 + 30 * 0, 10 + 240]
        own = [10 + took, 10 + 2 * took]
        events = [*launched("mm", 0, 10, took, 1), *behind(3), *collective(2, own[0], first + 30 - own[0], at=6)]
        events += [*launched("mm", 20, own[0], took, 3), *behind(23)]
        begin = max(own[1], first + 30)
        events += [*collective(4, begin, second + 30 - begin, at=26), *behind(29), *launched("adam", 33, 280, 20, 5)]
        paths.append(written(folder, events, f"rank{rank}.json", distributedInfo={"rank": rank, "world_size": 2}))
    return paths


def test_collectives_of_several_ranks_are_joined_on_all_of_them(tmp_path: Path) -> None:
    paths = ranks(tmp_path)
    assert time_us(import_files(paths)) == pytest.approx(300)
    joined = import_files(paths, options=ImportOptions(buckets=100 * MIB))
    assert time_us(joined) == pytest.approx(250 + 60 + 20)
    assert between_us(joined)[1] == pytest.approx(330)
    # with the slower rank as fast as the other, it begins at 210
    faster = import_files(paths, options=ImportOptions(buckets=100 * MIB, faster={"mm": 1.2}))
    assert time_us(faster) == pytest.approx(10 + 200 + 60 + 20)


# Another interconnect


def test_collectives_of_all_ranks_go_over_the_links(tmp_path: Path) -> None:
    """2 MiB over two chips: 2 V / 2 over 450e9 B/s, from when the slower rank is there."""
    modelled = ImportOptions(collectives="modelled", chip="h100_sxm")
    made = import_files(two_ranks(tmp_path), options=modelled)
    assert made.system["topology"] == "switch(2) over nvlink"
    assert time_us(made) == pytest.approx(205 + 2**21 / 450e9 * 1e6, rel=1e-3)
    both = import_files(ranks(tmp_path), options=modelled)
    assert time_us(both) == pytest.approx(250 + 2**21 / 450e9 * 1e6 + 20, rel=1e-3)
    joined = import_files(ranks(tmp_path), options=ImportOptions(collectives="modelled", buckets=100 * MIB))
    assert time_us(joined) == pytest.approx(250 + 2**22 / 450e9 * 1e6 + 20, rel=1e-3)


# Overlap allowed


def test_overlapped_kernels_hold_nothing_up(tmp_path: Path) -> None:
    """On the stream of the kernels around them, or on one of their own for which these wait."""
    same = [*launched("a", 0, 5, 100, 1), *launched("nccl", 3, 105, 50, 2), *launched("b", 6, 155, 100, 3)]
    made = replay(tmp_path, same, ImportOptions(overlap=("nccl",)))
    assert time_us(made) == pytest.approx(205)
    assert between_us(made) == pytest.approx((205, 255))
    other = [
        *launched("a", 0, 5, 100, 1),
        *behind(3),
        *collective(2, 105, 50),
        *behind(9),
        *launched("b", 13, 155, 100, 3),
    ]
    assert time_us(replay(tmp_path, other)) == pytest.approx(255)
    assert time_us(replay(tmp_path, other, ImportOptions(overlap=("nccl",)))) == pytest.approx(205)


def test_a_host_that_waits_for_an_overlapped_kernel_still_does(tmp_path: Path) -> None:
    events = [*launched("nccl", 0, 5, 100, 1), call("cudaDeviceSynchronize", 10, 96), *launched("b", 118, 121, 30, 2)]
    assert time_us(replay(tmp_path, events, ImportOptions(overlap=("nccl",)))) == pytest.approx(151)


def test_ranks_meet_in_overlapped_collectives(tmp_path: Path) -> None:
    """adam need not wait for them: what is last is the second collective, which the slower rank lets begin at 250."""
    made = import_files(ranks(tmp_path), options=ImportOptions(overlap=("nccl",)))
    assert time_us(made) == pytest.approx(280)


# Another chip


def alone_s(line: str, chip: str) -> float:
    return simulate(parse_graph([line], {}), System(load_chip(chip)), RunOptions(calibration="measured")).time_s


def plain_kernels() -> list[Event]:
    return [*launched("nvjet_tst_128x128", 0, 5, 100, 1), *launched("vectorized_elementwise", 3, 105, 70, 2)]


def test_kernels_without_shapes_are_scaled_within_what_chips_can_do(tmp_path: Path) -> None:
    """The H200 is an H100 with a faster HBM: matmuls take as long, copies less, and nothing more than its ratio less."""
    ratio = load_chip("h100_sxm").hbm.bytes_per_s / load_chip("h200").hbm.bytes_per_s
    made = replay(tmp_path, plain_kernels(), ImportOptions(onto="h200"), deviceProperties=H100)
    assert made.system == {"chip": "h200"}
    assert time_us(made) == pytest.approx(5 + 100 + 70 * ratio, rel=1e-5)
    assert between_us(made)[1] == pytest.approx(175)
    assert between_us(made)[0] == pytest.approx(5 + 170 * ratio, rel=1e-5)


def test_kernels_with_shapes_are_scaled_by_models_of_them(tmp_path: Path) -> None:
    """By what either chip takes for an op of the same shape, as its kernels are known."""
    said = {"Input Dims": [[4096, 4096], [4096, 4096]], "Input type": ["c10::Half", "c10::Half"]}
    copied = {"Input Dims": [[2**28], [2**28], []], "Input type": ["c10::Half", "c10::Half", "Scalar"]}
    ops = [
        {"ph": "X", "cat": "cpu_op", "name": f"aten::{name}", "pid": 9, "tid": 1, "ts": 0, "dur": 4, "args": args}
        for name, args in (("mm", {"External id": 1, **said}), ("copy_", {"External id": 2, **copied}))
    ]
    kernels = [
        work("gemm", 5, 100, 1, **{"External id": 1}),
        work("elementwise", 105, 60, 2, **{"External id": 2}),
    ]
    launches = [call("cudaLaunchKernel", at, 2, at + 1) for at in range(2)]
    made = replay(tmp_path, [*ops, *launches, *kernels], ImportOptions(chip="v100_sxm2_32gb", onto="t4"))
    lines = (
        "y:fp16[4096,4096] = matmul(x:fp16[4096,4096], w:fp16[4096,4096])",
        f"y:fp16[{2**28}] = copy(x:fp16[{2**28}])",
    )
    took = [[alone_s(line, chip) for chip in ("v100_sxm2_32gb", "t4")] for line in lines]
    expected = sum(before * new / old for before, (old, new) in zip((100, 60), took, strict=True))
    assert took[0][1] / took[0][0] > 1.9  # the peaks, 125 and 65 TFLOP/s, and power besides
    assert took[1][1] / took[1][0] == pytest.approx(900 / 320, rel=0.01)  # bandwidths
    assert time_us(made) == pytest.approx(5 + expected, rel=2e-3)
    assert between_us(made) == pytest.approx((expected, 5 + expected), rel=2e-3)  # the launch may go beside
    assert "100 % by models of their shapes" in made.notes[0]


IMAGE, KERNEL = [64, 256, 56, 56], [256, 32, 3, 3]
CONV = "conv2d(x:fp16[64,256,56,56], w:fp16[256,32,3,3], stride=[2,2], pad=[1,1], dilation=[1,1], groups=8)"


@pytest.mark.parametrize(
    ("name", "dims", "concrete"),
    [
        ("conv2d", [IMAGE, KERNEL, [256]], ["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "8"]),
        ("convolution", [IMAGE, KERNEL, []], ["", "", "", "[2, 2]", "[1]", "[1]", "False", "[0, 0]", "8"]),
        ("cudnn_convolution", [IMAGE, KERNEL], ["", "", "[1, 1]", "[2, 2]", "[1, 1]", "8", "False"]),
        (
            "convolution_backward",
            [[64, 256, 28, 28], IMAGE, KERNEL],
            ["", "", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "8", "[True, True, False]"],
        ),
    ],
)
def test_convolutions_are_scaled_by_models_of_them(tmp_path: Path, name: str, dims: Any, concrete: list[str]) -> None:
    """By the place of their numbers in the schemas of aten: the library's own has its padding first."""
    said = {"Input Dims": dims, "Input type": ["c10::Half"] * len(dims), "Concrete Inputs": concrete, "External id": 1}
    op = {"ph": "X", "cat": "cpu_op", "name": f"aten::{name}", "pid": 9, "tid": 1, "ts": 0, "dur": 4, "args": said}
    kernel = work("implicit_convolve_sgemm", 5, 100, 1, **{"External id": 1})
    events = [op, call("cudaLaunchKernel", 0, 2, 1), kernel]
    made = replay(tmp_path, events, ImportOptions(chip="v100_sxm2_32gb", onto="t4"))
    before, after = (alone_s(f"y:fp16[64,256,28,28] = {CONV}", chip) for chip in ("v100_sxm2_32gb", "t4"))
    assert "100 % by models of their shapes" in made.notes[0]
    assert time_us(made) == pytest.approx(5 + 100 * after / before, rel=2e-3)


def test_a_convolution_that_says_no_stride_lies_within_what_chips_can_do(tmp_path: Path) -> None:
    said = {"Input Dims": [IMAGE, KERNEL, []], "Input type": ["c10::Half"] * 3, "External id": 1}
    op = {"ph": "X", "cat": "cpu_op", "name": "aten::conv2d", "pid": 9, "tid": 1, "ts": 0, "dur": 4, "args": said}
    kernel = work("implicit_convolve_sgemm", 5, 100, 1, **{"External id": 1})
    made = replay(tmp_path, [op, call("cudaLaunchKernel", 0, 2, 1), kernel], ImportOptions(chip="h100_sxm", onto="t4"))
    old, new = (load_chip(name).matrix_unit.peak_flops_per_s["fp16"] for name in ("h100_sxm", "t4"))
    assert time_us(made) == pytest.approx(5 + 100 * old / new, rel=1e-5)  # a T4 has no bf16
    least, most = between_us(made)
    assert least < time_us(made) < most


def test_what_nothing_can_be_said_of_is_refused(tmp_path: Path) -> None:
    events = plain_kernels()
    with pytest.raises(SpecError, match="say with --chip on which one this was measured"):
        replay(tmp_path, events, ImportOptions(onto="h200"))
    with pytest.raises(SpecError, match=r"--onto.*unknown chip 'h2x'"):
        replay(tmp_path, events, ImportOptions(onto="h2x", chip="h100_sxm"))
    with pytest.raises(SpecError, match="no kernel of the trace says that it is an all-reduce"):
        replay(tmp_path, events, ImportOptions(buckets=1e6))
    with pytest.raises(SpecError, match=r"--overlap.*no kernel has 'nccl'"):
        replay(tmp_path, events, ImportOptions(overlap=("nccl",)))


# The measured traces of an H100

TRACES = Path(__file__).parents[3].parent / "shared/validation/gpu"
CHANGES = {
    "gpt2_4layers_train": [
        ImportOptions(faster={"nvjet": 2}),
        ImportOptions(launches=False),
        ImportOptions(onto="h200"),
    ],
    "two_streams": [
        ImportOptions(faster={"Memcpy": 2}),
        ImportOptions(overlap=("Memcpy",)),
        ImportOptions(onto="h200"),
    ],
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_better_is_no_slower_and_within_its_bounds(name: str) -> None:
    path = TRACES / f"h100_trace_{name}.json.gz"
    if not path.is_file():
        pytest.skip("the measured traces are not beside this repository")
    for options in CHANGES[name]:
        made = import_files([path], options=options)
        assert made.measured_s is not None
        least, most = between_us(made)
        assert most == pytest.approx(made.measured_s * 1e6)  # nothing takes longer
        assert least < most
        if name == "two_streams" or not options.launches:
            assert least <= time_us(made) * (1 + 1e-9) <= most * (1 + 2e-9)


# Bounds

KERNELS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 90), st.integers(0, 30), st.lists(st.integers(1, 6), max_size=2)),
    min_size=1,
    max_size=20,
)
Drawn = tuple[int, int, int, list[int]]


def run_of(drawn: Sequence[Drawn], speedup: Mapping[int, float], launches: bool = True) -> list[tuple[float, float]]:
    """When kernels run: behind their stream, their launch, and kernels before them, of which the trace says nothing."""
    host, free, spans = 0.0, [0.0, 0.0, 0.0], list[tuple[float, float]]()
    for number, (stream, took, between, back) in enumerate(drawn):
        host += between + 2 if launches else 0
        secret = [spans[number - each][1] for each in back if each <= number]
        begin = max([host, free[stream], *secret])
        spans.append((begin, begin + took / speedup.get(stream, 1.0)))
        free[stream] = spans[-1][1]
    return spans


def traced(drawn: Sequence[Drawn]) -> list[Event]:
    events, host = [], 0.0
    for number, (each, (begin, end)) in enumerate(zip(drawn, run_of(drawn, {}), strict=True)):
        host += each[2] + 2
        events += launched(f"k{each[0]}_", host - 2, begin, end - begin, number, each[0])
    return events


@settings(max_examples=60, deadline=None)
@given(KERNELS, st.sampled_from([0.5, 2.0, 10.0]))
def test_the_truth_is_between_the_bounds_whatever_the_trace_leaves_out(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Drawn], factor: float
) -> None:
    folder, events = tmp_path_factory.mktemp("drawn"), traced(drawn)
    first = min(event["ts"] for event in events)
    hits = {each[0] for each in drawn} & {0, 1}
    if hits:
        made = replay(folder, events, ImportOptions(faster={f"k{each}_": factor for each in hits}))
        truth = max(end for _, end in run_of(drawn, dict.fromkeys(hits, factor))) - first
        assert between_us(made)[0] - 1e-3 <= truth <= between_us(made)[1] + 1e-3
    made = replay(folder, events, ImportOptions(launches=False))
    truth = max(end for _, end in run_of(drawn, {}, launches=False))
    assert between_us(made)[0] - 1e-3 <= truth <= between_us(made)[1] + 1e-3
