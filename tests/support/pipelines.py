"""Pipelines for tests: chunks whose passes last what is asked, or that do real, sharded work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw import System
from simulator import OpGraph, Pipeline, PipelineChunk, Result, RunOptions, parse_graph, pipelined, simulate
from tests.support.strategies import chip_with, many

PEAK = 4.59e14
"""FLOP/s of a v5p in bf16."""

HELD = 1 << 20
"""Elements that a microbatch leaves behind for its backward pass in each chunk."""


@dataclass(frozen=True)
class Lasting:
    """Seconds of the passes of a chunk; `weights`: the part of the backward pass that its weights take, apart."""

    forward: float = 1e-3
    backward: float = 2e-3
    weights: float = 0.0


def work(seconds: float) -> str:
    """The options of a kernel that keeps the matrix unit of a v5p busy for so long."""
    return f"unit=matrix, flops={seconds * PEAK!r} FLOP"


def lasting_chunks(lasts: Sequence[Lasting], two_parts: bool = False) -> list[PipelineChunk]:
    """Chunks of one kernel a pass. From a forward pass to the backward pass they hold 2 * HELD bytes; all else is two
    bytes."""
    chunks = []
    for number, each in enumerate(lasts):
        first, last = number == 0, number == len(lasts) - 1
        given = "y" if last else "dy:bf16[1]"
        whole = each.backward if two_parts else each.backward + each.weights
        lines = [
            f"y:bf16[1] = custom({'ids:bf16[1]' if first else 'x:bf16[1]'}, w:bf16[1], {work(each.forward)})",
            "held:bf16[N] = custom(y, w, time=0 s, bytes=0)",
            f"dx:bf16[1] = custom({given}, held, w, {work(whole)})",
        ]
        if two_parts:
            lines.append(f"dw:bf16[1] = custom({'y' if last else 'dy'}, held, {work(each.weights)})")
            lines.append("sum:bf16[1] = custom(main:bf16[1], dw, time=0 s, bytes=0)")
        items = parse_graph(lines, {}).items
        chunks.append(
            PipelineChunk(
                forward=items[:2],
                backward=items[2:3],
                weights=items[3:],
                takes=() if first else ("x",),
                makes=() if last else ("y",),
                takes_back=() if last else ("dy",),
                makes_back=() if first else ("dx",),
                shared=frozenset({"w"}),
                carried={"main": "sum"} if two_parts else {},
            )
        )
    return chunks


def line_of(stages: int) -> System:
    """A chip a stage, transfers without latency."""
    return many(f"line({stages})", {"P": stages}, chip_with("tpu_v5p", {"links.ici.latency": 0}))


def lasting_run(
    lasts: Sequence[Lasting], stages: int, microbatches: int, schedule: str, fold: bool = True, **more: Any
) -> Result:
    """A run of chunks that last so long, a chip a stage."""
    chunks = lasting_chunks(lasts, two_parts=schedule == "zero_bubble")
    made = pipelined(chunks, Pipeline(stages=stages, microbatches=microbatches, schedule=schedule, **more))
    graph = OpGraph({"N": HELD}, made.items)
    return simulate(graph, line_of(stages), RunOptions(overlap="full", fold=fold))


BLOCK = [
    "h:bf16[B_D,F_T] = matmul(x:bf16[B_D,H], w:bf16[H,F_T])",
    "p:bf16[B_D,H]{U_T} = matmul(h, v:bf16[F_T,H])",
    "y:bf16[B_D,H] = all_reduce(p, over=T)",
]
BLOCK_BACK = [
    "dh:bf16[B_D,F_T] = matmul(dy:bf16[B_D,H], v@round)",
    "dv:bf16[F_T,H]{U_D} = matmul(h@round, dy)",
    "sv:bf16[F_T,H]{U_D} = add(av:bf16[F_T,H]{U_D}, dv)",
    "dw:bf16[H,F_T]{U_D} = matmul(x@round, dh)",
    "sw:bf16[H,F_T]{U_D} = add(aw:bf16[H,F_T]{U_D}, dw)",
    "dp:bf16[B_D,H]{U_T} = matmul(dh, w@round)",
    "dx:bf16[B_D,H] = all_reduce(dp, over=T)",
]
LAST_BACK = ["gv:bf16[F_T,H] = all_reduce(sv, over=D)", "gw:bf16[H,F_T] = all_reduce(sw, over=D)"]
STEPPED = ["nw:bf16[H,F_T] = add(w@round, gw@round)", "nv:bf16[F_T,H] = add(v@round, gv@round)"]


def layered_chunks(count: int, layers: int) -> list[PipelineChunk]:
    """Chunks of some layers of two matmuls each, sharded over T and D, whose gradients are added up over microbatches, over
    D beside the last one's backward pass, and then change the weights."""
    back = {"repeat": layers, "reverse": True, "carry": {"dy": "dx"}}
    lines: list[Any] = [
        {"repeat": layers, "carry": {"x": "y"}, "ops": BLOCK},
        {**back, "ops": BLOCK_BACK},
        {"repeat": layers, "ops": STEPPED},
    ]
    forward, ending, end = parse_graph([lines[0], {**back, "ops": [*BLOCK_BACK, *LAST_BACK]}, lines[2]], {}).items
    backward = parse_graph(lines[:2], {}).items[1]
    return [
        PipelineChunk(
            forward=(forward,),
            backward=(backward,),
            end=(end,),
            last={"backward": (ending,)},
            takes=("x",) if number else (),
            makes=("y",) if number < count - 1 else (),
            takes_back=("dy",) if number < count - 1 else (),
            makes_back=("dx",) if number else (),
            shared=frozenset({"w", "v"}),
            carried={"av": "sv", "aw": "sw"},
        )
        for number in range(count)
    ]
