"""What is asked for by a number or a name that is not there: told with what there is, and never an IndexError or a KeyError
that says nothing.

A form that a user adds may name any wire, chip or round; so may who looks at a system from Python.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from hw import Mesh, Router, RunError, System, load_chip, parse_topology
from simulator import (
    ALGORITHMS,
    Algorithm,
    Form,
    Message,
    MessageRound,
    RunOptions,
    Simulation,
    Transfer,
    add_algorithm,
    parse_graph,
    simulate,
    staged,
)

CHIP = load_chip("h100_sxm")
RING = parse_topology("ring(4) over nvlink", CHIP.links)
SYSTEM = System(CHIP, RING, Mesh({"X": 4}))
GRAPH = parse_graph(["y:bf16[E] = all_gather(x:bf16[E_X], over=X)"], {"E": 64})
SIM = Simulation(GRAPH, SYSTEM)
WIRES = r"wires are 0 to 7, as in group\.topology\.wires"


def run_with(form: Form, network: str) -> float:
    """Seconds of a gather by an algorithm of a user's own."""
    with patch.dict(ALGORITHMS):
        add_algorithm(Algorithm(name="mine", kinds=("all_gather",), form=form, fits=lambda group: True))
        return simulate(GRAPH, SYSTEM, RunOptions(collectives="mine", network=network)).time_s  # type: ignore[arg-type]


def asks(*phases: Any) -> Form:
    """A form that asks for these phases."""
    return Form(lambda group, request: Transfer(phases, 0.0, 1.0), None)


def sends(*rounds: Any) -> Form:
    """A form of which these are the rounds."""
    return Form(lambda group, request: Transfer(({0: 1.0},), 0.0, 1.0), lambda group, request: list(rounds))


def over(*wires: Any) -> Message:
    """A message over such wires."""
    return Message(0, 1, 1.0, SimpleNamespace(wires=wires, latency_s=0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (asks({8: 1.0}), rf"the form of 'mine' asks for wire 8: {WIRES}"),
        (asks({-1: 1.0}), rf"asks for wire -1: {WIRES}"),
        (asks({0: 1.0}, {"chip0>chip1": 1.0}), rf"asks for wire 'chip0>chip1': {WIRES}"),
        (asks([1.0]), "gives a list as a phase: bytes by wire number are wanted"),
        (asks({0: "much"}), "seconds and bytes from 0 on are wanted"),
        (staged(lambda group, request: [[over(8)]]), rf"sends from 0 to 1 over wire 8: {WIRES}"),
        (staged(lambda group, request: [[Message(0, 4, 1.0)]]), "from 0 to 4: not both are chips of the group"),
    ],
)
def test_a_form_that_asks_for_what_is_not_there_is_told_what_there_is(form: Form, said: str) -> None:
    with pytest.raises(RunError, match=said):
        run_with(form, "task")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (sends(MessageRound((Message(0, 4, 1.0),))), "mine sends from 0 to 4: not both are chips of the group"),
        (sends(MessageRound((Message(0, 1, -1.0),))), "mine sends -1.0 bytes from 0 to 1"),
        (sends(MessageRound((over(8),))), rf"mine sends from 0 to 1 over wire 8: {WIRES}"),
        (sends(MessageRound((Message(0, 1, 1.0),), after=(0,))), "round 0 of 'mine' comes after round 0"),
        (sends("first"), "the rounds of 'mine' are a list: a list of MessageRound is wanted"),
    ],
)
def test_rounds_that_name_what_is_not_there_are_told(form: Form, said: str) -> None:
    with pytest.raises(RunError, match=said):
        run_with(form, "messages")


def test_a_form_over_wires_that_are_there_runs() -> None:
    rate = RING.wires[7].bytes_per_s
    assert run_with(asks({7: rate}), "task") == pytest.approx(1.0)
    assert run_with(sends(MessageRound((Message(0, 1, rate),))), "messages") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: Router(RING).route(0, 4), r"there is no chip 4: ring\(4\) over nvlink has chips 0 to 3"),
        (lambda: Router(RING).route(-1, 2), "there is no chip -1"),
        (lambda: SYSTEM.chip_at(4), "there is no chip 4"),
        (lambda: System(CHIP, RING, Mesh({"X": 4}), (CHIP,) * 4).chip_at(-1), "there is no chip -1"),
        (lambda: SYSTEM.groups("Y"), r"unknown mesh axis or group 'Y'\. Allowed: X"),
        (lambda: SYSTEM.pieces("Y"), r"unknown mesh axis or group 'Y'\. Allowed: X"),
        (lambda: SYSTEM.at("X", 4), "there is no place 4 along X: places are 0 to 3"),
        (lambda: RING.port_out(0, 0), "chip 0 has no port of level 0"),
        (lambda: RING.word_of("chip7"), "unknown node 'chip7', did you mean"),
        (lambda: SIM.use({"chip0.hbm": "much"}), "chip0.hbm wants a number of 0 or more, not 'much'"),  # type: ignore[dict-item]
        (lambda: SIM.timeout("soon"), "a timeout wants a number of 0 or more, not 'soon'"),  # type: ignore[arg-type]
    ],
)
def test_asking_for_what_is_not_there_says_what_there_is(ask: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ask()
