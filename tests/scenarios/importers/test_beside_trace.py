"""A run beside a measured trace: what both take adds up, and where they differ is said: which ops, which gaps, whose."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from scenarios import BesideTrace, compare_measured, load_scenario, run
from scenarios.importers import import_files
from scenarios.questions.measured import COLUMNS, DEVICE_GAPS, HOST_GAPS, ONLY_A, ONLY_B
from tests.support.cases import overlapse

FOLDER = Path(__file__).parents[4] / "shared" / "validation" / "gpu"
GPT2, STREAMS = (FOLDER / f"h100_trace_{name}.json.gz" for name in ("gpt2_4layers_train", "two_streams"))
needs_traces = pytest.mark.skipif(not GPT2.exists(), reason=f"needs the measured traces, in {FOLDER}")

# of 1,000, 20 and 500 us: 989 GFLOP, 67 MB twice through 3.35 TB/s, 494.5 GFLOP
SCENARIO = """\
name: step
system: {chip: h100_sxm}
workload:
  dims: {A: 4096, B: 8192, C: 14738, E: 7369, V: 33500000}
  ops:
    - up:bf16[A,C] = matmul(x:bf16[A,B], w:bf16[B,C])
    - act:int8[V] = relu(t:int8[V], after=[up])
    - down:bf16[A,E] = matmul(x, v:bf16[B,E], after=[act])
run: {overlap: full}
expect: {time: {value: 1.9 ms, tolerance: 10 %}, flops: 1.4836 TFLOP}
"""
GPT2_STEP = """\
name: gpt2-four-layers
about: A training step of GPT-2 with four layers, 8 x 1024 tokens and 50,304 words, eager PyTorch, q, k and v apart.
system: {chip: h100_sxm}
workload:
  model: {base: gpt2, layers: 4, attention: {fused: false}, embedding: {vocab: 50304}}
  batch: 8
  seq: 1024
  parallel: {microbatch: 8}
  precision: bf16
  eager: true
