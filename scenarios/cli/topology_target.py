"""What `overlapse topology` is asked about: a scenario, a shipped system, a system file, a graph file, or a bare text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hw import Mark, Mesh, Problem, Problems, SpecError, System, load_chip, parse_topology
from hw.chips import is_path
from hw.input import cut, did_you_mean, is_file, read_document, unknown
from hw.network import GRAPH_SUFFIXES
from hw.systems import is_shipped, load_system, system_names
from scenarios.building.system import build_system
from scenarios.language.source import STDIN, find_file, in_library, read_source

DEFAULT_CHIP = "h100_sxm"


def system_of(target: str, chip: str | None = None, nodes: int | None = None, slice: str | None = None) -> System:
    """The system that a target means. Raises SpecError."""
    if is_shipped(target) or (is_path(target) and _is_system_file(target)):
        _refuse(target, "--chip", chip)
        return load_system(target, nodes, slice)
    _refuse(target, "--nodes", nodes)
    _refuse(target, "--slice", slice)
    if in_library(target) or target == STDIN or (is_path(target) and not _is_text(target)):
        _refuse(target, "--chip", chip)
        return _of_scenario(target)
    if not _is_text(target):
        raise SpecError([Problem(Mark(target), _unknown(target))])
    return _of_text(target, chip or DEFAULT_CHIP)


def _refuse(target: str, option: str, value: object) -> None:
    if value is not None:
        raise SpecError([Problem(Mark(option), f"'{target[:60]}' takes no {option}")])


def _is_text(target: str) -> bool:
    return "(" in target or target.split(" over ")[0].strip().endswith(GRAPH_SUFFIXES)


def _is_system_file(target: str) -> bool:
    """Whether a YAML file describes a system rather than a scenario."""
    if _is_text(target) or not is_file(Path(target)):
        return False
    data = read_document(Path(target)).data
    return isinstance(data, dict) and "system" not in data and "workload" not in data and "extends" not in data


def _of_scenario(target: str) -> System:
    """Only its system is looked at: a topology can be drawn before there is a workload."""
    path = find_file(target)
    document = read_source(path)
    problems = Problems()
    if "system" not in document.data:
        problems.add(document.value_mark(()), "'system' is missing")
    built, _ = build_system(document, path, problems)
    problems.raise_if_any()
    return built.system


def _unknown(target: str) -> str:
    names = system_names()
    hint = did_you_mean(target, names) or "."
    return (
        f"unknown system '{cut(target, 60)}'{hint} Write a scenario file, library:NAME, "
        f"a topology as torus(4,4), a graph file, or a system: {', '.join(names)}"
    )


def _of_text(target: str, chip: str) -> System:
    levels = list(_levels(target))
    try:
        built = load_chip(chip)
    except SpecError as error:
        raise SpecError([Problem(Mark("--chip"), problem.message) for problem in error.problems]) from None
    try:
        topology = parse_topology(levels[0] if len(levels) == 1 else levels, built.links, base=Path())
    except SpecError:
        raise
    except ValueError as error:
        hint = "" if chip != DEFAULT_CHIP else f" (chip {chip}; another with --chip)"
        raise SpecError([Problem(Mark(target[:60]), f"{error}{hint}")]) from None
    return System(built, topology, Mesh({"X": topology.size} if topology.size > 1 else {}))


def _levels(target: str) -> Iterator[str]:
    """The levels of '[switch(8) over nvlink, fat_tree(16,leaf=4) over infiniband]': commas outside brackets part them."""
    body = target.strip()
    body = body[1:-1] if body.startswith("[") and body.endswith("]") else body
    depth, start = 0, 0
    for at, letter in enumerate(body):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            yield body[start:at].strip()
            start = at + 1
    yield body[start:].strip()


def known_system(name: str) -> str:
    """The name, if it is a shipped system's or a file's. Raises SpecError."""
    if not is_shipped(name) and not is_path(name):
        raise SpecError([Problem(Mark(name), unknown("system", name, system_names()))])
    return name
