"""Whose time a slice is: the process that is not the host is the device, whatever accelerator wrote the file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from analysis import read_trace
from analysis.timelines import idle_by_cause, labelled, queue_lengths, rollup, skew
from hw import SpecError
from scenarios.cli import app
from tests.support.timelines import indexed, timeline_of
from tests.support.traces import Event, kernel, parts_us, process, read_parts, slice_, thread, written

HOST = [
    slice_("aten::mm", 0, 100, 865, 1, cat="cpu_op"),
    slice_("forward.py(3): step", 0, 100, 865, 1, cat="python_function"),
]


@pytest.mark.parametrize(
    "events",
    [
        [slice_("cudaDeviceSynchronize", 0, 95, 10, 10, cat="cuda_runtime"), *HOST],
        [slice_("hipLaunchKernel", 0, 95, 10, 10, cat="hip_driver")],
        [slice_("ProfilerStep#1", 0, 95, 10, 10, cat="user_annotation"), *HOST],
        [*process(1, "/host:CPU"), thread(1, 2, "worker/0"), slice_("ThunkExecutor", 0, 95, 1, 2)],
        [*process(1, "python3", "CPU"), slice_("step", 0, 95, 1, 2)],
        [*process(1, "python"), slice_("step", 0, 95, 1, 2)],
        [slice_("PyTorch Profiler (0)", 0, 95, "Spans", "PyTorch Profiler", cat="Trace"), *HOST],
    ],
    ids=["cuda", "hip", "annotated", "jax on the host", "labelled", "named", "with the profiler's own span"],
)
def test_the_time_of_the_host_is_no_device_time(events: list[Event], tmp_path: Path) -> None:
    path = written(tmp_path, events, distributedInfo={"rank": 0})
    with pytest.raises(SpecError, match="no slice of a device: what its devices computed is unknown") as caught:
        read_trace(path)
    assert "of the host (" in str(caught.value)
    told = CliRunner().invoke(app, ["import", str(path), "--json"])
    assert (told.exit_code, told.stdout) == (2, "")


XPROF = [
    *process(3, "/device:TPU:0"),
    *(thread(3, at, name) for at, name in enumerate(["Steps", "XLA Modules", "XLA Ops", "Framework Name Scope"], 1)),
    *process(701, "/host:CPU"),
    thread(701, 10, "python"),
    slice_("0", 0, 100, 3, 1, args={}),
    slice_("jit_step(123)", 0, 100, 3, 2),
    slice_("fusion.1", 0, 40, 3, 3, args={"hlo_category": "convolution fusion"}),
    slice_("all-reduce.7", 40, 20, 3, 3, args={"hlo_category": "all-reduce"}),
    slice_("transformer/layer_0", 0, 100, 3, 4),
    slice_("PjitFunction(step)", 0, 200, 701, 10),
]


def test_steps_modules_and_scopes_of_a_tpu_are_frames_and_its_host_is_no_chip(tmp_path: Path) -> None:
    assert read_parts(tmp_path, XPROF) == {0: {"arithmetic": 40, "network": 20, "total": 60}}


def test_the_cores_of_a_tpu_are_one_chip_and_other_tpus_are_others(tmp_path: Path) -> None:
    events = [
        *XPROF,
        *process(4, "/device:TPU:0 SparseCore 0"),
        thread(4, 1, "Sparse Core Steps"),
        thread(4, 2, "Sparse Core Ops"),
        slice_("0", 0, 100, 4, 1),
        slice_("gather", 60, 10, 4, 2),
        *process(5, "/device:TPU:1"),
        thread(5, 3, "XLA Ops"),
        thread(5, 4, "Async XLA Ops"),
        slice_("fusion.1", 0, 30, 5, 3, args={"hlo_category": "loop fusion"}),
        slice_("all-gather-start.2", 10, 40, 5, 4, args={"hlo_category": "async-start"}),
        slice_("copy-start.3", 50, 5, 5, 4, args={"hlo_category": "copy-start"}),
    ]
    assert read_parts(tmp_path, events) == {
        0: {"arithmetic": 50, "network": 20, "total": 70},
        1: {"arithmetic": 30, "network": 20, "memory": 5, "idle": 15, "total": 70},
    }


def test_a_loop_is_a_frame_around_the_ops_in_it(tmp_path: Path) -> None:
    events = [
        *XPROF,
        slice_("while.3", 60, 100, 3, 3, args={"hlo_category": "while"}),
        slice_("fusion.9", 60, 10, 3, 3, args={"hlo_category": "loop fusion"}),
        slice_("collective-permute.1", 70, 90, 3, 3, args={"hlo_category": "collective-permute"}),
    ]
    assert read_parts(tmp_path, events)[0] == {"arithmetic": 50, "network": 110, "total": 160}


def test_xlas_ops_are_shown_twice_where_a_gpu_has_streams(tmp_path: Path) -> None:
    events = [
        *process(1, "/device:GPU:0 (NVIDIA H100)"),
        thread(1, 1, "XLA Ops"),
        thread(1, 2, "Stream #13(Compute)"),
        thread(1, 3, "Stream #14(MemcpyD2H)"),
        slice_("gemm_fusion.2", 0, 40, 1, 1),
        slice_("cutlass_gemm", 0, 40, 1, 2),
        slice_("MemcpyD2H", 40, 10, 1, 3),
    ]
    timeline = read_trace(written(tmp_path, events))
    assert timeline["op"].tolist() == ["cutlass_gemm", "MemcpyD2H"]
    assert parts_us(timeline) == {0: {"arithmetic": 40, "memory": 10, "total": 50}}


def tensorflows(device: str) -> list[Event]:
    """A step as TensorFlow's timeline has it: 55 us of three kernels on two streams and a copy of 10 us, beside each other
    for 5 us; every kernel is shown in its stream and among all, every copy in its stream and among the copies."""
    task = "/job:localhost/replica:0/task:0"
    streams = {"stream:14": [("MatMul", 100, 40), ("Relu", 140, 10)], "stream:15": [("Sum", 150, 5)]}
    copies = {"stream:16": [("MEMCPYHtoD", 95, 10)]}
    every = [each for slices in streams.values() for each in slices]
    lanes = {
        f"{task}/device:CPU:0": [("Const", 0, 90)],
        f"{task}/{device}": [("MatMul", 0, 60), ("Relu", 60, 30)],
        **{f"/{device}/{name}": slices for name, slices in (streams | copies).items()},
        f"/{device}/stream:all": every,
        f"/{device}/memcpy": copies["stream:16"],
    }
    events: list[Event] = []
    for pid, (name, slices) in enumerate(lanes.items()):
        events += process(f"{device}{pid}", f"{name} Compute")
        events += [slice_(op, ts, dur, f"{device}{pid}", 0, cat="Op") for op, ts, dur in slices]
    return events


def test_what_tensorflow_shows_in_several_lanes_counts_once(tmp_path: Path) -> None:
    events = [*tensorflows("device:GPU:0"), *tensorflows("device:GPU:1")]
    timeline = read_trace(written(tmp_path, events))
    assert parts_us(timeline) == {chip: {"arithmetic": 55, "memory": 5, "total": 60} for chip in (0, 1)}
    tasks = indexed(rollup(timeline, "op"), "op")["tasks"].to_dict()
    assert tasks == {"MatMul": 2, "Relu": 2, "Sum": 2, "MEMCPYHtoD": 2}
    assert timeline.attrs["notes"] == []


def test_a_stream_of_all_alone_is_the_device(tmp_path: Path) -> None:
    alone = [
        *process(1, "/job:worker/replica:0/task:0/device:GPU:0 Compute"),
        *process(2, "/job:worker/replica:0/task:0/device:GPU:0/stream:all Compute"),
        *process(3, "/job:worker/replica:0/task:1/device:GPU:0 Compute"),  # of another task, which has no streams
        slice_("MatMul", 0, 90, 1, cat="Op"),
        slice_("MatMul", 20, 40, 2, cat="Op"),
        slice_("MatMul", 20, 30, 3, cat="Op"),
    ]
    compute = [chip["arithmetic"] for chip in read_parts(tmp_path, alone).values()]
    assert compute == [40, 30]


def test_a_process_that_is_not_the_host_is_the_device_of_an_unknown_accelerator(tmp_path: Path) -> None:
    runtime = slice_("runFunction", 5, 5, 865, 1, cat="mtia_runtime", args={"device": 9})
    events = [*HOST, runtime, slice_("fc-dtype_Float", 20, 10, 9, 408, cat="mtia_ccp_events")]
    assert read_parts(tmp_path, events, distributedInfo={"rank": 0}) == {0: {"arithmetic": 10, "total": 10}}
    # every process may be called by the program's name: then the label tells them apart
    named = [*process(865, "python3", "CPU"), *process(9, "python3", "MTIA 9"), *events]
    assert read_parts(tmp_path, named) == {9: {"arithmetic": 10, "total": 10}}
    unlabelled = [*process(865, "python3"), *process(9, "python3"), *events]
    assert read_parts(tmp_path, unlabelled) == {9: {"arithmetic": 10, "total": 10}}


def test_streams_in_the_process_of_the_host_are_the_devices(tmp_path: Path) -> None:
    events = [
        *HOST,
        slice_("gemm", 20, 10, 865, 500, cat="hpu_op", args={"stream": 3}),
        slice_("hash", 0, 90, 865, 2, cat="x"),
    ]
    assert read_parts(tmp_path, events) == {865: {"arithmetic": 10, "total": 10}}


ASCEND = [
    *process(32 * 4, "Python", "CPU"),
    *process(1024 * 7 + 32 * 6, "CANN", "CPU"),
    *process(1024 * 7 + 32 * 13 + 2, "Ascend Hardware", "NPU"),
    *process(1024 * 7 + 32 * 17 + 2, "Communication", "NPU"),
    *process(1024 * 7 + 32 * 18 + 2, "Overlap Analysis", "NPU"),
]


def ascend(section: int) -> int:
    return 1024 * 7 + 32 * section + 2


def test_the_sections_of_an_ascend_device_are_one_chip(tmp_path: Path) -> None:
    hour = 1_695_094_218_049_093
    events = [
        *ASCEND,
        thread(ascend(13), 2, "Stream 2"),
        thread(ascend(13), 5, "Stream 5"),
        thread(ascend(17), 0, "Group 0 Communication"),
        thread(ascend(17), 1, "Plane 0"),
        thread(ascend(18), 0, "Computing"),
        slice_("aten::mm", f"{hour}.000", 500, 32 * 4, 1, cat="cpu_op"),
        slice_("AscendCL@aclnnMatmul", f"{hour}.000", 500, ascend(6), 1),
        slice_("aclnnMatmul_MatMulV2", f"{hour}.290", 40, ascend(13), 2, args={"Task Type": "AI_CORE"}),
        slice_("EVENT_WAIT", f"{hour}.290", 400, ascend(13), 5, args={"Task Type": "EVENT_WAIT"}),
        slice_("hcom_allReduce__812_0_1", f"{hour + 20}.290", 60, ascend(17), 0),
        slice_("RDMASend", f"{hour + 30}.290", 20, ascend(17), 1),
        slice_("Computing", f"{hour}.290", 40, ascend(18), 0),
    ]
    path = tmp_path / "trace_view.json"
    path.write_text(json.dumps(events))
    timeline = read_trace(path)
    # 40 computing, the all-reduce from 20 to 80 beside it: 40 of its 60 are exposed
    assert parts_us(timeline) == {2: {"arithmetic": 40, "network": 40, "total": 80}}
    assert timeline[timeline["message"]]["op"].tolist() == ["RDMASend"]
    by_op = indexed(rollup(timeline, "does"), "does")["tasks"].to_dict()
    assert by_op == {"arithmetic": 1, "network": 1}  # the message is part of the all-reduce


def test_two_hosts_in_one_file_are_two_chips(tmp_path: Path) -> None:
    def merged(rank: str) -> list[Event]:
        return [
            *process(f"{rank} 0", "python3", "GPU 0"),
            slice_("aten::mm", 0, 100, f"{rank} 99", 99, cat="cpu_op"),
        ]

    first, second = kernel("gemm", 0, 50), kernel("gemm", 50, 50)
    events = [*merged("[TP00]"), *merged("[TP08]"), {**first, "pid": "[TP00] 0"}, {**second, "pid": "[TP08] 0"}]
    path = written(tmp_path, events)
    timeline = read_trace(path)
    assert parts_us(timeline) == {chip: {"arithmetic": 50, "idle": 50, "total": 100} for chip in (0, 1)}
    assert [note.removeprefix(f"{path}: ") for note in timeline.attrs["notes"]] == [
        'chips are numbered in the order in which they come: 0 is "python3", 1 is "python3"'
    ]
    apart = [{**first, "pid": 1_000_000}, {**second, "pid": 2_000_000}]
    assert len(read_parts(tmp_path, apart)) == 2


def test_two_hosts_whose_devices_have_one_number_are_told(tmp_path: Path) -> None:
    hosts = [slice_("aten::mm", 0, 100, pid, pid, cat="cpu_op") for pid in (98, 99)]
    one = read_trace(written(tmp_path, [*hosts, kernel("gemm", 0, 50), kernel("gemm", 50, 50)]))
    assert "2 hosts, but 1 of their devices can be told apart by process" in one.attrs["notes"][0]
    two = read_trace(written(tmp_path, [*hosts, kernel("gemm", 0, 50), kernel("gemm", 50, 50, 1)]))
    assert two.attrs["notes"] == []


def test_one_process_with_two_devices_is_two_chips_even_of_one_rank(tmp_path: Path) -> None:
    events = [{**kernel("gemm", 0, 50, device), "pid": 99, "tid": 7 + device} for device in (4, 6)]
    assert read_parts(tmp_path, events, distributedInfo={"rank": 1}) == {
        chip: {"arithmetic": 50, "total": 50} for chip in (4, 6)
    }
    # beside a rank that is one chip, they get numbers that are free
    other = written(tmp_path, [kernel("gemm", 0, 50)], "other.json", distributedInfo={"rank": 0})
    both = read_trace(tmp_path / "trace.json", other)
    assert sorted(both["chip"].unique()) == [0, 1, 2]
    assert list(both.attrs["numbered"].values()) == [[1, 2]]


def test_a_slice_that_names_no_device_lies_beside_those_of_its_process_that_do(tmp_path: Path) -> None:
    events = [kernel("gemm", 0, 50, 3), slice_("Memset (Device)", 50, 10, 3, 7, cat="gpu_memset")]
    assert read_parts(tmp_path, events) == {3: {"arithmetic": 50, "memory": 10, "total": 60}}


@pytest.mark.parametrize(
    ("device", "host"),
    [
        (process(6, "GPU0"), process(2, "CPU HIP API")),
        (
            process(6, "/job:worker/replica:0/task:0/device:GPU:0 Compute"),
            process(2, "/job:worker/device:CPU:0 Compute"),
        ),
        (process(6, "node3 /device:TPU:0"), process(2, "node3 /host:CPU")),
        (process(6, "HPU 0", "HPU 0"), process(2, "python3", "CPU")),
        (process(6, "chip"), process(2, "python3.11")),
    ],
    ids=["rocprof", "TensorFlow", "several hosts", "Gaudi", "unknown"],
)
def test_hosts_and_devices_go_by_their_names(device: list[Event], host: list[Event], tmp_path: Path) -> None:
    events = [*device, *host, slice_("work", 10, 30, 6, 1), slice_("launch", 0, 100, 2, 1)]
    (chip,) = read_parts(tmp_path, events).values()
    assert chip == {"arithmetic": 30, "total": 30}


def test_a_device_may_have_the_number_of_the_hosts_process(tmp_path: Path) -> None:
    events = [
        *process(7, "python3", "CPU"),
        *process(7, "python3", "GPU 7"),
        slice_("aten::mm", 0, 100, 7, 7, cat="cpu_op"),
        kernel("gemm", 10, 30, 7),
        slice_("Context Sync", 0, 100, 7, 7, cat="cuda_sync", args={"stream": 7}),
    ]
    assert read_parts(tmp_path, events) == {7: {"arithmetic": 30, "total": 30}}


def test_what_is_left_out_beside_known_devices_is_told(tmp_path: Path) -> None:
    events = [kernel("gemm", 0, 50), *process("x", "my markers"), slice_("phase 1", 0, 90, "x", 1)]
    timeline = read_trace(written(tmp_path, events))
    assert parts_us(timeline) == {0: {"arithmetic": 50, "total": 50}}
    assert 'of processes that are not known to be devices: "my markers"' in timeline.attrs["notes"][0]


@pytest.mark.parametrize("name", ["worker/0", "net.X/0", "a.b.3", "gpu/stream/7"])
def test_the_name_of_a_thread_or_of_an_op_means_nothing(name: str, tmp_path: Path) -> None:
    events = [
        thread(0, 1, name),
        thread(0, 2, "plain"),
        slice_("fusion.3", 0, 100, tid=1),
        slice_("fusion.4", 120, 10, tid=2),
        slice_("nccl/x.5", 140, 10, tid=1),
    ]
    timeline = read_trace(written(tmp_path, events))
    ops = indexed(rollup(timeline), "base")
    assert ops["time"].mul(1e6).round(6).to_dict() == {"fusion.3": 100, "fusion.4": 10, "nccl/x.5": 10}
    assert set(labelled(timeline)["layer"]) == {-1}
    idle = idle_by_cause(timeline)
    assert (idle["end"] - idle["begin"]).sum() == pytest.approx(30e-6)
    assert set(queue_lengths(timeline, pd.DataFrame({"before": [], "after": []}))["queue"]) == {name, "plain"}
    both = read_trace(written(tmp_path, events, "a.json"), written(tmp_path, events, "b.json"))
    assert len(skew(both)) == 1
    record = json.loads(CliRunner().invoke(app, ["import", str(tmp_path / "trace.json"), "--json"]).stdout)
    assert sum(op["time"] for op in record["ops"]) == pytest.approx(120e-6)


def test_timelines_with_and_without_rounds_can_be_joined(tmp_path: Path) -> None:
    measured = read_trace(written(tmp_path, [slice_("fusion.3", 0, 100)]))
    simulated = timeline_of([(0, "arithmetic", 0, 50)]).assign(op="y.3")
    joined = labelled(pd.concat([measured, simulated], ignore_index=True))
    assert joined[["base", "layer"]].to_numpy().tolist() == [["fusion.3", -1], ["y", 3]]
    assert rollup(joined, "base")["tasks"].tolist() == [1, 1]  # what is not said to be a message is none


def test_threads_of_one_name_are_queues_of_their_own(tmp_path: Path) -> None:
    events = [thread(0, tid, "stream") for tid in (1, 2)] + [slice_("a", 0, 10, tid=tid) for tid in (1, 2)]
    assert set(read_trace(written(tmp_path, events))["queue"]) == {"stream (1)", "stream (2)"}