run: {calibration: measured, dispatch: eager}
"""


def event(category: str, name: str, begin_us: float, lasted_us: float, number: int) -> dict[str, Any]:
    """A kernel or the call that launched it, as Kineto writes them."""
    args = {"correlation": number, "External id": number, "stream": 7, "device": 0}
    place = {"pid": 0, "tid": 7 if category == "kernel" else 1}
    return {"ph": "X", "cat": category, "name": name, **place, "ts": begin_us, "dur": lasted_us, "args": args}


KERNELS = [
    # launched at, begins, takes
    ("nvjet_tst_256x128_NNT", "aten::mm", 0, 10, 1100),
    ("vectorized_elementwise_kernel<relu>", "aten::relu", 20, 1112, 30),  # 2 us after the one before: the device's
    (
        "nvjet_tst_256x128_NNT",
        "aten::mm",
        1290,
        1300,
        500,
    ),  # 153 us after the one before the call returned, 5 more and it began
    ("reduce_kernel<512>", "aten::sum", 1310, 1800, 40),
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """The scenario, and a trace of the same three ops and one more."""
    events: list[dict[str, Any]] = []
    for number, (name, call, launched, begin, lasted) in enumerate(KERNELS, 1):
        events.append(event("cpu_op", call, launched, 5, number))
        events.append(event("cuda_runtime", "cudaLaunchKernel", launched, 5, number))
        events.append(event("kernel", name, begin, lasted, number))
    scenario, trace = tmp_path / "step.yaml", tmp_path / "trace.json"
    scenario.write_text(SCENARIO, encoding="utf-8")
    trace.write_text(json.dumps({"traceEvents": events}), encoding="utf-8")
    return str(scenario), str(trace)


def adds_up(found: BesideTrace) -> None:
    """Parts, and ops with their gaps, add up to the times of either run."""
    for at, time in enumerate(found.times):
        assert sum(part[at] for part in found.parts.values()) == pytest.approx(time, rel=1e-12)
    sums = found.frame[["a", "gap_a", "b", "gap_b"]].sum()
    assert sums["a"] + sums["gap_a"] == pytest.approx(found.times[0], rel=1e-12)
    assert sums["b"] + sums["gap_b"] == pytest.approx(found.times[1], rel=1e-12)


def test_it_says_which_ops_and_which_gaps(files: tuple[str, str]) -> None:
    scenario, trace = files
    found = compare_measured(load_scenario(scenario), trace)
    adds_up(found)
    assert list(found.frame.columns) == list(COLUMNS)
    assert found.times[1] == pytest.approx(1830e-6)
    rows = {each.op: each for each in found.moves}
    assert {op: each.call for op, each in rows.items()} == {"up": "mm", "act": "relu", "down": "mm", "": "sum"}
    assert rows["up"].difference == pytest.approx(100e-6, rel=1e-3)
    assert (rows["down"].b, rows[""].b) == pytest.approx((500e-6, 40e-6))
    assert found.parts[HOST_GAPS] == pytest.approx((0, 153e-6))
    assert found.parts[DEVICE_GAPS] == pytest.approx((0, 7e-6))
    assert rows["down"].gap_host_b == pytest.approx(153e-6)
    assert found.gaps[0].op == "down"
    assert "<table" in found._repr_html_()
    assert repr(found) == "BesideTrace(step 1.52 ms, trace.json 1.83 ms)"


def test_the_command_shows_it(files: tuple[str, str]) -> None:
    scenario, trace = files
    for given in ((scenario, trace), (trace, scenario)):
        answer = overlapse("compare", *given)
        shown = answer.stdout
        assert ("A is the run of" in answer.stderr) == (given[0] == trace)
        assert "A  step  1.52 ms  simulated\nB  trace.json  1.83 ms  measured\nB - A  +309.9 us (+20.4 %)" in shown
        assert "gaps: not issued yet" in shown
    record = json.loads(overlapse("compare", scenario, trace, "--json").stdout)
    assert sum(each["b"] - each["a"] for each in record["parts"]) == pytest.approx(record["difference"])


def test_claims_are_held_against_a_trace(files: tuple[str, str]) -> None:
    scenario, trace = files
    found = overlapse("check", scenario, trace)
    assert found.exit_code == 1, "the run takes 1.52 ms"
    assert f"ok   {trace} (1 claims)" in found.stdout  # 1.84 ms from the first launch on are within 10 % of 1.9 ms
    changed = Path(scenario).with_name("other.yaml")
    changed.write_text(SCENARIO.replace("1.9 ms", "1.5 ms"), encoding="utf-8")
    found = overlapse("check", str(changed), trace)
    assert f"FAIL {trace}\n  time: want 1.5 ms, got 1.84 ms" in found.stdout
    assert f"ok   {changed} (2 claims)" in found.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("compare", "TRACE", "TRACE"), "two traces: one is set beside a scenario"),
        (("compare", "FILE", "TRACE", "--step", "ProfilerStep#3"), "has no range 'ProfilerStep#3'. It has: none"),
        (("compare", "FILE", "--set", "run.overlap=none", "--step", "x"), "neither of the two is one"),
        (("compare", "FILE", "none.json"), "none.json"),
        (("check", "TRACE"), "held against a scenario that stands before it"),
    ],
)
def test_mistakes_are_told(files: tuple[str, str], command: tuple[str, ...], message: str) -> None:
    place = dict(zip(("FILE", "TRACE"), files, strict=True))
    found = overlapse(*(place.get(word, word) for word in command))
    assert found.exit_code == 2
    assert message in found.stderr + found.stdout


def test_what_is_packed_and_no_trace_is_told_as_such(files: tuple[str, str], tmp_path: Path) -> None:
    """And not as a scenario that is no text."""
    packed = tmp_path / "packed.json.gz"
    packed.write_bytes(gzip.compress(b"{}"))
    found = overlapse("compare", files[0], packed)
    assert found.exit_code == 2
    assert "packed.json.gz:1:1: this is no trace" in found.stderr


@needs_traces
@pytest.mark.parametrize("trace", [GPT2, STREAMS], ids=["gpt2", "streams"])
def test_a_replay_is_its_trace(trace: Path, tmp_path: Path) -> None:
    """Every kernel is found again, as long, and behind the same gap."""
    path = tmp_path / "replay.yaml"
    path.write_text(import_files([trace]).text, encoding="utf-8")
    found = compare_measured(load_scenario(str(path)), trace)
    adds_up(found)
    assert found.matched == pytest.approx((1.0, 1.0))
    for name, (a, b) in found.parts.items():
        assert a == pytest.approx(b, rel=1e-6, abs=1e-9), name
    for each in (*found.moves, *found.gaps):
        assert each.difference == pytest.approx(0, abs=1e-9), each


@needs_traces
def test_a_model_beside_its_step_on_an_h100(tmp_path: Path) -> None:
    """Nearly all of the step is lined up with the ops of the model; the largest difference is that the host was slow."""
    path = tmp_path / "step.yaml"
    path.write_text(GPT2_STEP, encoding="utf-8")
    found = compare_measured(load_scenario(str(path)), GPT2)
    adds_up(found)
    assert min(found.matched) > 0.95
    rows = {each.op: each for each in found.moves}
    assert rows["a"].call.startswith("_cudnn_attention_forward")
    assert (rows["logprobs"].call, rows["dlogits32"].call) == ("_log_softmax", "_log_softmax_backward_data")
    assert (rows["dup"].call, rows["s"].call) == ("gelu_backward", "gelu")
    assert rows["dq"].counts == (4, 16)  # of each of four layers a fill and three kernels of cuDNN
    parts = {name: b - a for name, (a, b) in found.parts.items()}
    assert max(parts, key=lambda name: parts[name]) == HOST_GAPS
    assert parts[ONLY_A] > -0.02 * found.times[0]
    assert parts[ONLY_B] < 0.05 * found.times[1]


OWN = {
    "rounds": """
