"""How often a resource made faster makes a run slower, and why: `python -m benchmarks.faster_is_slower [cases]`.

Model: random programs of kernels and collectives in several queues, on one chip or four; each is run again with one kind of
resource twice or four times as fast. A run that gets slower is told by what the two runs did: where tasks began and ended in
another order, other tasks met (Graham's anomaly: something done early takes from what decides). Where the order is the
same, shares are others: who is freed elsewhere takes more here, and whoever decides gets less until that one is done, which
max-min fairness itself does. Whether it is that and nothing of the engine's, the oracle of the tests says: the same tasks,
shared by max-min in fractions and carried out event by event, must be slower by as much. What is not is "ours".
Source: Graham, "Bounds on Multiprocessing Timing Anomalies", 1969.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from fractions import Fraction
from functools import cache
from typing import Any

from hw import Mesh, System, load_chip, parse_topology
from simulator import Order, Result, RunOptions, parse_graph, simulate
from tests.support.oracle import OracleTask
from tests.support.oracle import simulate as exact

DIMS = {"E": 1024, "F": 2048}
WIRINGS = ("", "", "ring(4) over nvlink", "switch(4) over nvlink", "torus(2,2) over nvlink")
RESOURCES = ("matrix_unit", "vector_unit", "hbm", "nvlink")
KERNELS = (
    "gelu({x}:bf16[E,F]{more})",
    "matmul({x}:bf16[E,F], w{at}:bf16[F,E]{more})",
    "custom({x}:bf16[E], flops=2e9 FLOP, bytes=9 MB, unit=matrix, tiles=3{more})",
    "custom({x}:bf16[E], flops=3e8 FLOP, bytes=2 MB, unit=vector, tiles=1{more})",
    "custom({x}:bf16[E], bytes=20 MB{more})",
)
COLLECTIVES = (
    "y{at}:bf16[E,F] = all_gather({x}:bf16[E_X,F], over=X{more})",
    "y{at}:bf16[E,F] = all_reduce({x}:bf16[E,F]{{U_X}}, over=X{more})",
    "y{at}:bf16[E,F_X] = all_to_all({x}:bf16[E_X,F], over=X{more})",
)

ORDER = "other tasks met, in another order"
SHARES = "the same order, other shares: max-min's own"
OURS = "ours: the oracle is not as much slower"
SAME = 1e-6
"""How far the engine, whose clock has whole picoseconds, may be from the oracle, as a share of the time."""


@cache
def system(wiring: str) -> System:
    """One chip, or four."""
    chip = load_chip("h100_sxm")
    return System(chip, parse_topology(wiring, chip.links), Mesh({"X": 4})) if wiring else System(chip)


def lines(draw: random.Random, wired: bool) -> list[str]:
    """A few ops in three queues, some after others."""
    found = []
    for at in range(draw.randint(2, 8)):
        queue = draw.choice(["", ", queue=a", ", queue=b"])
        after = f", after=[y{draw.randrange(at)}]" if at and draw.random() < 0.5 else ""
        words = {"at": at, "x": f"x{at}", "more": queue + after}
        if wired and draw.random() < 0.4:
            found.append(draw.choice(COLLECTIVES).format(**words))
        else:
            found.append(f"y{at}:bf16[E,F] = ".replace("[E,F]", "[E]") + draw.choice(KERNELS[2:]).format(**words))
    return found


def order(result: Result) -> list[tuple[int, bool]]:
    """Which task began and which ended, one after the other."""
    begins = [(begin, True, task) for task, begin in enumerate(result.begin_ps)]
    ends = [(end, False, task) for task, end in enumerate(result.end_ps)]
    return [(task, begun) for _, begun, task in sorted(begins + ends)]


def exact_ps(result: Result, order: Order) -> Fraction:
    """When the same tasks end in the oracle. A resource of its own holds each task to its time alone."""
    program = result.plan.program
    after: list[list[int]] = [[] for _ in range(len(program))]
    for task, then in enumerate(program.successors):
        for each in then:
            after[each].append(task)
    tasks = []
    for task, number in enumerate(program.shape):
        shape = program.shapes[number]
        own = {len(program.resources) + task: Fraction(shape.alone_ps)}
        tasks.append(
            OracleTask(
                queues=program.queues_of(task),
                deps=tuple(after[task]),
                fixed=Fraction(shape.fixed_ps),
                amounts={**{resource: Fraction(time) for resource, time in shape.demands}, **own},
                weight=Fraction(shape.weight),
                priority=program.priority.get(task, 0),
            )
        )
    ends = exact(tasks, [Fraction(1)] * (len(program.resources) + len(tasks)), order).end
    return max(end for end in ends if end is not None)


def why(before: Result, after: Result, options: RunOptions) -> str:
    """Why a run with something faster is slower."""
    apart = exact_ps(after, options.order) / exact_ps(before, options.order) - Fraction(after.time_s / before.time_s)
    if abs(apart) > SAME:
        return OURS
    return ORDER if order(before) != order(after) else SHARES


def main(cases: int) -> None:
    """Print how many runs get slower by more than 1 %, by how much, and why."""
    slower: list[tuple[float, str, str, str]] = []  # how much, which resource, why, which case
    any_slower = 0
    for number in range(cases):
        draw = random.Random(number)
        wiring = draw.choice(WIRINGS)
        text = lines(draw, bool(wiring))
        graph = parse_graph(text, DIMS)
        options: dict[str, Any] = {"overlap": draw.choice(["full", "none"]), "order": draw.choice(["program", "ready"])}
        name, by = draw.choice(RESOURCES[: 4 if wiring else 3]), draw.choice([2.0, 4.0])
        before = simulate(graph, system(wiring), RunOptions(**options))
        after = simulate(graph, system(wiring), RunOptions(**options, speedup={name: by}))
        gap = after.time_s / before.time_s - 1
        any_slower += gap > 1e-9
        if gap > 0.01:
            slower.append((gap, name, why(before, after, RunOptions(**options)), f"case {number}"))
    print(f"{cases} cases, {any_slower} slower at all, {len(slower)} by more than 1 %")
    for words in (ORDER, SHARES, OURS):
        found = [each for each in slower if each[2] == words]
        if found:
            gap, name, _, case = max(found)
            print(f"{words}: {len(found)}, at most {100 * gap:.1f} % ({name}, {case})")
    print("by resource:", dict(Counter(name for _, name, _, _ in slower)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
