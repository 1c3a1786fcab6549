"""What the quick part of the tests leaves out is found by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import takes_long
from tests.support.browser import Browser


def plain() -> None:
    assert Path("here")


def by_name() -> None:
    subprocess.run(["true"], check=True)


def through_another() -> None:
    by_name()


def inside_another() -> None:
    def later() -> None:
        by_name()

    later()


def with_workers(sweep: Callable[..., None]) -> None:
    sweep("file", jobs=2)


def in_a_browser() -> None:
    Browser()


def with_a_law_inside() -> None:
    @given(st.integers())
    def law(number: int) -> None:
        assert number == number + 0

    law()


@pytest.mark.parametrize(
    "test", [by_name, through_another, inside_another, with_workers, in_a_browser, with_a_law_inside]
)
def test_a_process_or_a_law_is_seen_however_it_is_started(test: Callable[..., None]) -> None:
    assert takes_long(test)


def test_a_plain_test_starts_none() -> None:
    assert not takes_long(plain)
    assert not takes_long(len)


@pytest.mark.long
def test_what_says_that_it_is_long_is_not_quick(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("quick") is None


def test_every_file_has_something_quick_but_those_of_laws_and_processes(request: pytest.FixtureRequest) -> None:
    """Of a file in which a test is long, another one is quick."""
    long, quick = (
        {item.path for item in request.session.items if item.get_closest_marker(name)} for name in ("long", "quick")
    )
    assert long <= quick


def test_one_test_of_each_function_is_quick(request: pytest.FixtureRequest) -> None:
    """As it was collected: of the parametrised test above the first case at most, and this test itself."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    quick = {item.name for item in here if item.get_closest_marker("quick")}
    assert request.node.name in quick
    assert all(name.partition("[")[0] == name or name.endswith("[by_name]") for name in quick)
