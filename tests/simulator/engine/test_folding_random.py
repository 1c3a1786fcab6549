"""Folded is full, row by row, on random systems with random graphs; how both are compared is in `tests.support.folding`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import System
from simulator import (
    RunOptions,
)
from tests.support.drawing import among, between, unlike
from tests.support.folding import DIMS, LAWS, assert_same, axes_of, both, system
from tests.support.strategies import chip_with, run

pytestmark = pytest.mark.usefixtures("few_slices")


WIRED = (
    ("ring(8)", (8,)), ("line(9)", (9,)), ("ring(10)", (10,)), ("torus(2,4)", (2, 4)), ("torus(3,4)", (3, 4)),
    ("torus(4,4,wrap=[no,yes])", (4, 4)), ("grid(2,5)", (2, 5)), ("torus(2,2,3)", (2, 2, 3)), ("grid(2,2,2)", (2, 2, 2)),
    ("switch(8)", (2, 4)), ("switch(12)", (12,)), ("full(6)", (6,)),
)  # fmt: skip
PORTS = {f"links.{link}.count": 12 for link in ("nvlink",)}
FAST = chip_with("h100_sxm", PORTS)
LESS = chip_with("h100_sxm", {**PORTS, "hbm.bandwidth": "1.1 TB/s"})
NARROW = chip_with("h100_sxm", {**PORTS, "links.nvlink.bandwidth": "20 GB/s"})


@st.composite
def systems(draw: st.DrawFn) -> System:
    """Alike chips, halves, alternating ones, or any mix of three kinds."""
    levels = draw(between(0, 4)) == 0
    wiring, sizes = draw(st.sampled_from(WIRED))
    text: str | list[str] = f"{wiring} over nvlink"
    if levels:
        count = draw(between(2, 3))
        text, sizes = [str(text), f"switch({count}) over infiniband"], (*sizes, count)
    mesh = dict(zip("XYZW", sizes, strict=False))
    size = math.prod(sizes)
    pattern = draw(among(["alike", "halves", "alternating", "straggler", "any"]))
    other = draw(st.sampled_from([LESS, NARROW]))
    if pattern == "alike":
        return system(text, mesh, FAST)
    if pattern == "halves":
        return system(text, mesh, [FAST] * (size // 2) + [other] * (size - size // 2))
    if pattern == "alternating":
        return system(text, mesh, [FAST, other], size)
    if pattern == "straggler":
        at = draw(between(0, size - 1))
        return system(text, mesh, [other if chip == at else FAST for chip in range(size)])
    return system(text, mesh, draw(st.lists(st.sampled_from([FAST, LESS, NARROW]), min_size=size, max_size=size)))


@dataclass(frozen=True)
class Drawn:
    """A system, lines for it, and how to run them."""

    system: System
    lines: list[Any]
    options: RunOptions


@st.composite
def drawn(draw: st.DrawFn, orders: Sequence[Any] = ("program",)) -> Drawn:  # noqa: C901
    here = draw(systems())
    axes_choice, queues = axes_of(here), ["", ", queue=side", ", queue=third"]
    lines: list[Any] = []
    ended: list[str] = []

    def tail() -> str:
        after = draw(st.lists(st.sampled_from(ended), max_size=2, unique=True)) if ended else []
        return draw(among(queues)) + (f", after=[{', '.join(after)}]" if after else "")

    kinds = [
        "matmul",
        "vector",
        "layer",
        "all_reduce",
        "all_gather",
        "reduce_scatter",
        "permute",
        "some",
        "pair",
        "repeat",
    ]
    for at in range(draw(between(2, 7))):
        kind = draw(among(kinds))
        axes = draw(among(axes_choice))
        rows_ = draw(among(["M", "N", "L"]))
        name = f"t{at}"
        if kind == "matmul":
            lines.append(f"{name}:bf16[A,{rows_}] = matmul(x{at}:bf16[A,K], w{at}:bf16[K,{rows_}]{tail()})")
        elif kind == "vector":
            lines.append(
                f"{name}:bf16[{rows_},77] = gelu(x{at}:bf16[{rows_},77], chunks={draw(between(1, 3))}{tail()})"
            )
        elif kind == "layer":
            chunks = draw(between(1, 3))
            lines.append(
                f"m{at}:bf16[{rows_},B]{{U_{axes}}} = "
                f"matmul(x{at}:bf16[{rows_},K_{axes}], w{at}:bf16[K_{axes},B], chunks={chunks})"
            )
            lines.append(f"{name}:bf16[{rows_},B] = all_reduce(m{at}, over={axes}, chunks={chunks})")
        elif kind == "all_reduce":
            lines.append(f"{name}:bf16[{rows_},8] = all_reduce(p{at}:bf16[{rows_},8]{{U_{axes}}}, over={axes}{tail()})")
        elif kind == "all_gather":
            lines.append(f"{name}:bf16[K,8] = all_gather(p{at}:bf16[K_{axes},8], over={axes}{tail()})")
        elif kind == "reduce_scatter":
            lines.append(f"{name}:bf16[K_{axes},8] = reduce_scatter(p{at}:bf16[K,8]{{U_{axes}}}, over={axes}{tail()})")
        elif kind == "permute":
            shift = draw(between(1, here.mesh.extent(axes) - 1))
            lines.append(f"{name}:bf16[{rows_},9] = permute(p{at}:bf16[{rows_},9], over={axes}, shift={shift}{tail()})")
        elif kind == "some":
            chips = draw(unlike(0, here.size - 1, 1, 3))
            lines.append(f"{name}:bf16[{rows_},78] = relu(x{at}:bf16[{rows_},78], on={chips})")
        elif kind == "pair":
            source, target = draw(unlike(0, here.size - 1, 2, 2))
            lines.append(f"{name}:bf16[{rows_},7] = send(x{at}:bf16[{rows_},7], from={source}, to={target})")
            lines.append(f"r{at}:bf16[{rows_},7] = recv(from={source}, to={target})")
            lines.append(f"u{at}:bf16[{rows_},7] = relu(r{at})")
        else:
            body = [
                f"a{at}:bf16[{rows_},6] = softmax(c{at}:bf16[{rows_},6])",
                f"b{at}:bf16[{rows_},6] = permute(a{at}, over={axes})",
            ]
            lines.append({"repeat": draw(between(1, 3)), "carry": {f"c{at}": f"b{at}"}, "ops": body})
            continue
        if kind not in ("some", "pair"):
            ended.append(name)
    options = RunOptions(
        overlap=draw(among(["full", "none", "auto"])),
        order=draw(among(orders)),
        routing=draw(among(["split", "single", "minimal", "ecmp"])),
        network=draw(among(["task", "messages"])),
        launch_s=draw(among([0.0, 1e-6])),
        sharding="written",
    )
    return Drawn(here, lines, options)


@LAWS
@given(drawn())
def test_folded_is_full_on_random_systems_and_graphs(case: Drawn) -> None:
    assert_same(*both(case.lines, case.system, case.options))


@LAWS
@given(drawn())
def test_a_run_folds_the_same_every_time(case: Drawn) -> None:
    first, second = (run(case.lines, DIMS, case.system, case.options) for _ in range(2))
    assert first.plan.folding == second.plan.folding
    assert list(first.begin_ps) == list(second.begin_ps)
    assert list(first.end_ps) == list(second.end_ps)
