"""What a search is among: which keys of a layout vary, and what each may be.

Model: what is said of a key is what it may be. Of the others those vary that most frameworks have: tensor parallelism inside
the innermost wiring, pipelines and their schedules, levels of ZeRO, microbatches, recomputation, experts, and the parts of a
long sequence. Pieces of matmuls and the order of axes on the topology are asked for: each multiplies the space.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import permutations
from typing import Any

from hw import Mark, Problem, Problems, SpecError
from hw.input import parse_document, unknown, validate
from scenarios.building.build import Scenario
from scenarios.language.model_spec import ParallelSpec, Recompute
from scenarios.questions.searching.layouts import AXES
from simulator import Parallel, Training
from simulator.models import Transformer

_NOT_VARIED = ("dp", "layers")

_OF_PARALLEL = tuple(each.name for each in fields(Parallel) if each.name not in _NOT_VARIED)

KEYS = (*_OF_PARALLEL, "recompute")
"""What may be searched over; replicas follow."""

LISTED_KEYS = (
    "tp", "pp", "cp", "ep", "zero", "microbatch", "recompute", "schedule", "interleave", "collective_matmul", "order",
)  # fmt: skip
"""What a layout is most often searched over; the rest is how a framework goes about it."""

_ALL = "all"
"""Every order of axes."""

_MICROBATCHES = (1, 2, 4, 8)

_RECOMPUTE = ("none", "selective", "full")

_SCHEDULES = ("1f1b", "interleaved", "zero_bubble")
"""Those of frameworks; `gpipe` takes about as long as `1f1b` and holds more."""

_INTERLEAVE = (1, 2, 4)

_TOKENS_OF_A_CHIP = 8192
"""A sequence is cut into parts of no fewer tokens unless that is asked for."""


def space_of(scenario: Scenario, values: Mapping[str, Sequence[Any]] | None = None) -> dict[str, Sequence[Any]]:
    """What each key of a layout may be: what is said, else its default. Raises SpecError where no transformer is trained,
    and with all that no layout can say."""
    run = scenario.model
    where = scenario.document.value_mark(("workload",))
    if run is None or not isinstance(run.how, Training) or not isinstance(run.model.description, Transformer):
        raise SpecError([Problem(where, "a search is for the layout of the training of a transformer")])
    _check(values or {})
    space = {**_space(scenario, run.model.description, run.how), **(values or {})}
    if not {"pp", "schedule", "interleave"} & set(values or {}) and max(space["pp"]) > 1:
        space |= {"schedule": list(_SCHEDULES), "interleave": list(_INTERLEAVE)}
    if list(space.get("order", ())) == [_ALL]:
        space["order"] = _orders(
            [name for name in AXES if name in space or name == "dp" or run.parallel.extent(name) > 1]
        )
    return space


def size_of(space: Mapping[str, Sequence[Any]]) -> int:
    """How many layouts a space has, twins and those that cannot be built among them."""
    return math.prod(len(values) for values in space.values())


def _space(scenario: Scenario, model: Transformer, how: Training) -> dict[str, Sequence[Any]]:
    """What is tried where nothing is said: tensor parallelism inside the innermost wiring, every pipeline, microbatches of
    a few sequences, every level of ZeRO, each way to recompute, experts on as many chips as share them evenly, and long
    sequences cut into parts that are still long."""
    chips = scenario.system.size
    topology = scenario.system.topology
    inner = topology.levels[0].children if topology is not None else 1
    heads = model.attention.heads
    experts = model.moe.experts if model.moe is not None else 1
    found: dict[str, Sequence[Any]] = {
        "tp": [size for size in _divisors(chips) if size <= inner and heads % size == 0],
        "pp": [size for size in _divisors(chips) if size <= model.layers],
        "zero": [0, 1, 2, 3] if chips > 1 else [0],
        "microbatch": list(_MICROBATCHES),
        "recompute": list(_RECOMPUTE),
    }
    parts = [size for size in _divisors(chips) if how.seq % (2 * size) == 0 and how.seq // size >= _TOKENS_OF_A_CHIP]
    if len(parts) > 1:
        found["cp"] = parts
    if experts > 1:
        found["ep"] = [size for size in _divisors(chips) if experts % size == 0]
    return found


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _orders(names: Sequence[str]) -> list[str]:
    """Every order of some axes, innermost first; the others, of one chip, stand behind."""
    others = [name for name in AXES if name not in names]
    return [" ".join((*each, *others)) for each in permutations(names)]


class _Said(ParallelSpec):
    """What may be said of a layout: what a scenario may say, in the same words."""

    recompute: Recompute = "none"


def _check(values: Mapping[str, Sequence[Any]]) -> None:
    """Raises SpecError with every key that is none of a layout, and every value that a scenario could not say of it."""
    problems = Problems()
    for key, each in ((key, each) for key, of_it in values.items() for each in of_it if key in KEYS):
        if key == "order":
            if list(values[key]) != [_ALL]:
                _check_order(str(each), problems)
        else:
            validate(_Said, parse_document(json.dumps({key: each}, default=str), "--vary"), problems)
    for key in values:
        if key not in KEYS:
            problems.add(Mark("--vary"), unknown("key of a layout", key, KEYS))
    problems.raise_if_any()


def _check_order(written: str, problems: Problems) -> None:
    """Axes of an order, which stand behind one another in its text."""
    try:
        Parallel(order=tuple(written.split()))
    except SpecError as error:
        for each in error.problems:
            problems.add(Mark("--vary"), each.message)
