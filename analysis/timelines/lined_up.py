"""Two runs of the same work lined up, piece by piece: which piece of the one is which of the other.

Model: a piece is what a device did for one op or one call of the host: its family (matmul, norm, ...), whether it is of a
backward pass, words of its name, and how long it took. First the pieces are lined up in order: of all ways to pair them
without crossing, the one whose pairs are alike in most time (a longest common subsequence with weights). Then what is
left over is paired with what is left of its family a little earlier or later, as a framework may do independent things
in another order; and what stands alone beside a pair of its family joins it, as one call may do what several ops do.
Source: Smith and Waterman's recurrence without a price for gaps, which makes it that of the longest common subsequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw import Dimension
from hw.input import show

MOST_CELLS = 9_000_000
"""The largest table of pairs that is filled: 3,000 pieces beside 3,000."""

REACH = 12
"""How many pairs further on or back something of another order may stand."""

UNKNOWN = ""
"""The family of a piece of which nothing is known: it is alike to what it shares a word with."""

_LEAST_S = 1e-7

_SAME_SIDE, _SAME_WORD, _SAME_TIME = 0.5, 0.5, 0.25
"""What it adds to a pair of one family if both are of a backward pass or of none, share a word, take as long."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a device did for one op or one call, by the name of that; `kernel`: what its longest kernel is called.

    `seconds`: its time, without what ran beside earlier pieces; `host_s` and `device_s`: time before it in which nothing
    ran, because it was not issued yet, and although it was. `count`: so many kernels."""

    name: str
    family: str
    backward: bool
    words: frozenset[str]
    seconds: float
    host_s: float = 0.0
    device_s: float = 0.0
    count: int = 1
    kernel: str = ""

    def __repr__(self) -> str:
        return f"Piece({self.name}: {self.family}, {show(self.seconds, Dimension.TIME)})"


@dataclass(frozen=True, slots=True)
class Pair:
    """Pieces of A and of B (their numbers) that are the same work; one side is empty where the other stands alone."""

    a: tuple[int, ...]
    b: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Pair({len(self.a)} of A, {len(self.b)} of B)"


def line_up(a: Sequence[Piece], b: Sequence[Piece]) -> list[Pair]:
    """Every piece of A and of B once, in pairs, in the order of A; what only B has follows what it came after. Raises
    ValueError for more pieces than can be lined up."""
    if len(a) * len(b) > MOST_CELLS:
        raise ValueError(f"{len(a):,} beside {len(b):,} pieces are too many to line up: take one step, or fewer rounds")
    pairs = list(_in_order(a, b))
    pairs += _moved(a, b, pairs)
    return _joined(a, b, sorted(pairs))


def _alike(a: Sequence[Piece], b: Sequence[Piece]) -> NDArray[np.float64]:
    """How alike each piece of A is to each of B; 0 for those of two families."""
    if not a or not b:
        return np.zeros((len(a), len(b)))
    families = {name: at for at, name in enumerate(dict.fromkeys(each.family for each in (*a, *b)))}
    of_a, of_b = (np.asarray([families[each.family] for each in side]) for side in (a, b))
    back_a, back_b = (np.asarray([each.backward for each in side]) for side in (a, b))
    long_a, long_b = (np.maximum([each.seconds for each in side], 1e-9) for side in (a, b))
    times = np.minimum.outer(long_a, long_b) / np.maximum.outer(long_a, long_b)
    sides = back_a[:, None] == back_b[None, :]
    words = _words(a, b)
    score = 1.0 + _SAME_SIDE * sides + _SAME_TIME * times + _SAME_WORD * words
    nameless = families.get(UNKNOWN, -1)
    unknown = (of_a == nameless)[:, None] | (of_b == nameless)[None, :]
    found: NDArray[np.float64] = np.where((of_a[:, None] == of_b[None, :]) | (unknown & words), score, 0.0)
    return found


def _words(a: Sequence[Piece], b: Sequence[Piece]) -> NDArray[np.bool_]:
    """Whether two pieces share a word."""
    shared = np.zeros((len(a), len(b)), dtype=bool)
    for word in {word for each in a for word in each.words} & {word for each in b for word in each.words}:
        has_a, has_b = (np.asarray([word in each.words for each in side]) for side in (a, b))
        shared |= has_a[:, None] & has_b[None, :]
    return shared


def _in_order(a: Sequence[Piece], b: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """The pairs that do not cross and are alike in most time, from the first to the last."""
    # the fourth root: long pieces decide, but not alone, and a long one beside a short one says less than two alike
    weight = _alike(a, b) * np.multiply.outer(*([each.seconds + _LEAST_S for each in side] for side in (a, b))) ** 0.25
    best = np.zeros((len(a) + 1, len(b) + 1))
    for row in range(len(a)):
        through = np.maximum(best[row, 1:], np.where(weight[row] > 0, best[row, :-1] + weight[row], 0.0))
        best[row + 1, 1:] = np.maximum.accumulate(through)
    found: list[tuple[int, int]] = []
    row, column = len(a), len(b)
    while row and column:
        here = best[row, column]
        if here == best[row - 1, column]:
            row -= 1
        elif here == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            found.append((row, column))
    yield from reversed(found)


def _moved(a: Sequence[Piece], b: Sequence[Piece], pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Pairs of what is left, of one family and side, that stand a little apart."""
    place_a, place_b = (_places(len(side), [pair[at] for pair in pairs]) for at, side in enumerate((a, b)))
    left = [at for at in range(len(b)) if at not in {number for _, number in pairs}]
    taken = {number for number, _ in pairs}
    for number, piece in enumerate(a):
        if number in taken:
            continue
        near = [
            at
            for at in left
            if b[at].family == piece.family
            and b[at].backward == piece.backward
            and abs(place_b[at] - place_a[number]) <= REACH
        ]
        if near:
            chosen = min(near, key=lambda at: (abs(place_b[at] - place_a[number]), at))
            left.remove(chosen)
            yield number, chosen


