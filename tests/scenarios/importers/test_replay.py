"""Replays of measured traces: as they are they take what was measured, and what is changed follows from dependencies.

Traces are made here, in the form in which PyTorch's profiler writes them; times are in microseconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError, chip_names
from scenarios.importers import ImportOptions, import_files
from scenarios.importers.driver_names import DRIVER_NAMES, chip_of_driver
from scenarios.importers.kineto.group_ranks import group_ranks
from tests.support.mutations import refusals
from tests.support.replays import call, launched, replay, summary, time_us, two_ranks, work
from tests.support.traces import Event, process, slice_, written

H100 = Path(__file__).parents[3].parent / "shared/validation/gpu"
TRACES = ("h100_trace_gpt2_4layers_train", "h100_trace_two_streams")


def two_streams() -> list[Event]:
    """a on stream 7, then b of stream 8 behind an event, and c of stream 7 beside it."""
    return [
        *launched("a", 0, 5, 100, 1),
        call("cudaEventRecord", 2, 1),
        call("cudaStreamWaitEvent", 3, 1),
        *launched("b", 4, 106, 50, 2, stream=8),
        *launched("c", 6, 105, 80, 3),
    ]


def test_a_replay_takes_what_was_measured(tmp_path: Path) -> None:
    made = replay(tmp_path, two_streams())
    assert made.measured_s == pytest.approx(185e-6)
    assert time_us(made) == pytest.approx(185)
    assert "b:int8[1] = custom(time=50 us, delay=1 us, queue=s8, after=[launch_2, a])" in made.ops


def test_a_faster_kernel_moves_what_waits_for_it_through_an_event(tmp_path: Path) -> None:
    """a takes 50 and not 100: c ends at 55 + 80, b began at 56 and ends at 106."""
    made = replay(tmp_path, two_streams(), ImportOptions(faster={"a": 2}))
    assert time_us(made) == pytest.approx(135)
    slow = replay(tmp_path, two_streams(), ImportOptions(faster={"c": 4}))
    assert time_us(slow) == pytest.approx(156)  # b is last now: 106 + 50


def test_kernels_that_wait_for_their_host_are_no_faster_for_being_faster(tmp_path: Path) -> None:
    """Launches return every 10 us, kernels of 2 us begin as they do: the last ends at 92 + 2, or at 92 + 1."""
    events = [event for at in range(10) for event in launched(f"k{at}", 10 * at, 10 * at + 2, 2, at)]
    assert time_us(replay(tmp_path, events)) == pytest.approx(94)
    assert time_us(replay(tmp_path, events, ImportOptions(faster={"k": 2}))) == pytest.approx(93)
    # issued by nobody, they follow each other
    captured = replay(tmp_path, events, ImportOptions(launches=False))
    assert time_us(captured) == pytest.approx(10 * 2)
    assert any("left out" in note for note in captured.notes)


def test_a_host_that_waits_goes_on_when_the_device_is_done(tmp_path: Path) -> None:
    """It waits up to 105 for a kernel of 100, then needs 15 us until its next launch returns at 120."""
    events = [
        *launched("a", 0, 5, 100, 1),
        call("cudaDeviceSynchronize", 10, 96),
        *launched("b", 118, 121, 30, 2),
    ]
    made = replay(tmp_path, events)
    assert time_us(made) == pytest.approx(151)
    faster = replay(tmp_path, events, ImportOptions(faster={"a": 2}))
    assert time_us(faster) == pytest.approx(101)
    assert any("wait" in line and "after=[a]" in line for line in made.ops)


def test_a_copy_from_pageable_memory_holds_its_host(tmp_path: Path) -> None:
    copied = work("Memcpy HtoD (Pageable -> Device)", 5, 40, 1)
    copied["cat"] = "gpu_memcpy"
    events = [call("cudaMemcpyAsync", 0, 47, 1), copied, *launched("b", 50, 53, 10, 2)]
    assert time_us(replay(tmp_path, events)) == pytest.approx(63)
    assert time_us(replay(tmp_path, events, ImportOptions(faster={"Memcpy": 2}))) == pytest.approx(43)


def test_recorded_waits_are_exact_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    def wait(number: int, recorded: int) -> Event:
        args = {
            "stream": 8,
            "correlation": number,
            "wait_on_stream": 7,
            "wait_on_cuda_event_record_corr_id": recorded,
            "device": 0,
        }
        return slice_("Stream Wait Event", 4, 0, 0, 8, cat="cuda_sync", args=args)

    events = [
        *launched("a", 0, 5, 100, 1),
        call("cudaEventRecord", 2, 1, 2),
        call("cudaStreamWaitEvent", 3, 1, 3),
        wait(3, 2),
        *launched("b", 4, 40, 50, 4, stream=8),
    ]
    made = replay(tmp_path, events)
    assert time_us(made) == pytest.approx(105)
    assert any("1 false dependencies on work of another queue" in note for note in made.notes)
    events[-1]["ts"] = 110
    assert "after=[launch_2, a]" in replay(tmp_path, events).ops[-1]


def test_kernels_of_one_stream_side_by_side_are_named_and_take_no_longer_together(tmp_path: Path) -> None:
    events = [*launched("a", 0, 5, 100, 1), *launched("b", 2, 95, 50, 2)]
    made = replay(tmp_path, events)
    assert time_us(made) == pytest.approx(145)
    assert any("1 kernels began before the one ahead" in note and "(10 us in all)" in note for note in made.notes)


def test_ranks_meet_in_their_collectives(tmp_path: Path) -> None:
    made = import_files(two_ranks(tmp_path))
    assert time_us(made) == pytest.approx(235)
    faster = import_files(two_ranks(tmp_path), options=ImportOptions(faster={"mm": 2}))
    assert time_us(faster) == pytest.approx(135)  # rank 1 is there at 105
    assert sum("allreduce" in line and "time=30 us" in line for line in made.ops) == 2


def test_ranks_whose_clocks_differ_are_laid_side_by_side(tmp_path: Path) -> None:
    paths = two_ranks(tmp_path)
    late = json.loads(paths[1].read_text())
    for event in late["traceEvents"]:
        event["ts"] += 5000
    paths[1].write_text(json.dumps(late))
    made = import_files(paths)
    assert time_us(made) == pytest.approx(235)
    assert any("rank 1 is shifted by -5 ms," in note for note in made.notes)


def test_a_modelled_collective_takes_what_the_links_allow(tmp_path: Path) -> None:
    """Two chips of a switch: 2 V / 2 over 450e9 B/s, V = 2^21 B, behind a matmul that ends at 105 us."""
    path = two_ranks(tmp_path)[0]
    made = import_files([path], options=ImportOptions(collectives="modelled", chip="h100_sxm"))
    assert made.system["topology"] == "switch(2) over nvlink"
    assert time_us(made) == pytest.approx(105 + 2**21 / 450e9 * 1e6, rel=1e-3)
    slow = made.text.replace("switch(2) over nvlink", "switch(2) over infiniband")
    assert slow != made.text


def test_ranks_that_are_not_all_there_are_replayed_as_measured(tmp_path: Path) -> None:
    made = import_files(two_ranks(tmp_path)[:1])
    assert time_us(made) == pytest.approx(235)


def test_one_step_can_be_replayed_alone(tmp_path: Path) -> None:
    steps = [slice_(f"ProfilerStep#{at}", 1000 * at, 900, 9, 1, cat="user_annotation") for at in range(2)]
    events = [*steps, *launched("a", 10, 1100, 50, 1), *launched("b", 1010, 1200, 70, 2)]
    made = replay(tmp_path, events, ImportOptions(step="ProfilerStep#1"))
    assert time_us(made) == pytest.approx(1270 - 1010)
    assert [line.partition(":")[0] for line in made.ops if "custom" in line and "queue=s7" in line] == ["b_idle", "b"]
    with pytest.raises(SpecError, match=r"no range 'ProfilerStep#7', did you mean 'ProfilerStep#"):
        replay(tmp_path, events, ImportOptions(step="ProfilerStep#7"))


def test_work_of_a_captured_graph_hangs_on_one_launch(tmp_path: Path) -> None:
    node = {"graph node id": 4}
    events = [
        call("cudaGraphLaunch", 0, 10, 1),
        work("a", 12, 40, 1, **node),
        work("b", 53, 20, 1, stream=8, **node),
        work("c", 74, 10, 1, **node),
    ]
    made = replay(tmp_path, events)
    assert time_us(made) == pytest.approx(84)
    # b and c waited for each other across streams, as nothing but times shows
    assert time_us(replay(tmp_path, events, ImportOptions(faster={"b": 2}))) == pytest.approx(74)


@pytest.mark.parametrize("name", TRACES)
def test_measured_traces_of_an_h100_take_what_was_measured(name: str) -> None:
    path = H100 / f"{name}.json.gz"
    if not path.is_file():
        pytest.skip("the measured traces are not beside this repository")
    made = import_files([path])
    assert made.system == {"chip": "h100_sxm"}
    assert made.measured_s is not None
    assert time_us(made) == pytest.approx(made.measured_s * 1e6, rel=0.02)


KERNELS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(1, 90), st.integers(0, 40)), min_size=1, max_size=25
)


@settings(max_examples=60, deadline=None)
@given(KERNELS)
def test_any_run_replays_as_it_was(tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, ...]]) -> None:
    """Kernels on three streams, each some time after its launch returned and after the one before it."""
    host, free, events = 0.0, [0.0, 0.0, 0.0], []
    for number, (stream, late, dur, between) in enumerate(drawn):
        host += between
        begin = max(free[stream], host + 2) + late
        events += launched(f"k{number}", host, begin, dur, number, stream)
        free[stream] = begin + dur
        host += 2
    made = replay(tmp_path_factory.mktemp("drawn"), events)
    first = min(event["ts"] for event in events)
    assert time_us(made) == pytest.approx(max(free) - first, rel=1e-9)
    words = summary(made)
    assert words["lower_bound"] <= words["time"] <= words["upper_bound"] * (1 + 1e-9)


def test_broken_traces_are_read_or_refused(tmp_path: Path) -> None:
    whole = json.dumps({"traceEvents": two_streams()}).encode()
    said = refusals(whole, tmp_path / "trace.json", lambda path: import_files([path], "kineto").text)
    assert len(said) > 10


@pytest.mark.parametrize(("name", "profiler"), [("/device:TPU:0", "XProf"), ("Ascend Hardware", "Ascend's profiler")])
def test_traces_of_other_profilers_are_named_with_what_is_read_instead(
    tmp_path: Path, name: str, profiler: str
) -> None:
    events = [*process(7, name), slice_("fusion.1", 0, 10, 7, 1)]
    with pytest.raises(SpecError, match=f"a trace of {profiler}, .* without --out shows its timeline; replays are of"):
        import_files([written(tmp_path, events)])


DRIVERS = {
    "NVIDIA H100 80GB HBM3": "h100_sxm", "NVIDIA H100 PCIe": "h100_pcie", "NVIDIA H20": "h20", "NVIDIA H200": "h200",
    "NVIDIA A100-SXM4-40GB": "a100_40gb_sxm", "NVIDIA A100-SXM4-80GB": "a100_80gb_sxm",
    "NVIDIA A100-PCIE-40GB": "a100_40gb_pcie",
    "NVIDIA A100 80GB PCIe": "a100_80gb_pcie", "NVIDIA L4": "l4", "NVIDIA L40": "l40", "NVIDIA L40S": "l40s",
    "Tesla V100-PCIE-32GB": "v100_pcie_32gb", "AMD Instinct MI300X": "mi300x", "NVIDIA GeForce GTX 680": None,
}  # fmt: skip


def test_names_of_drivers_are_chips_of_the_catalogue() -> None:
    assert {name: chip_of_driver(name) for name in DRIVERS} == DRIVERS
    assert {ours for _, ours in DRIVER_NAMES} <= set(chip_names())


GROUPS = [
    ("[0, 2, 4]", 3, {}, (0, 2, 4)),
    ([0, 2, 4], 3, {}, (0, 2, 4)),
    ("[0, 2, 4]", 4, {}, None),
    ("[1, 3, 5, ..., 127]", 64, {}, tuple(range(1, 128, 2))),
    ("[1, 3, 5, ..., 126]", 64, {}, None),
    ("[0, 1, 8, ..., 64]", 9, {}, None),
    ("[1, 9, ..., 505]", 64, {"Global rank start": 1, "Global rank stride": 8}, tuple(range(1, 512, 8))),
    ("", 4, {"Global rank start": 4, "Global rank stride": 1}, (4, 5, 6, 7)),
    ("", 4, {"Global rank start": -1, "Global rank stride": -1}, None),
    ("", 4, {}, None),
]


@pytest.mark.parametrize(("said", "size", "more", "ranks"), GROUPS)
def test_ranks_that_were_left_out_of_a_list_follow_from_it(said: Any, size: int, more: Any, ranks: Any) -> None:
    assert group_ranks({"Process Group Ranks": said, **more}, size) == ranks


def test_groups_that_cross_each_other_meet_each_for_itself(tmp_path: Path) -> None:
    """Four ranks, two pairs in a node and two across: a slow rank 0 holds up 1 and 2 at once, and 3 through these."""
    paths = []
    for rank in range(4):
        took = 200 if rank == 0 else 100
        pair, across = sorted((rank, rank ^ 1)), sorted((rank, rank ^ 2))
        events = [*launched("mm", 0, 10, took, 1)]
        # of the pair {0, 1} the collective ends at 240, of {2, 3} at 140; across, all begin at 240
        first = 210 if rank < 2 else 110
        calls = (pair, 10 + took, first, "tp"), (across, first + 30, 240, "dp")
        for number, (ranks, own, begin, name) in enumerate(calls, 2):
            said: Any = {"Process Group Ranks": str(ranks), "Process Group Name": f"{name}{ranks[0]}", "Group size": 2,
                    "Collective name": "allreduce", "In msg nelems": 8, "Out msg nelems": 8, "dtype": "Float"}  # fmt: skip
            events += launched("nccl", 5 * number, own, begin + 30 - own, number, **said)
        paths.append(written(tmp_path, events, f"{rank}.json", distributedInfo={"rank": rank, "world_size": 4}))
    assert time_us(import_files(paths)) == pytest.approx(270)
    # with every matmul twice as fast, rank 0 is there at 110
    assert time_us(import_files(paths, options=ImportOptions(faster={"mm": 2}))) == pytest.approx(10 + 100 + 60)


def test_a_trace_of_a_host_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing in this trace ran on a device"):
        replay(tmp_path, [call("cudaLaunchKernel", 0, 1, 1)])
    with pytest.raises(SpecError, match="no kernel has 'x' in its name"):
        replay(tmp_path, two_streams(), ImportOptions(faster={"x": 2}))
    with pytest.raises(SpecError, match="no kernel of the trace says"):
        replay(tmp_path, two_streams(), ImportOptions(collectives="modelled"))
