"""Texts that stand for many values, and expressions: what they mean, and that nothing else is accepted."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.expressions.expression import parse_expression
from scenarios.language.value_text import in_base_units, read_values

MOST = 10_000

# Texts


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1:16:x2", [1, 2, 4, 8, 16]),
        ("1:17:x2", [1, 2, 4, 8, 16]),
        ("1:4", [1, 2, 3, 4]),
        ("1:10:+3", [1, 4, 7, 10]),
        ("10:1:-3", [10, 7, 4, 1]),
        ("64:8:/2", [64, 32, 16, 8]),
        ("5:5", [5]),
        ("0.1:0.3:+0.1", [0.1, 0.2, 0.3]),
        ("1:4:x1.5", [1.0, 1.5, 2.25, 3.375]),
        ("1 TB/s:4 TB/s:x2", ["1 TB/s", "2 TB/s", "4 TB/s"]),
        ("1:3 us", ["1 us", "2 us", "3 us"]),
        ("h100_sxm, tpu_v5p", ["h100_sxm", "tpu_v5p"]),
        ("ring(4), torus(2,2)", ["ring(4)", "torus(2,2)"]),
        ("none, [[a, b], [c]]", ["none", [["a", "b"], ["c"]]]),
        ("[1, 2]", [1, 2]),
        ("true, 1.5, 'a,b'", [True, 1.5, "a,b"]),
        ("1:4:x2, 100", [1, 2, 4, 100]),
    ],
)
def test_texts_stand_for_values(text: str, values: list[Any]) -> None:
    found = read_values(text, MOST)
    assert found == values
    assert [type(each) for each in found] == [type(each) for each in values]


@pytest.mark.parametrize(
    "text",
    ["", "1:", "1::2", "1:10:x1", "1:10:x0", "10:1", "1:10:-1", "1:10:*2", "1:10:+0", "1:1e9", "1 s:4 B", "1:2:3:4",
     "1:1e400", "2:8:x2 GB", "1,,2", "[1", "[]", 5, None, {}, [], [1, None]],
)  # fmt: skip
def test_texts_that_stand_for_nothing_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_values(text, MOST)


@given(first=st.integers(-1000, 1000), step=st.integers(1, 50), count=st.integers(1, 60))
def test_an_arithmetic_range_is_pythons(first: int, step: int, count: int) -> None:
    last = first + step * (count - 1)
    assert read_values(f"{first}:{last}:+{step}", MOST) == list(range(first, last + 1, step))
    assert read_values(f"{last}:{first}:-{step}", MOST) == list(range(last, first - 1, -step))


def test_a_quantity_counts_in_base_units() -> None:
    assert in_base_units("3.35 TB/s") == pytest.approx(3.35e12, rel=1e-15)
    with pytest.raises(ValueError, match="not a number"):
        in_base_units("ring(4)")


# Expressions


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4 * D", 96),
        ("D / 2", 12),
        ("D / 5", 4.8),
        ("-D // 5 + 7 % 4", -2),
        ("2 ** 10 ** 1", 1024),
        ("max(D, 3, 100) - min(1, D)", 99),
        ("ceil(D / 5) + floor(D / 5) + round(D / 5)", 14),
        ("log2(D / 3)", 3),
        ("workload.dims.D + 1", 25),
        (7, 7),
    ],
)
def test_expressions_are_arithmetic(text: object, value: float) -> None:
    found = parse_expression(text).value({"D": 24, "workload.dims.D": 24})
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["", "D if D else 1", "lambda: 1", "[1]", "'a'", "True", "D < 2", "__import__('os')", "D.x()", "x[0]", "D @ D",
     "~D", "max(*D)", "round(D, 2)", "min()", "round(number=D)", "a; b", "(" * 99 + "1", "1" * 501, None, [1], "D\x00"],
)  # fmt: skip
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"not allowed|not an expression|takes one number|longer than"):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9**9**9", "beyond 1e30"),
        ("-9**9**9", "beyond 1e30"),
        ("10**15 * 10**15 * 10", "beyond 1e30"),
        ("2**100", "beyond 1e30"),
        ("1 / (D - D)", "division by zero"),
        ("D % 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("log2(-1)", "log2 of -1"),
        ("(-8) ** 0.5", "broken power"),
    ],
)
def test_expressions_without_a_value_say_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_expression(text).value({"D": 24})


def test_a_range_ends_where_it_says() -> None:
    values = read_values("1:1000000:x10", MOST)
    assert values[-1] == 10**6
    assert all(math.isclose(later / earlier, 10) for earlier, later in pairwise(values))
