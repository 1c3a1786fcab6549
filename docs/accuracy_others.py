"""Operators that others have measured, beside runs: errors by file and group, of the files that are there.

Files: matmuls, attention and collectives of github:ai-dynamo/aiconfigurator 095f58a51, measured without a timer around each.
A matmul in fp8 begins with activations in bf16: a place is cleared, the largest of them found there, all of them scaled by
it, then multiplied (github:NVIDIA/TensorRT-LLM cpp/tensorrt_llm/common/cudaFp8Utils.cu, scales per tensor). Attention is
judged by the library of the chip's kernels, and by what every other row says of that library itself, on the others. Tokens
on the A100 have values where their keys are: the collector asked for a cache of keys alone (SELFKONLY; github issue 1379 of
that repository), which it no longer did with TensorRT-LLM 1.3.0rc20 (its pull request 1356), that of the H100's rows.
Attention of GPT-NeoX on an A100, by heads of a chip, every fourth row (github:DebarghaG/estimate-train-time 1ac4d5e, of
which 150 cases were fitted to); all-reduces on 2, 4 and 8 A100 (github:VIA-Research/vTrain f8dda84).
A size of a collective is in elements; where one was measured several times, the median counts. What is added up as int8 no
switch adds up: such rows are left out.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path

from hw import Mesh, System, load_chip, parse_topology
from scenarios.validation import Errors, errors_of
from simulator import OpGraph, RunOptions, parse_graph, simulate

_CHIPS = {"a100": "a100_80gb_sxm", "h100": "h100_sxm"}
_BURST = RunOptions(calibration="measured", clocks="burst")
_LIBRARY = {"a100": "ampere_tensorrt_llm", "h100": "hopper_tensorrt_llm"}
_KEYS_ALONE = ("a100",)
"""Whose tokens had a cache of keys alone, which are read as values as well."""

_MATMULS = {
    "bfloat16": ["y:bf16[M,N] = matmul(a:bf16[M,K], b:bf16[K,N])"],
    "fp8": [
        "clear:fp32[O] = scale(none:fp32[O])",
        "most:fp32[] = reduce(x:bf16[M,K], after=clear)",
        "a:fp8[M,K] = cast(x, after=most)",
        "y:bf16[M,N] = matmul(a, b:fp8[K,N])",
    ],
}
_MIB = 2**20

_COLLECTIVES = {
    "all_reduce": "y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)",
    "all_gather": "y:bf16[N] = all_gather(x:bf16[N_X], over=X)",
    "reduce_scatter": "y:bf16[N_X] = reduce_scatter(x:bf16[N]{U_X}, over=X)",
    "alltoall": "y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)",
}


def judged_others(folder: Path) -> Iterator[tuple[str, Errors]]:
    """The errors of each group, with the name of its file."""
    for short in _CHIPS:
        judges = {"gemm": _matmuls, "nccl": _collectives, "prefill_attn": _attention, "decode_attn": _attention}
        for kind, judge in judges.items():
            path = folder / "aiconfigurator" / f"{short}_{kind}.csv"
            if path.exists():
                yield from ((path.name, each) for each in judge(_read(path), short))
    path = folder / "estimate_train_time" / "a100_flash_atten_fp16.csv"
    if path.exists():
        yield from ((path.name, each) for each in _gpt_neox(_read(path)[::4]))
    for path in sorted((folder / "vtrain").glob("allreduce_a100_*.csv")):
        yield path.name, _vtrain(path)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _gpt_neox(rows: list[dict[str, str]]) -> Iterator[Errors]:
    system = System(load_chip(_CHIPS["a100"]))
    for name, column, line in (("forward", "F_dur(us)", _FORWARD), ("backward", "B_dur(us)", _BACKWARD)):
        graphs = (parse_graph([line], _heads(row)) for row in rows)
        yield _errors(name, [1e-6 * float(row[column]) for row in rows], graphs, system)


_QKV = "q:fp16[B,H,S,E], k:fp16[B,H,S,E], v:fp16[B,H,S,E]"
_FORWARD = f"o:fp16[B,H,S,E] = attention({_QKV}, causal=true)"
_BACKWARD = f"d:fp16[B,H,S,E] = attention_backward({_QKV}, o:fp16[B,H,S,E], y:fp16[B,H,S,E], causal=true)"


def _heads(row: dict[str, str]) -> dict[str, int]:
    heads = int(float(row["h"]))
    of_chip, head = heads // int(float(row["mp"])), int(float(row["dim"])) // heads
    return {"B": int(float(row["b"])), "H": of_chip, "S": int(float(row["l"])), "E": head}


def _vtrain(path: Path) -> Errors:
    """All-reduces on as many chips as the file's name says; times are those out of place."""
    chip, chips = load_chip(_CHIPS["a100"]), int(path.stem.split("_")[-1].removesuffix("gpu"))
    system = System(chip, parse_topology(f"switch({chips}) over nvlink", chip.links), Mesh({"X": chips}))
    with path.open(encoding="utf-8") as lines:
        measured = [(int(each[0]), 1e-9 * float(each[3])) for each in list(csv.reader(lines))[1:]]
    graphs = (_collective("all_reduce", chips, nbytes) for nbytes, _ in measured)
    return _errors(f"{chips} chips", [seconds for _, seconds in measured], graphs, system)


