"""Which random cases are drawn, and the quick part of the tests, `-m quick`: a first look at everything in half a minute.

Laws draw the same random cases every time: how far messages are from a closed form is measured, not proven, and a suite that
draws anew fails by luck. `--hypothesis-profile=nightly` draws new ones, and remembers what failed.

A test is quick if it is the first case of its function, draws no random cases, and starts no process: these three are read
off the test itself whenever tests are collected, so there is no list to keep. What a test starts and draws is found in the
names that its code uses, through the functions and fixtures of the tests that it calls. A test that takes most of a second
says so itself, `@pytest.mark.long`: sixty of 1700 took two thirds of the time.

What all tests would pay for again and again: looking through twelve thousand collected tests for circles of garbage, a
sixth of the time of many laws, and compiling every module in every process that a test starts, half of the time of most.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from inspect import unwrap
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from typer.main import get_command

# The first case of a law pays for late imports, and a loaded machine is no defect: laws have no deadline.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.register_profile("nightly", deadline=None, derandomize=False)
settings.load_profile("same")

STARTERS = frozenset({"subprocess", "multiprocessing", "distributed", "tests.support.browser"})
"""Modules whose use means that a process is started."""
DRAWING = "hypothesis.core"
"""The module whose use means that random cases are drawn."""
STARTING = frozenset({"jobs", "fork", "process_pool"})
"""Arguments and functions whose use means it, too: a study with workers, say."""

OWN_FLAGS = "multiprocessing.util._args_from_interpreter_flags"
"""The function that says with what Python starts processes like this one."""
FLAGS = [flag for flag in subprocess._args_from_interpreter_flags() if flag != "-B"]  # type: ignore[attr-defined]
"""What it says, but for the flag by which they keep no bytecode."""

# Tests leave little that hangs together in circles: looking for it every 700 objects, as Python does, finds next to nothing.
gc.set_threshold(50_000, 5, 5)


def pytest_collection_finish() -> None:
    """What was collected and imported stays until the end: nobody needs to look through it for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where no bytecode may lie beside the sources (PYTHONDONTWRITEBYTECODE), processes that tests start keep it for each
    other in the temporary folder of the run, which all workers share; worker processes, too, which Python tells by a flag
    of its own (-B) to keep none."""
    if not sys.dont_write_bytecode or sys.pycache_prefix is not None:
        yield
        return
    own = tmp_path_factory.getbasetemp()
    run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with mock.patch.dict(os.environ), mock.patch(OWN_FLAGS, return_value=FLAGS):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(run / "bytecode")
        yield


@pytest.fixture(scope="session", autouse=True)
def one_command() -> Iterator[None]:
    """The command is made of its functions' signatures once, not for each of thousands of calls in one process."""
    made = cache(get_command)
    with mock.patch("typer.main.get_command", made), mock.patch("typer.testing._get_command", made):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick."""
    seen: set[str] = set()
    for item in items:
        function = item.nodeid.partition("[")[0]
        if function not in seen and isinstance(item, pytest.Function) and is_quick(item):
            item.add_marker(pytest.mark.quick)
        seen.add(function)


def is_quick(item: pytest.Function) -> bool:
    """Whether a test is quick as far as it can be seen from outside; that it is a first case is for the caller."""
    fixtures = [each.func for found in item._fixtureinfo.name2fixturedefs.values() for each in found]
    if item.get_closest_marker("long") or getattr(item.obj, "is_hypothesis_test", False):
        return False
    return not any(map(takes_long, [item.obj, *fixtures]))


def takes_long(function: Callable[..., Any]) -> bool:
    """Whether a function of the tests, or one that it calls, starts a process or draws random cases."""
    todo: list[Any] = [function]
    done: set[Any] = set()
    while todo:
        here = unwrap(todo.pop())
        if not isinstance(here, FunctionType) or here in done or not here.__module__.startswith("tests."):
            continue
        done.add(here)
        itself, named = uses(here)
        if itself:
            return True
        todo += named
    return False


@cache
def uses(function: FunctionType) -> tuple[bool, list[Any]]:
    """Whether a function itself starts a process or draws random cases, and else what it names."""
    found = {name: function.__globals__.get(name) for name in names_of(function.__code__)}
    for name, there in found.items():
        home = there.__name__ if isinstance(there, ModuleType) else getattr(there, "__module__", None)
        if name in STARTING or home in STARTERS or home == DRAWING:
            return True, []
    return False, [there for there in found.values() if callable(there)]


def names_of(code: CodeType) -> Iterator[str]:
    """The names that some code uses: globals, attributes, keywords of calls; functions inside it, too."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from names_of(each)
        elif isinstance(each, tuple):
            yield from (word for word in each if isinstance(word, str))
