"""The rule of einsum: see `scenarios.importers.einsum`."""

from __future__ import annotations

from typing import Any

from scenarios.importers.aten.walk import Tree, Walk, flat, rule
from scenarios.importers.einsum import einsum


@rule("einsum")
def _einsum(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return einsum(walk.lines, str(arguments[0]), list(flat(arguments[1])), node.name, walk.like(node))
