"""What the quick part of the tests leaves out is found by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import starts_processes
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


@pytest.mark.parametrize("test", [by_name, through_another, inside_another, with_workers, in_a_browser])
def test_a_process_is_seen_however_it_is_started(test: Callable[..., None]) -> None:
    assert starts_processes(test)


def test_a_plain_test_starts_none() -> None:
    assert not starts_processes(plain)
    assert not starts_processes(len)


def test_one_test_of_each_function_is_quick(request: pytest.FixtureRequest) -> None:
    """As it was collected: of the parametrised test above the first case at most, and this test itself."""
    here = [item for item in request.session.items if item.path == Path(__file__)]
    quick = {item.name for item in here if item.get_closest_marker("quick")}
    assert request.node.name in quick
    assert all(name.partition("[")[0] == name or name.endswith("[by_name]") for name in quick)
