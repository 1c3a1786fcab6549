"""Strategies that are made once.

What is made anew for every draw is looked through anew for every draw: three quarters of the time of laws about small
programs. The same cases are drawn either way.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T", bound=Hashable)


@cache
def between(least: int, most: int) -> st.SearchStrategy[int]:
    """Whole numbers, both ends included."""
    return st.integers(least, most)


@cache
def unlike(least: int, most: int, fewest: int, count: int) -> st.SearchStrategy[list[int]]:
    """From `fewest` to `count` different whole numbers."""
    return st.lists(between(least, most), min_size=fewest, max_size=count, unique=True)


@cache
def shuffled(things: str | range) -> st.SearchStrategy[list[Any]]:
    """These in any order."""
    return st.permutations(things)


def among(choices: Iterable[T]) -> st.SearchStrategy[T]:
    """One of these."""
    listed = tuple(choices)
    return _among(listed, tuple(map(type, listed)))


@cache
def _among(choices: tuple[Any, ...], _types: tuple[type, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(choices)
