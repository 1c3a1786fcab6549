"""Einsum as products of matrices, operand by operand from the left, as torch does it.

Model: a letter that one operand alone has and the result has not is summed before the product. Of two operands, letters of
both and of what is still to come are a batch, other letters of both are contracted. Without any the product is element by
element. Dots stand for the dims that operands have besides their letters.
Source: torch/aten/src/ATen/native/Linear.cpp (einsum, sumproduct_pair).
"""

from __future__ import annotations

import math
from string import ascii_letters
from typing import Any

from scenarios.importers.aten.walk import Tree, Walk, flat, rule
from scenarios.importers.op_lines import Value


@rule("einsum")
def _einsum(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    operands = list(flat(arguments[1]))
    sides, out = _letters(str(arguments[0]).replace(" ", ""), operands)
    size = {letter: dim for side, value in zip(sides, operands, strict=True) for letter, dim in _sizes(side, value)}
    made, side = operands[0], sides[0]
    for at in range(1, len(operands)):
        still = set(out).union(*sides[at + 1 :])
        made, side = _summed(walk, made, side, still | set(sides[at]), size)
        other, letters = _summed(walk, operands[at], sides[at], still | set(side), size)
        made, side = _pair(walk, node, (made, side), (other, letters), (still, size))
    made, side = _summed(walk, made, side, set(out), size)
    return walk.lines.view(made, walk.like(node)[1])


def _sizes(side: str, value: Value) -> list[tuple[str, int]]:
    if len(side) != len(value.dims):
        raise ValueError(f"'{side}' has another number of letters than its operand dims")
    return list(zip(side, value.dims, strict=True))


def _letters(text: str, operands: list[Value]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, letters for dots as well."""
    given, arrow, out = text.partition("->")
    sides = given.split(",")
    if len(sides) != len(operands):
        raise ValueError(f"'{text}' has {len(sides)} parts for {len(operands)} operands")
    free = [letter for letter in ascii_letters if letter not in text]
    several = [
        len(value.dims) - len(side) + 3 if "..." in side else 0 for side, value in zip(sides, operands, strict=True)
    ]
    dots = "".join(free[: max(several)])
    sides = [side.replace("...", dots[len(dots) - count :]) for side, count in zip(sides, several, strict=True)]
    if arrow:
        return sides, out.replace("...", dots)
    every = "".join(sides)
    return sides, dots + "".join(sorted(letter for letter in set(every) - set(dots) if every.count(letter) == 1))


def _summed(walk: Walk, value: Value, side: str, wanted: set[str], size: dict[str, int]) -> tuple[Value, str]:
    """An operand without the letters that nobody else wants: they are added up first."""
    kept = "".join(letter for letter in side if letter in wanted)
    if kept == side:
        return value, side
    dims = tuple(size[letter] for letter in kept)
    moved = value.nbytes + Value("", value.dtype, dims).nbytes
    said = f"flops={value.elements} FLOP", f"bytes={moved:.15g} B"
    return walk.lines.op("custom", [value], f"{value.name}_summed", (value.dtype, dims), *said), kept


def _pair(
    walk: Walk, node: Any, one: tuple[Value, str], other: tuple[Value, str], rest: tuple[set[str], dict[str, int]]
) -> tuple[Value, str]:
    (a, left), (b, right), (still, size) = one, other, rest
    both = [letter for letter in left if letter in right]
    batch = [letter for letter in both if letter in still]
    gone = [letter for letter in both if letter not in still]
    rows, columns = ([letter for letter in side if letter not in both] for side in (left, right))
    side = "".join([*batch, *rows, *columns])
    like = walk.like(node)[0], tuple(size[letter] for letter in side)
    if not gone:
        given = [walk.lines.view(a, _ones(a, left, side)), walk.lines.view(b, _ones(b, right, side))]
        return walk.lines.op("mul", given, node.name, like), side
    count = [math.prod(size[letter] for letter in letters) for letters in (batch, rows, columns, gone)]
    return walk.lines.matmul((a, b), (count[0], count[1], count[2], count[3]), node.name, like), side


def _ones(value: Value, side: str, whole: str) -> tuple[int, ...]:
    sizes = dict(zip(side, value.dims, strict=True))
    return tuple(sizes.get(letter, 1) for letter in whole)
