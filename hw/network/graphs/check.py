"""Graphs as they were read, checked: names, links, numbers of chips, and whether every chip reaches every other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hw.input.errors import Mark, Problems, UnknownNames
from hw.input.files import read_text
from hw.input.wording import few
from hw.network.graphs.graph import CHIP, Graph, GraphLink
from hw.network.topology import MAX_CHIPS

MAX_BYTES = 64 * 2**20
_LIKE_CHIP = re.compile(r"(?i)chip[\s_-]*0*([0-9]{1,9})")
_SHOWN = 5


def text_of(path: Path) -> str:
    """The text of a graph file. Raises SpecError."""
    return read_text(path, MAX_BYTES, str(path))


def check_links(
    links: Sequence[GraphLink], place: Callable[[int, int], Mark], problems: Problems, nodes: Iterable[str]
) -> None:
    """Ends that are no nodes, links from a node to itself, and links that nothing gives a bandwidth."""
    known = set(nodes)
    others = UnknownNames("node", known)
    for at, link in enumerate(links):
        for end, name in enumerate((link.source, link.target)):
            if name not in known:
                problems.add(place(at, end), others.message(name))
        if link.source == link.target:
            problems.add(place(at, 1), f"a link from '{link.source}' to itself")
        chips = [name for name in (link.source, link.target) if CHIP.fullmatch(name)]
        if link.bytes_per_s is None and not chips:
            message = f"the link from '{link.source}' to '{link.target}' wants a bandwidth: neither end is a chip"
            problems.add(place(at, 0), message)


def finished(nodes: Iterable[str], links: Sequence[GraphLink], directed: bool, mark: Mark, problems: Problems) -> Graph:
    """The graph, once its chips are numbered without a gap and reach each other. Raises SpecError."""
    names = list(nodes)
    chips = sorted(int(match[1]) for name in names if (match := CHIP.fullmatch(name)))
    for message in _misnumbered(names, chips):
        problems.add(mark, message)
    problems.raise_if_any()
    for message in _cut_off(len(chips), links, directed):
        problems.add(mark, message)
    problems.raise_if_any()
    return Graph(len(chips), tuple(links), directed)


def _misnumbered(names: Sequence[str], chips: Sequence[int]) -> Iterator[str]:
    for name in names:
        alike = _LIKE_CHIP.fullmatch(name)
        if alike and not CHIP.fullmatch(name):
            yield f"node '{name}': chips are named chip0, chip1, ...; did you mean 'chip{int(alike[1])}'?"
    if not chips:
        yield f"there is no chip: chips are the nodes named chip0 to chipN-1 (nodes: {few(names, _SHOWN)})"
    elif len(chips) > MAX_CHIPS:
        yield f"{len(chips)} chips are out of range: 1 to {MAX_CHIPS}"
    elif chips[-1] != len(chips) - 1:
        have = set(chips)
        missing = [f"chip{number}" for number in range(min(chips[-1], len(chips) + _SHOWN)) if number not in have]
        yield f"chips are numbered from chip0 without a gap; missing: {few(missing, _SHOWN)}"


def _cut_off(size: int, links: Sequence[GraphLink], directed: bool) -> Iterator[str]:
    """Chips that chip0 does not reach, and chips that do not reach it."""
    onwards: dict[str, list[str]] = {}
    backwards: dict[str, list[str]] = {}
    for link in links:
        onwards.setdefault(link.source, []).append(link.target)
        backwards.setdefault(link.target, []).append(link.source)
        if not directed:
            onwards.setdefault(link.target, []).append(link.source)
            backwards.setdefault(link.source, []).append(link.target)
    chips = [f"chip{number}" for number in range(size)]
    there = _reached("chip0", onwards)
    if lost := [chip for chip in chips if chip not in there]:
        yield f"{few(lost, _SHOWN)} cannot be reached from chip0"
        return
    back = _reached("chip0", backwards)
    if lost := [chip for chip in chips if chip not in back]:
        yield f"{few(lost, _SHOWN)} cannot reach chip0"


def _reached(start: str, onwards: Mapping[str, Sequence[str]]) -> set[str]:
    found, front = {start}, [start]
    while front:
        front = [after for node in front for after in onwards.get(node, ()) if after not in found]
        front = list(dict.fromkeys(front))
        found.update(front)
    return found
