"""Einsum as products of matrices, operand by operand from the left, as torch does it.

Model: a letter that one operand alone has and the result has not is summed before the product. Of two operands, letters of
both and of what is still to come are a batch, other letters of both are contracted. Without any the product is element by
element. Dots stand for the dims that operands have besides their letters.
Source: torch/aten/src/ATen/native/Linear.cpp (einsum, sumproduct_pair); ONNX's Einsum has the same notation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters

from scenarios.importers.op_lines import OpLines, Value


def einsum(lines: OpLines, text: str, operands: Sequence[Value], label: str, like: tuple[str, Sequence[int]]) -> Value:
    """The lines of an einsum, by its equation; `like`: format and sizes of what it makes. Raises ValueError."""
    sides, out = _letters(text.replace(" ", ""), operands)
    sizes = _sizes(sides, operands)
    writing = _Writing(lines, label, like[0], sizes)
    made = _Side(operands[0], sides[0])
    for at in range(1, len(operands)):
        still = set(out).union(*sides[at + 1 :])
        other = _Side(operands[at], sides[at])
        made = writing.summed(made, still | set(other.letters))
        other = writing.summed(other, still | set(made.letters))
        made = writing.product(made, other, still)
    made = writing.summed(made, set(out))
    return lines.view(made.value, like[1])


@dataclass(frozen=True, slots=True)
class _Side:
    """A value and the letters of its dims."""

    value: Value
    letters: str


def _sizes(sides: Sequence[str], operands: Sequence[Value]) -> dict[str, int]:
    """The size of each letter; one of 1 stands for any. Raises ValueError."""
    sizes: dict[str, int] = {}
    for side, value in zip(sides, operands, strict=True):
        if len(side) != len(value.dims):
            raise ValueError(f"'{side}' has another number of letters than its operand dims")
        for letter, size in zip(side, value.dims, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return sizes


def _letters(text: str, operands: Sequence[Value]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, letters for dots as well."""
    given, arrow, out = text.partition("->")
    sides = given.split(",")
    if len(sides) != len(operands):
        raise ValueError(f"'{text}' has {len(sides)} parts for {len(operands)} operands")
    free = [letter for letter in ascii_letters if letter not in text]
    counts = []
    for side, value in zip(sides, operands, strict=True):
        counts.append(len(value.dims) - len(side) + 3 if "..." in side else 0)
    dots = "".join(free[: max(counts)])
    sides = [side.replace("...", dots[len(dots) - count :]) for side, count in zip(sides, counts, strict=True)]
    if arrow:
        return sides, out.replace("...", dots)
    every = "".join(sides)
    once = sorted(letter for letter in set(every) - set(dots) if every.count(letter) == 1)
    return sides, dots + "".join(once)


@dataclass(frozen=True, slots=True)
class _Writing:
    """What the lines of one einsum have in common."""

    lines: OpLines
    label: str
    dtype: str
    sizes: dict[str, int]

    def dims(self, letters: str) -> tuple[int, ...]:
        """The sizes of letters."""
        return tuple(self.sizes[letter] for letter in letters)

    def summed(self, side: _Side, wanted: set[str]) -> _Side:
        """A side without the letters that nobody else wants: they are added up first."""
        kept = "".join(letter for letter in side.letters if letter in wanted)
        if kept == side.letters:
            return side
        value = side.value
        dims = self.dims(kept)
        moved = value.nbytes + Value("", value.dtype, dims).nbytes
        said = f"flops={value.elements} FLOP", f"bytes={moved:.15g} B"
        made = self.lines.op("custom", [value], f"{value.name}_summed", (value.dtype, dims), *said)
        return _Side(made, kept)

    def product(self, left: _Side, right: _Side, still: set[str]) -> _Side:
        """The product of two sides, of which `still` are the letters that are wanted after it."""
        both = [letter for letter in left.letters if letter in right.letters]
        batch = "".join(letter for letter in both if letter in still)
        gone = "".join(letter for letter in both if letter not in still)
        rows = "".join(letter for letter in left.letters if letter not in both)
        columns = "".join(letter for letter in right.letters if letter not in both)
        letters = batch + rows + columns
        like = self.dtype, self.dims(letters)
        if not gone:
            given = [self.lines.view(side.value, _spread(side, letters)) for side in (left, right)]
            return _Side(self.lines.op("mul", given, self.label, like), letters)
        count = [math.prod(self.dims(part)) for part in (batch, rows, columns, gone)]
        shape = count[0], count[1], count[2], count[3]
        return _Side(self.lines.matmul((left.value, right.value), shape, self.label, like), letters)


def _spread(side: _Side, letters: str) -> tuple[int, ...]:
    """The dims of a side among those of a product: 1 where it has none."""
    sizes = dict(zip(side.letters, side.value.dims, strict=True))
    return tuple(sizes.get(letter, 1) for letter in letters)
