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


@dataclass(frozen=True)
class Next:
    """What the next lines are drawn with: their number, mesh axes, rows, and what stands behind the options of an op."""

    draw: st.DrawFn
    system: System
    at: int
    axes: str
    rows: str
    tail: str

    @property
    def name(self) -> str:
        return f"t{self.at}"


def matmul(to: Next) -> list[Any]:
    return [f"{to.name}:bf16[A,{to.rows}] = matmul(x{to.at}:bf16[A,K], w{to.at}:bf16[K,{to.rows}]{to.tail})"]


def vector(to: Next) -> list[Any]:
    chunks = to.draw(between(1, 3))
    return [f"{to.name}:bf16[{to.rows},77] = gelu(x{to.at}:bf16[{to.rows},77], chunks={chunks}{to.tail})"]


def layer(to: Next) -> list[Any]:
    chunks = to.draw(between(1, 3))
    made = f"m{to.at}:bf16[{to.rows},B]{{U_{to.axes}}}"
    operands = f"x{to.at}:bf16[{to.rows},K_{to.axes}], w{to.at}:bf16[K_{to.axes},B]"
    summed = f"{to.name}:bf16[{to.rows},B] = all_reduce(m{to.at}, over={to.axes}, chunks={chunks})"
    return [f"{made} = matmul({operands}, chunks={chunks})", summed]


def all_reduce(to: Next) -> list[Any]:
    part = f"p{to.at}:bf16[{to.rows},8]{{U_{to.axes}}}"
    return [f"{to.name}:bf16[{to.rows},8] = all_reduce({part}, over={to.axes}{to.tail})"]


def all_gather(to: Next) -> list[Any]:
    return [f"{to.name}:bf16[K,8] = all_gather(p{to.at}:bf16[K_{to.axes},8], over={to.axes}{to.tail})"]


def reduce_scatter(to: Next) -> list[Any]:
    part = f"p{to.at}:bf16[K,8]{{U_{to.axes}}}"
    return [f"{to.name}:bf16[K_{to.axes},8] = reduce_scatter({part}, over={to.axes}{to.tail})"]


def permute(to: Next) -> list[Any]:
    shift = to.draw(between(1, to.system.mesh.extent(to.axes) - 1))
    moved = f"p{to.at}:bf16[{to.rows},9], over={to.axes}, shift={shift}"
    return [f"{to.name}:bf16[{to.rows},9] = permute({moved}{to.tail})"]


def some(to: Next) -> list[Any]:
    chips = to.draw(unlike(0, to.system.size - 1, 1, 3))
    return [f"{to.name}:bf16[{to.rows},78] = relu(x{to.at}:bf16[{to.rows},78], on={chips})"]


def pair(to: Next) -> list[Any]:
    source, target = to.draw(unlike(0, to.system.size - 1, 2, 2))
    shape = f"bf16[{to.rows},7]"
    return [
        f"{to.name}:{shape} = send(x{to.at}:{shape}, from={source}, to={target})",
        f"r{to.at}:{shape} = recv(from={source}, to={target})",
        f"u{to.at}:{shape} = relu(r{to.at})",
    ]


def repeat(to: Next) -> list[Any]:
    body = [
        f"a{to.at}:bf16[{to.rows},6] = softmax(c{to.at}:bf16[{to.rows},6])",
        f"b{to.at}:bf16[{to.rows},6] = permute(a{to.at}, over={to.axes})",
    ]
    return [{"repeat": to.draw(between(1, 3)), "carry": {f"c{to.at}": f"b{to.at}"}, "ops": body}]


KINDS = [matmul, vector, layer, all_reduce, all_gather, reduce_scatter, permute, some, pair, repeat]
NOT_AWAITED = (some, pair, repeat)
"""What not every chip runs, or in rounds."""


@st.composite
def drawn(draw: st.DrawFn, orders: Sequence[Any] = ("program",)) -> Drawn:
    here = draw(systems())
    axes_choice, queues = axes_of(here), ["", ", queue=side", ", queue=third"]
    lines: list[Any] = []
    ended: list[str] = []
    for at in range(draw(between(2, 7))):
        kind = draw(among(KINDS))
        axes, rows = draw(among(axes_choice)), draw(among(["M", "N", "L"]))
        after = draw(st.lists(st.sampled_from(ended), max_size=2, unique=True)) if ended else []
        tail = draw(among(queues)) + (f", after=[{', '.join(after)}]" if after else "")
        to = Next(draw, here, at, axes, rows, tail)
        lines += kind(to)
        if kind not in NOT_AWAITED:
            ended.append(to.name)
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
