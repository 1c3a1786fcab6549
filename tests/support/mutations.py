"""Files that are nearly right: every one is read or refused with its place, and never a traceback."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hw import SpecError

MANY = 100


def mutants(whole: bytes, many: int = MANY, seed: int = 14) -> list[bytes]:
    """Files with a part cut out, bytes changed, a piece said twice, or the end missing, each at places drawn at random."""
    draw = random.Random(seed)

    def at() -> int:
        return draw.randrange(len(whole))

    def cut() -> bytes:
        begin = at()
        return whole[:begin] + whole[begin + draw.randrange(1, 20) :]

    def changed() -> bytes:
        made = bytearray(whole)
        for _ in range(draw.randrange(1, 6)):
            made[at()] = draw.randrange(256)
        return bytes(made)

    def twice() -> bytes:
        begin = at()
        return whole[: begin + draw.randrange(1, 40)] + whole[begin:]

    def ended() -> bytes:
        return whole[: at()]

    return [draw.choice([cut, changed, twice, ended])() for _ in range(many)]


def refusals(whole: bytes, path: Path, read: Callable[[Path], object]) -> list[str]:
    """What is said of the mutants of a file that cannot be read; each names the file or an option."""
    said: list[str] = []
    for mutant in mutants(whole):
        path.write_bytes(mutant)
        with suppress(SpecError):
            read(path)
            continue
        said.append(_said(path, read))
    return said


def _said(path: Path, read: Callable[[Path], object]) -> str:
    with pytest.raises(SpecError) as error:
        read(path)
    assert all(problem.mark.file for problem in error.value.problems)
    assert path.name in str(error.value) or "--" in str(error.value)
    return str(error.value)
