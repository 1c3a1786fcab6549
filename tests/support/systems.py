"""Chips and systems as small as can be, as a user writes them."""

from __future__ import annotations

from pathlib import Path

from hw import Problems, System, Topology
from hw.chips import build_chip
from hw.input import Document
from scenarios import Scenario, load_scenario

MINIMAL = """\
name: toy
matrix_unit: {peak: {bf16: 1 TFLOP/s}}
vector_unit: {peak: {fp32: 1 GFLOP/s}}
hbm: {capacity: 1 GB, bandwidth: 1 GB/s}
"""
HEAD = "name: s\nsystem:\n"
TAIL = '\nworkload: {ops: ["y:bf16[64] = relu(x:bf16[64])"]}\n'


def scenario(folder: Path, system: str, name: str = "s.yaml") -> Scenario:
    """A system in a scenario of one op, read from a file."""
    path = folder / name
    path.write_text(HEAD + "".join(f"  {line}\n" for line in system.splitlines()) + TAIL)
    return load_scenario(str(path))


def wired(system: System) -> Topology:
    """The wires of a system of several chips."""
    assert system.topology is not None
    return system.topology


def chip_errors(document: Document) -> list[str]:
    """What is wrong with a chip of which something is."""
    problems = Problems()
    assert build_chip(document, problems) is None
    return [str(problem) for problem in problems.found]