def _places(count: int, paired: Sequence[int]) -> NDArray[np.int64]:
    """How many pairs stand before each piece."""
    before = np.zeros(count + 1, dtype=np.int64)
    before[np.asarray(paired, dtype=np.int64) + 1] = 1
    found: NDArray[np.int64] = np.cumsum(before)[:count]
    return found


def _joined(a: Sequence[Piece], b: Sequence[Piece], pairs: Sequence[tuple[int, int]]) -> list[Pair]:
    """The pairs, with what stands alone beside a pair of its own family and side taken in, where that makes both take more
    nearly the same time; then what is still alone."""
    sides: list[list[list[int]]] = [[[one], [other]] for one, other in pairs]
    lacks = [b[other].seconds - a[one].seconds for one, other in pairs]  # of A, beside B
    for at, pieces in enumerate((a, b)):
        owner = {pair[at]: number for number, pair in enumerate(pairs)}
        alone = [each for each in range(len(pieces)) if each not in owner]
        for numbers, step in ((alone, -1), (alone[::-1], 1)):
            for number in numbers:
                beside = owner.get(number + step)
                if number in owner or beside is None or not _same(pieces[number + step], pieces[number]):
                    continue
                lack = lacks[beside] + pieces[number].seconds * (1 if at else -1)
                if abs(lack) < abs(lacks[beside]):
                    owner[number], lacks[beside] = beside, lack
                    sides[beside][at].append(number)
    whole = [Pair(tuple(sorted(one)), tuple(sorted(other))) for one, other in sides]
    seen = [{number for pair in whole for number in (pair.a, pair.b)[at]} for at in (0, 1)]
    whole += [Pair((number,), ()) for number in range(len(a)) if number not in seen[0]]
    whole += [Pair((), (number,)) for number in range(len(b)) if number not in seen[1]]
    return sorted(whole, key=lambda pair: (pair.a[0] if pair.a else len(a), pair.b))


def _same(one: Piece, other: Piece) -> bool:
    return (one.family, one.backward) == (other.family, other.backward)
