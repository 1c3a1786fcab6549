"""Where a module says how its arrays are sharded."""

from __future__ import annotations

from collections.abc import Iterator

from scenarios.importers.hlo.module import Instruction, Module

TO_LOCAL = ("SPMDFullToShardShape", "xla.sdy.GlobalToLocalShape")
TO_GLOBAL = ("SPMDShardToFullShape", "xla.sdy.LocalToGlobalShape")
"""Calls between an array and what one chip has of it."""
SAID = ("Sharding", "xla.sdy.FuncResultSharding", "xla.sdy.ShardingConstraint", "xla.sdy.Sharding")
"""Calls that only say how their operand is to lie."""


def annotation_of(each: Instruction) -> str:
    """What an instruction says of shardings, as it is written."""
    said = each.attributes.get("sharding", "")
    if "custom_call_target" in each.attributes and "sharding" in each.attributes.get("frontend_attributes", ""):
        return each.attributes["frontend_attributes"]
    return said


def texts_of(module: Module) -> Iterator[tuple[int, str]]:
    """All that a module says of shardings, and where."""
    for computation in module.computations.values():
        yield from ((1, text) for text in computation.results if text)
        for each in computation.instructions:
            text = annotation_of(each)
            if text:
                yield each.line, text


def is_partitioned(module: Module) -> bool:
    """Whether the partitioner has been there: collectives are in shapes of one chip, and nothing says where those begin."""
    every = [each for computation in module.computations.values() for each in computation.instructions]
    targets = {
        each.attributes.get("custom_call_target", "").strip('"') for each in every if each.opcode == "custom-call"
    }
    if targets & {*TO_LOCAL, *TO_GLOBAL, *SAID} or any(each.opcode == "manual" for each in every):
        return False
    return any(each.opcode.removesuffix("-start") in _EXCHANGES for each in every)


_EXCHANGES = frozenset(
    ["all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "partition-id"]
)