def _matmuls(rows: list[dict[str, str]], short: str) -> Iterator[Errors]:
    system = System(load_chip(_CHIPS[short]))
    for dtype, lines in _MATMULS.items():
        known = [row for row in rows if row["gemm_dtype"] == dtype]
        graphs = (parse_graph(lines, {"O": 1} | {dim: int(row[dim.lower()]) for dim in "MNK"}) for row in known)
        if known:
            yield _judged(dtype, known, graphs, system)


def _attention(rows: list[dict[str, str]], short: str) -> Iterator[Errors]:
    chip = load_chip(_CHIPS[short])
    graphs = [_attended(row, short) for row in rows]
    yield _judged("all", rows, graphs, System(chip))
    own = load_chip(_CHIPS[short], set={"calibration.measured.kernels": _LIBRARY[short]})
    yield _judged("its own library", rows[1::2], graphs[1::2], System(own))


def _attended(row: dict[str, str], short: str) -> OpGraph:
    """Prompts, or a token behind each of some contexts."""
    heads, behind = int(row["num_heads"]), int(row["step"])
    of_keys = int(row["num_key_value_heads"]) or heads
    tokens = int(row["isl"])
    sizes = {"B": int(row["batch_size"]), "K": of_keys, "G": heads // of_keys, "E": int(row["head_dim"])}
    sizes |= {"S": 1 if behind else tokens, "T": tokens + behind}
    values = "k" if behind and short in _KEYS_ALONE else "v:bf16[B,K,T,E]"
    cache = f"k:bf16[B,K,T,E], {values}"
    mask = "" if behind else ", causal=true"
    return parse_graph([f"a:bf16[B,K,G,S,E] = attention(q:bf16[B,K,G,S,E], {cache}{mask})"], sizes)


def _judged(name: str, rows: list[dict[str, str]], graphs: Iterable[OpGraph], system: System) -> Errors:
    return _errors(name, [1e-3 * float(row["latency_ms"]) for row in rows], graphs, system)


def _errors(name: str, measured_s: list[float], graphs: Iterable[OpGraph], system: System) -> Errors:
    predicted_s = (simulate(graph, system, _BURST).time_s for graph in graphs)
    return errors_of(name, [one / other - 1 for one, other in zip(predicted_s, measured_s, strict=True)], 0)


def _collectives(rows: list[dict[str, str]], short: str) -> Iterator[Errors]:
    measured: dict[tuple[str, int, int], list[float]] = {}
    for row in rows:
        if row["nccl_dtype"] == "half":
            key = row["op_name"], int(row["num_gpus"]), 2 * int(row["message_elements"])
            measured.setdefault(key, []).append(1e-3 * float(row["latency_ms"]))
    chip = load_chip(_CHIPS[short])
    found = {}
    for (kind, chips, nbytes), times in measured.items():
        system = System(chip, parse_topology(f"switch({chips}) over nvlink", chip.links), Mesh({"X": chips}))
        time_s = simulate(_collective(kind, chips, nbytes), system, RunOptions(calibration="measured")).time_s
        found[kind, chips, nbytes] = time_s / statistics.median(times) - 1
    for label, least in (("all sizes", 0), ("from 1 MiB", _MIB), ("from 64 MiB", 64 * _MIB)):
        yield errors_of(label, [error for (_, _, nbytes), error in found.items() if nbytes >= least], 0)


def _collective(kind: str, chips: int, nbytes: int) -> OpGraph:
    """One collective; the bytes of an exchange are those of a chip."""
    sizes = {"M": chips, "N": nbytes // 2} if kind == "alltoall" else {"N": nbytes // 2}
    return parse_graph([_COLLECTIVES[kind]], sizes)
