"""Runs that can never end: a transfer with one end, members that never come, queues that wait for each other in a circle.

Law: each is refused with exit code 3, on stderr, naming the ops that wait and the chips on which they do; without a
traceback, and without a result. What only the order of queues makes wait is no deadlock under `run.order: ready`.
An unreachable chip is a mistake of the graph file: exit 2, at its place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import Result

from simulator import RunOptions
from tests.support.cases import overlapse
from tests.support.strategies import chip_with, many, run

HEAD = """\
name: stuck
about: A run that cannot end.
system: {chip: tpu_v5e, topology: "%s", mesh: {X: %d}}
run: {overlap: full, order: %s}
workload:
  dims: {N: 4096, M: 512, K: 64}
  ops:
"""


def ran(tmp_path: Path, ops: Sequence[str], topology: str = "line(2)", order: str = "program") -> Result:
    """`overlapse run` of some ops; what is no answer of the command is raised."""
    chips = int(re.findall(r"\d+", topology)[0])
    path = tmp_path / "stuck.yaml"
    path.write_text(HEAD % (topology, chips, order) + "".join(f"    - {op}\n" for op in ops))
    return overlapse("run", path)


def refusal(tmp_path: Path, ops: Sequence[str], topology: str = "line(2)", order: str = "program") -> str:
    """The message of a run that must be refused, on one line."""
    shown = ran(tmp_path, ops, topology, order)
    assert shown.exit_code == 3, shown.stderr
    assert "Traceback" not in shown.stderr
    assert shown.stdout == ""
    return " ".join(shown.stderr.split())


# Transfers with one end


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        (["s:bf16[N] = send(x:bf16[N], from=0, to=1)"], "deadlock: s (send on chip 0) waits for ever"),
        (["r:bf16[N] = recv(from=0, to=1)"], "deadlock: r (recv on chip 1) waits for ever"),
        (["r:bf16[N] = recv(from=2, to=1)", "y:bf16[N] = relu(r)"], "deadlock: r (recv on chip 1) waits for ever"),
        # a recv in the wrong direction is no partner
        (
            ["s:bf16[N] = send(x:bf16[N], from=0, to=1)", "r:bf16[N] = recv(from=1, to=0)"],
            "deadlock: s (send on chip 0), r (recv on chip 0) waits for ever",
        ),
        # of two sends the second is left over
        (
            ["s:bf16[N] = send(x:bf16[N], from=0, to=1)", "r:bf16[N] = recv(from=0, to=1)",
             "s2:bf16[N] = send(x, from=0, to=1)"],
            "deadlock: s2 (send on chip 0) waits for ever",
        ),
    ],
)  # fmt: skip
def test_a_transfer_needs_both_ends(tmp_path: Path, ops: list[str], words: str) -> None:
    message = refusal(tmp_path, ops, "line(3)")
    assert words in message
    assert "every send needs a recv with the same from= and to=" in message


def test_the_ends_of_a_transfer_are_as_large_as_each_other(tmp_path: Path) -> None:
    ops = ["s:bf16[N] = send(x:bf16[N], from=0, to=1)", "r:bf16[M] = recv(from=0, to=1)"]
    assert "s and r are one transfer but differ in bytes: " in refusal(tmp_path, ops)


# Queues that wait in a circle


CIRCLE = [
    "r:bf16[N] = recv(from=1, to=0, queue=q)",
    "g:bf16[N] = all_gather(x:bf16[N_X], over=X, queue=q)",
    "s:bf16[N] = send(t:bf16[N], from=1, to=0, queue=q)",
]
"""Chip 0 issues r, then g; chip 1 issues g, then s: r waits for s, s behind g, and g behind r."""

OPPOSITE = [
    "r:bf16[N] = recv(from=1, to=0)",
    "g:bf16[N] = all_gather(x:bf16[N_X], over=X, after=[r])",
    "h:bf16[M] = all_gather(y:bf16[M_X], over=X)",
    "s:bf16[N] = send(t:bf16[N], from=1, to=0, after=[h])",
]
"""Chip 0 can enter g only after r; s comes after h, which stands behind g in the queue of X: both collectives are issued
in one order, and are ready in the other."""


def test_a_collective_between_the_ends_of_a_transfer(tmp_path: Path) -> None:
    message = refusal(tmp_path, CIRCLE)
    assert "deadlock at 0 s: these wait for ever: " in message
    for waiting in ("r (recv) on chips 0, 1", "g (all_gather) on chips 0, 1"):
        assert waiting in message, message


def test_collectives_that_become_ready_in_another_order_than_they_are_issued(tmp_path: Path) -> None:
    message = refusal(tmp_path, OPPOSITE)
    for waiting in ("g (all_gather) on chips 0, 1", "h (all_gather) on chips 0, 1", "r (recv) on chips 0, 1"):
        assert waiting in message, message


@pytest.mark.parametrize("ops", [CIRCLE, OPPOSITE], ids=["circle", "opposite"])
def test_what_only_queues_hold_up_runs_when_they_take_what_is_ready(tmp_path: Path, ops: list[str]) -> None:
    shown = ran(tmp_path, ops, order="ready")
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize(
    ("ops", "old", "new"),
    [
        (CIRCLE, "queue=q", "queue=other"),  # of the transfer; the collective keeps q
        (OPPOSITE, "over=X)", "over=X, queue=side)"),  # h leaves the queue in which g stands before it
    ],
    ids=["circle", "opposite"],
)
def test_the_same_in_queues_of_their_own_runs(tmp_path: Path, ops: list[str], old: str, new: str) -> None:
    """It is the shared queue that closes the circle."""
    apart = [op if op.startswith("g:") else op.replace(old, new) for op in ops]
    assert apart != ops
    shown = ran(tmp_path, apart)
    assert shown.exit_code == 0, shown.stderr


@pytest.mark.parametrize("order", ["program", "ready"])
def test_a_collective_that_goes_step_by_step_is_no_deadlock_in_any_order(order: Literal["program", "ready"]) -> None:
    """Two all-gathers of 8 KiB on a ring of four: two hops each of a quarter at 45 GB/s."""
    system = many("ring(4)", {"X": 4}, chip_with("tpu_v5e", {"links.ici.latency": "0 s"}))
    lines = [f"g{at}:bf16[N] = all_gather(x{at}:bf16[N_X], over=X)" for at in range(2)]
    got = run(lines, {"N": 4096}, system, RunOptions(overlap="full", order=order, network="messages")).time_s
    assert got == pytest.approx(2 * 2 * 8192 / 4 / 4.5e10, abs=8e-12)


def test_transfers_in_opposite_orders(tmp_path: Path) -> None:
    """Each of the two chips first sends and then receives, in one queue."""
    ops = [
        "a:bf16[N] = send(x:bf16[N], from=0, to=1)",
        "b:bf16[N] = send(x, from=1, to=0)",
        "c:bf16[N] = recv(from=1, to=0)",
        "d:bf16[N] = recv(from=0, to=1)",
    ]
    message = refusal(tmp_path, ops)
    assert "a (send) on chips 0, 1" in message
    assert "b (send) on chips 0, 1" in message


def test_a_circle_of_three_chips_names_all_of_them(tmp_path: Path) -> None:
    """Every chip waits for what the one before it sends after having received."""
    ops = [f"r{at}:bf16[N] = recv(from={(at - 1) % 3}, to={at})" for at in range(3)]
    ops += [f"s{at}:bf16[N] = send(r{at}, from={at}, to={(at + 1) % 3})" for at in range(3)]
    message = refusal(tmp_path, ops, "ring(3)")
    for at in range(3):
        ends = sorted(((at - 1) % 3, at))
        assert f"r{at} (recv) on chips {ends[0]}, {ends[1]}" in message


# Members that never come


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        (
            ["r:bf16[N_X] = recv(from=0, to=1)", "s:bf16[N_X] = send(x:bf16[N_X], from=0, to=1)",
             "g:bf16[N] = all_gather(r, over=X)"],
            "g (all_gather over X) waits for ever on chips 1: chips 0, 2, 3 of the group",
        ),
        # on= on some chips of the group: of a written collective, and of one that the planner inserts
        (["g:bf16[N] = all_gather(x:bf16[N_X], over=X, on=[0,1])"],
         "g (all_gather over X) waits for ever on chips 0, 1: chips 2, 3 of the group"),
        (["y:bf16[N,M] = matmul(x:bf16[N,K_X], w:bf16[K_X,M], on=[1,2])"],
         "y (all_reduce over X) waits for ever on chips 1, 2: chips 0, 3 of the group"),
        (["y:bf16[N,M] = matmul(x:bf16[N,K_X], w:bf16[K,M], on=2)"],
         "x.gathered (all_gather over X) waits for ever on chips 2: chips 0, 1, 3 of the group"),
        # a tensor that only some chips make
        (["y:bf16[N_X] = relu(x:bf16[N_X], on=[0,3])", "g:bf16[N] = all_gather(y, over=X)"],
         "g (all_gather over X) waits for ever on chips 0, 3: chips 1, 2 of the group"),
    ],
)  # fmt: skip
def test_a_group_needs_all_of_its_members(tmp_path: Path, ops: list[str], words: str) -> None:
    message = refusal(tmp_path, ops, "ring(4)")
    assert f"deadlock: {words} do not have its input and never come" in message


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        (
            ["s:bf16[N] = send(x:bf16[N], from=0, to=1)", "a:bf16[N] = recv(from=0, to=1)",
             "t:bf16[N] = send(x, from=0, to=2)", "b:bf16[N] = recv(from=0, to=2)", "y:bf16[N] = add(a, b)"],
            "y (add) can run nowhere: a is on chip 1, b is on chip 2",
        ),
        (
            ["y:bf16[N] = relu(x:bf16[N], on=[0,1])", "z:bf16[N] = relu(y, on=[2,3])"],
            "z (relu) can run nowhere: y is on chips 0, 1, it is written for chips 2, 3",
        ),
        (["s:bf16[N] = send(x:bf16[N], from=0, to=1, on=2)", "r:bf16[N] = recv(from=0, to=1)"],
         "s (send) can run nowhere: it is written for no chip"),
    ],
)  # fmt: skip
def test_an_op_needs_a_chip_that_has_its_inputs(tmp_path: Path, ops: list[str], words: str) -> None:
    assert words in refusal(tmp_path, ops, "ring(4)")


# Chips that nothing reaches


@pytest.mark.parametrize(
    ("edges", "chips", "words"),
    [
        ("chip0 chip1 50e9\nchip2 chip3 50e9\n", 4, "chip2, chip3 cannot be reached from chip0"),
        ("chip0 chip1 50e9\nchip1 chip2 50e9\nchip4 chip3 50e9\n", 5, "chip3, chip4 cannot be reached from chip0"),
    ],
)
def test_a_wiring_with_an_unreachable_chip_is_refused_before_anything_runs(
    tmp_path: Path, edges: str, chips: int, words: str
) -> None:
    (tmp_path / "wires.edges").write_text(edges)
    path = tmp_path / "apart.yaml"
    path.write_text(
        "name: apart\nabout: A wiring in two parts.\n"
        f"system: {{chip: tpu_v5e, topology: wires.edges, mesh: {{X: {chips}}}}}\n"
        "workload:\n  ops:\n    - y:bf16[60] = all_gather(x:bf16[60_X], over=X)\n"
    )
    shown = overlapse("run", path)
    assert shown.exit_code == 2
    assert re.search(r"wires\.edges:\d+:\d+: ", shown.stderr), shown.stderr
    assert words in " ".join(shown.stderr.split())