name: rounds
system: {chip: h100_sxm, topology: switch(2) over nvlink, mesh: {X: 2}}
workload:
  dims: {B: 4096, D: 4096, F: 8192}
  ops:
    - repeat: 3
      carry: {x: s}
      ops:
        - up:bf16[B,F_X] = matmul(x:bf16[B,D], w:bf16[D,F_X])
        - act:bf16[B,F_X] = gelu(up)
        - z:bf16[B,D] = matmul(act, v:bf16[F_X,D])
        - s:bf16[B,D] = rms_norm(z, g:bf16[D])
""",
    "model": """
name: model
system: {base: dgx_h100}
workload: {model: {base: mixtral_8x7b, layers: 2}, batch: 8, seq: 512, parallel: {ep: 4, pp: 2}}
""",
}


@pytest.mark.parametrize("fuse", ["none", "[[up, act]]", "elementwise"])
@pytest.mark.parametrize("which", OWN)
def test_a_run_beside_its_own_trace_is_the_same(which: str, fuse: str, tmp_path: Path) -> None:
    """Its slices say which ops they are; names were read as those of a profiler's kernels, half of which fitted none."""
    if which == "model" and fuse != "none":
        return
    path = tmp_path / "own.yaml"
    path.write_text(OWN[which] + (f"  fuse: {fuse}\n" if which == "rounds" else ""), encoding="utf-8")
    run(str(path)).write(tmp_path / "made")
    found = compare_measured(str(path), tmp_path / "made" / "trace.json")
    assert found.matched == pytest.approx((1.0, 1.0), rel=1e-9)
    assert all(abs(each.difference) < 1e-11 for each in found.moves)
