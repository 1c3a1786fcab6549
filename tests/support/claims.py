"""How the tests of published claims run what they claim: op lines on one chip, or a scenario of the library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analysis import Summary
from hw import System, load_chip
from scenarios import Outcome, load_scenario
from simulator import FuseRule, RunOptions, Simulation, parse_graph

SLACK = 1e-9
"""For what differs by rounding only."""

MATMUL = "y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"


def agree(row: str, got: float, want: float, tolerance: float = 1e-3) -> None:
    """Print how far off `got` is, and fail beyond the tolerance."""
    error = got / want - 1
    print(f"{row}: want {want:.6g}, got {got:.6g} ({100 * error:+.4f} %)")
    assert abs(error) <= tolerance


@dataclass(frozen=True)
class Row:
    """One answer: its exact value in SI units, what it is computed from, and why it is not the word itself."""

    id: str
    answer: float
    compute: Callable[[], float]
    why: str = ""

    def reached(self, tolerance: float = 1e-3) -> None:
        """Fail where what is computed is another."""
        agree(f"{self.id} {self.why}".strip(), self.compute(), self.answer, tolerance)


def words(ops: Sequence[str], chip: str, fuse: FuseRule = "none", **dims: int) -> Summary:
    """A run of op lines on one chip of the catalogue, ideally overlapped."""
    graph = replace(parse_graph(ops, dims), fuse=fuse)
    simulation = Simulation(graph, System(load_chip(chip)), RunOptions(overlap="full"))
    return Summary(simulation.plan, simulation.run)


def number(summary: Summary, word: str) -> float:
    """A word that is a number."""
    value = summary[word]
    assert isinstance(value, (int, float))
    return float(value)


def outcome(name: str, *overrides: str) -> Outcome:
    """A scenario of the library, with overrides."""
    return Outcome(load_scenario(f"library:{name}", overrides))


def of_library(name: str, word: str, *overrides: str) -> float:
    """One number of a scenario of the library."""
    return number(outcome(name, *overrides).words, word)
