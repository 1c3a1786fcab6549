"""Systems and graphs to fold, and how a folded run is held against the full one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from analysis import Summary, timeline_frame
from hw import Chip, Mesh, System, load_chip, parse_topology
from simulator import (
    Result,
    RunOptions,
)
from tests.support.strategies import chip_with, run

LAWS = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
DIMS = {"M": 1920, "N": 960, "K": 17280, "A": 200, "B": 81, "L": 480}
WORDS = (
    "time",
    "lower_bound",
    "dependency_bound",
    "t_math",
    "t_vector",
    "t_memory",
    "t_network",
    "t_host",
    "t_overhead",
    "mfu",
    "hfu",
)

V5E, V5P = load_chip("tpu_v5e"), load_chip("tpu_v5p")
H100, V100, A100 = load_chip("h100_sxm"), load_chip("v100_sxm2_32gb"), load_chip("a100_40gb_sxm")
SLOW = {
    "tpu_v5e": chip_with("tpu_v5e", {"hbm.bandwidth": "400 GB/s"}),
    "tpu_v5p": chip_with("tpu_v5p", {"hbm.bandwidth": "900 GB/s"}),
    "h100_sxm": chip_with("h100_sxm", {"hbm.bandwidth": "1 TB/s"}),
    "v100_sxm2_32gb": chip_with("v100_sxm2_32gb", {"hbm.bandwidth": "300 GB/s"}),
}


def system(
    wiring: str | Sequence[str], mesh: Mapping[str, int], chips: Chip | Sequence[Chip] = V5E, size: int = 0
) -> System:
    """Chips under a wiring: all alike, or by number; `size` of them from a pattern that repeats."""
    if isinstance(chips, Chip):
        return System(chips, parse_topology(wiring, chips.links), Mesh(mesh))
    here = tuple(chips[at % len(chips)] for at in range(size or len(chips)))
    return System(here[0], parse_topology(wiring, here[0].links, lambda chip: here[chip].links), Mesh(mesh), here)


def with_straggler(alike: System, at: int) -> System:
    """The same system with one chip of slower memory."""
    chips = [alike.chip] * alike.size
    chips[at] = SLOW[alike.chip.name]
    return replace(alike, chips=tuple(chips))


DGX = ["switch(8) over nvlink", "switch(4) over infiniband"]

SYSTEMS: dict[str, System] = {
    "ring 8": system("ring(8)", {"X": 8}),
    "line 8": system("line(8)", {"X": 8}),
    "ring 24": system("ring(24)", {"X": 24}),
    "torus 4 4": system("torus(4,4)", {"X": 4, "Y": 4}),
    "torus 2 8": system("torus(2,8)", {"X": 2, "Y": 8}),
    "half torus": system("torus(4,4,wrap=[yes,no])", {"X": 4, "Y": 4}),
    "torus 2 2 4": system("torus(2,2,4)", {"X": 2, "Y": 2, "Z": 4}, V5P),
    "torus 4 4 4": system("torus(4,4,4)", {"X": 4, "Y": 4, "Z": 4}, V5P),
    "grid 3 4": system("grid(3,4)", {"X": 3, "Y": 4}),
    "grid 2 2 3": system("grid(2,2,3)", {"X": 2, "Y": 2, "Z": 3}, V5P),
    "switch 8": system("switch(8) over nvlink", {"X": 8}, H100),
    "switch 8 cut": system("switch(8) over nvlink", {"X": 2, "Y": 4}, H100),
    "full 6": system("full(5)", {"X": 5}, V5P),
    "dgx 32": system(DGX, {"X": 8, "Y": 4}, H100),
    "rings on a switch": system(["ring(4) over ici", "switch(3) over dcn"], {"X": 4, "Y": 3}),
    "mixed halves": system("switch(8) over nvlink", {"X": 2, "Y": 4}, (V100,) * 4 + (A100,) * 4),
    "mixed ring": system("ring(8) over nvlink", {"X": 8}, (V100,) * 4 + (A100,) * 4),
    "alternating ring": system("ring(12) over nvlink", {"X": 12}, (V100, A100), 12),
    "alternating torus": system("torus(4,4) over nvlink", {"X": 4, "Y": 4}, (V100, A100), 16),
    "mixed nodes": system(DGX, {"X": 8, "Y": 4}, (V100,) * 16 + (A100,) * 16),
}
SYSTEMS["straggler ring"] = with_straggler(SYSTEMS["ring 8"], 3)
SYSTEMS["straggler torus"] = with_straggler(SYSTEMS["torus 4 4"], 6)
SYSTEMS["straggler dgx"] = with_straggler(SYSTEMS["dgx 32"], 9)
ALIKE = [
    "ring 8", "ring 24", "torus 4 4", "torus 2 8", "torus 2 2 4", "torus 4 4 4", "switch 8", "switch 8 cut",
    "full 6", "dgx 32", "rings on a switch",
]  # fmt: skip


def axes_of(here: System) -> list[str]:
    """Mesh axes one by one, and all together."""
    names = list(here.mesh.axes)
    return [*names, "".join(names)] if len(names) > 1 else names


# Graphs by name: lines for a system


def layers(here: System) -> list[Any]:
    """A chunked matmul and its all-reduce, twice, over the first axis."""
    axis = next(iter(here.mesh.axes))
    ops = [
        f"p:bf16[M,N]{{U_{axis}}} = matmul(h:bf16[M,K_{axis}], w:bf16[K_{axis},N], chunks=4)",
        f"r:bf16[M,N] = all_reduce(p, over={axis}, chunks=4)",
        "v:bf16[M,N] = gelu(r)",
    ]
    return [{"repeat": 2, "ops": ops}, "out:bf16[M,N] = relu(z:bf16[M,N])"]


def contending(here: System) -> list[Any]:
    """Collectives over every set of axes at once, in queues of their own, beside work on the chips."""
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])"]
    for at, axes in enumerate(axes_of(here)):
        after = ", after=a" if at % 2 else ""
        lines.append(f"r{at}:bf16[M,N] = all_reduce(p{at}:bf16[M,N]{{U_{axes}}}, over={axes}, queue=q{at}{after})")
        lines.append(f"s{at}:bf16[M,N] = permute(y{at}:bf16[M,N], over={axes}, shift={at + 1}, queue=s{at})")
    return [*lines, "b:bf16[M,N] = gelu(a)", "c:bf16[M,N] = add(b, r0)"]


def shifts(here: System) -> list[Any]:
    """Permutes of several shifts, one after the other and at once."""
    axes = axes_of(here)[-1]
    count = math.prod(here.mesh.axes[axis] for axis in axes)
    return [
        f"a:bf16[M,N] = permute(x:bf16[M,N], over={axes})",
        f"b:bf16[M,N] = permute(a, over={axes}, shift={count // 2})",
        f"c:bf16[M,N] = permute(x, over={axes}, shift={count - 1}, queue=side)",
        "d:bf16[M,N] = add(b, c)",
    ]


def transfers(here: System) -> list[Any]:
    """Sends between some chips beside an all-reduce of all."""
    axis, last = next(iter(here.mesh.axes)), here.size - 1
    return [
        f"r:bf16[M,N] = all_reduce(p:bf16[M,N]{{U_{axis}}}, over={axis})",
        f"s0:bf16[M,N] = send(x:bf16[M,N], from=0, to={last})",
        f"r0:bf16[M,N] = recv(from=0, to={last})",
        f"t0:bf16[M,N] = send(x, from={last}, to=1)",
        f"u0:bf16[M,N] = recv(from={last}, to=1)",
        "v0:bf16[M,N] = relu(u0)",
        "w:bf16[M,N] = gelu(r)",
    ]


def some_chips(here: System) -> list[Any]:
    """Ops on a few chips, which then come late to a collective."""
    axis = next(iter(here.mesh.axes))
    return [
        "a:bf16[M,N] = softmax(x:bf16[M,N], on=[1,2])",
        f"r:bf16[M,N] = all_reduce(p:bf16[M,N]{{U_{axis}}}, over={axis}, after=a)",
        f"g:bf16[M,N] = all_gather(q:bf16[M_{axis},N], over={axis}, queue=side)",
        "b:bf16[M,N] = add(r, g)",
    ]


GRAPHS = {each.__name__: each for each in (layers, contending, shifts, transfers, some_chips)}


# What is compared


def both(lines: Sequence[Any], here: System, options: RunOptions) -> tuple[Result, Result]:
    """The folded run and the full one."""
    return tuple(run(lines, DIMS, here, replace(options, fold=fold)) for fold in (True, False))  # type: ignore[return-value]


def rows(result: Result, chips: Sequence[int] | None = None) -> Any:
    """The timeline without what happens inside collectives by messages, whose lanes have no names of their own."""
    frame = timeline_frame(result, chips)
    frame = frame.astype(dict.fromkeys(("op", "kind", "queue"), str))
    frame = frame[~frame["queue"].str.contains("/")]
    return frame.sort_values(["op", "chip", "chunk", "queue", "begin"]).reset_index(drop=True)


def slack_s(full: Result) -> float:
    """A billionth, or 1 ps for each task that may stand on a path: one of each kernel and chunk."""
    per_chip = sum(planned.kernel.schedule.chunks * (1 + len(planned.traffic.steps)) for planned in full.plan.kernels)
    return max(1e-9 * full.time_s, 1e-12 * (per_chip + 1))


def assert_same(folded: Result, full: Result) -> None:
    assert full.plan.classes == full.plan.system.size
    ours, theirs = rows(folded), rows(full)
    for column in ("op", "kind", "chip", "chunk", "queue"):
        assert ours[column].tolist() == theirs[column].tolist()
    allowed = slack_s(full)
    for column in ("begin", "end"):
        off = np.abs(ours[column].to_numpy() - theirs[column].to_numpy())
        worst = int(off.argmax())
        assert off[worst] <= allowed, (column, ours.iloc[worst].to_dict(), theirs.iloc[worst].to_dict())
    words = [Summary(each.plan, lambda each=each: each) for each in (folded, full)]  # type: ignore[misc]
    for word in WORDS:
        assert words[0][word] == pytest.approx(words[1][word], rel=1e-9, abs=allowed), word
