"""Nodes of all ranks as tasks, each behind what it depends on; collectives of one number are one task."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.importers.chakra.nodes import ChakraNode

_FREE = ("INVALID_NODE", "METADATA_NODE", "STORAGE_NODE", "BATCH_NODE", "CHECKPOINT_NODE")


@dataclass
class Task:
    """A node, or one collective of several ranks, on its way to a line."""

    rank: int
    node: ChakraNode
    before: set[int] = field(default_factory=set)
    name: str = ""


def is_collective(node: ChakraNode) -> bool:
    """Whether a node is a collective."""
    return node.type == "COMM_COLL_NODE"


def group_name(node: ChakraNode) -> str:
    """What its group is called; empty for everyone."""
    said = node.attributes.get("pg_name", "")
    return str(said) if said is not None else ""


def content_of(nodes: Sequence[ChakraNode]) -> str:
    """What nodes say beside names and measured times: equal for ranks that do the same."""
    words = [
        (node.id, node.type, node.deps, sorted((name, str(value)) for name, value in node.attributes.items()))
        for node in nodes
    ]
    return str(words)


def _is_free(node: ChakraNode) -> bool:
    """Whether a node is a mark in the graph and no work."""
    if node.type in _FREE:
        return True
    costs = any(node.number(key) for key in ("num_ops", "tensor_size", "runtime")) or node.duration_us
    return node.type in ("COMP_NODE", "MEM_LOAD_NODE", "MEM_STORE_NODE") and not costs


def without_marks(tasks: list[Task], left_out: Counter[str]) -> list[Task]:
    """Tasks without those that cost nothing, whose dependencies go on to what waits for them."""
    through: list[set[int]] = []
    kept: list[Task] = []
    place: dict[int, int] = {}
    for at, task in enumerate(tasks):
        before: set[int] = set()
        for each in task.before:
            before |= through[each] if each not in place else {place[each]}
        if _is_free(task.node):
            left_out[task.node.type] += 1
            through.append(before)
            continue
        task.before = before
        place[at] = len(kept)
        through.append(set())
        kept.append(task)
    return kept


def ordered(tasks: list[Task], paths: Sequence[Path]) -> list[Task]:
    """Tasks each behind what it depends on, else as they stand. Raises SpecError for a circle."""
    left = [len(task.before) for task in tasks]
    later: dict[int, list[int]] = defaultdict(list)
    for at, task in enumerate(tasks):
        for each in task.before:
            later[each].append(at)
    ready = [at for at, count in enumerate(left) if not count]
    order: list[int] = []
    while ready:
        at = heapq.heappop(ready)
        order.append(at)
        for each in later[at]:
            left[each] -= 1
            if not left[each]:
                heapq.heappush(ready, each)
    if len(order) < len(tasks):
        stuck = [task.node for at, task in enumerate(tasks) if left[at]]
        names = ", ".join(f"{node.id} {node.name}" for node in stuck[:4])
        raise SpecError(
            [Problem(Mark(str(paths[0])), f"{len(stuck):,} nodes wait for each other in a circle, among them {names}")]
        )
    place = {old: new for new, old in enumerate(order)}
    for task in tasks:
        task.before = {place[each] for each in task.before}
    return [tasks[at] for at in order]
