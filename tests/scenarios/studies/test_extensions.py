"""Rows of a study depend on what the user has added: what is kept, and what worker processes know of it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

import pytest

from hw import SpecError
from scenarios import sweep
from scenarios.studies.extensions import extensions
from scenarios.studies.fingerprint import Fingerprint
from simulator import ALGORITHMS, KINDS, Algorithm, Call, Kernel, add_algorithm, kind, staged

SCENARIO = """\
name: mine
about: A kind of my own, over several sizes.
system: {chip: h100_sxm}
workload:
  dims: {B: 64, D: 8192}
  ops:
    - y:fp32[B,D] = mine(x:fp32[B,D])
run: {overlap: full}
study: {vary: {workload.dims.B: [64, 128]}}
"""
PEAK = 67e12
"""FLOP/s of an H100's vector unit in fp32 (data sheet: 67 TFLOP/s)."""

MODULE = """\
from simulator import kind
EACH = {each}
@kind("mine", (1, 1))
def mine(call):
    return [call.kernel(vector_flops=float(EACH * call.output.elements), vector_dtype="fp32")]
"""
SCRIPT = """\
import overlapse as ov
def main():
    import my_kinds
    for row in ov.study("mine.yaml", jobs=2).rows:
        print(row.error or row.words["time"])
if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    kinds, algorithms = dict(KINDS), dict(ALGORITHMS)
    yield
    tables: list[tuple[dict[str, Any], dict[str, Any]]] = [(KINDS, kinds), (ALGORITHMS, algorithms)]
    for table, before in tables:
        for name in set(table) - set(before):
            del table[name]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(SCENARIO)
    return path


def add_mine(each: float) -> None:
    KINDS.pop("mine", None)

    @kind("mine", (1, 1))
    def mine(call: Call) -> list[Kernel]:
        return [call.kernel(vector_flops=each * call.output.elements, vector_dtype="fp32")]


def test_a_store_knows_what_a_kind_was_when_a_row_was_kept(scenario: Path, tmp_path: Path) -> None:
    add_mine(1000.0)
    first = sweep(scenario, store=tmp_path / "runs.db", jobs=1)
    assert [row.words["time"] for row in first.rows] == pytest.approx(
        [1000 * rows * 8192 / PEAK for rows in (64, 128)], rel=1e-6
    )
    assert sweep(scenario, store=tmp_path / "runs.db", jobs=1).ran == 0
    add_mine(2000.0)
    second = sweep(scenario, store=tmp_path / "runs.db", jobs=1)
    assert second.ran == 2
    assert second.rows[0].words["time"] == pytest.approx(2000 * 64 * 8192 / PEAK, rel=1e-6)
    add_mine(1000.0)
    assert sweep(scenario, store=tmp_path / "runs.db", jobs=1).ran == 0


def test_workers_import_what_a_script_imports_late(scenario: Path) -> None:
    (scenario.parent / "my_kinds.py").write_text(MODULE.format(each=1000))
    script = scenario.parent / "script.py"
    script.write_text(SCRIPT)
    there = {**os.environ, "PYTHONPATH": os.pathsep.join([str(scenario.parent), *filter(None, sys.path)])}
    told = subprocess.run(
        [sys.executable, script], cwd=scenario.parent, env=there, capture_output=True, text=True, check=True
    )
    times = [float(line) for line in told.stdout.split()]
    assert times == pytest.approx([1000 * rows * 8192 / PEAK for rows in (64, 128)], rel=1e-6)


def test_what_is_another_where_it_should_run_is_told_by_name() -> None:
    add_mine(1.0)
    there = extensions()
    there.need()
    add_mine(2.0)
    with pytest.raises(SpecError, match="op kind 'mine': not there, or another one"):
        there.need()


OF_MINE = {
    "itself": ("scale(call)", "ZeroDivisionError: division by zero, in scale"),
    "what it calls": ("call.kernel(flops=3.0)", "TypeError: .*'flops', in mine"),
    "what it asks for": ("call.outputs", "AttributeError: .*'outputs', in mine"),
}


@pytest.mark.parametrize(("wrong", "told"), OF_MINE.values(), ids=OF_MINE)
def test_what_a_function_of_the_users_raises_is_told_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, told: str
) -> None:
    """In the row where it does, also where it goes wrong further in; no word of a defect of ours."""
    lines = [
        "from simulator import kind",
        "def scale(call): return 1 / 0",
        "@kind('mine', (1, 1))",
        "def mine(call):",
        f"    if call.output.elements > 100 * 8192: {wrong}",
        "    return [call.kernel(vector_flops=call.output.elements, vector_dtype='fp32')]",
    ]
    (tmp_path / "kinds_of_mine.py").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "kinds_of_mine", raising=False)
    importlib.import_module("kinds_of_mine")
    sound, broken = sweep(tmp_path / "mine.yaml", jobs=1).rows
    assert (sound.error, broken.exit) == ("", 2)
    line = 2 if "scale" in wrong else 5
    assert re.fullmatch(rf"\S*kinds_of_mine\.py:{line}:1: {told}", broken.error), broken.error


def test_what_an_algorithm_of_the_users_raises_is_told_by_its_file(tmp_path: Path) -> None:
    def broken(group: Any, request: object) -> list[list[Any]]:
        raise LookupError(f"nothing for {group.size} chips")

    add_algorithm(Algorithm(name="broken", kinds=("all_gather",), form=staged(broken)))
    gather = "y:fp32[B,D] = all_gather(x:fp32[B_X,D], over=X, algorithm=broken)"
    ring = "system: {chip: h100_sxm, topology: ring(4) over nvlink, mesh: {X: 4}}"
    text = SCENARIO.replace("y:fp32[B,D] = mine(x:fp32[B,D])", gather).replace("system: {chip: h100_sxm}", ring)
    (tmp_path / "ring.yaml").write_text(text)
    for row in sweep(tmp_path / "ring.yaml", jobs=1).rows:
        assert re.fullmatch(r"\S*test_extensions\.py:\d+:1: LookupError: nothing for 4 chips, in broken", row.error)


def test_without_extensions_there_is_nothing_to_know() -> None:
    assert extensions().titles == ()
    assert extensions().key == ""


def test_an_algorithm_is_the_users_by_the_function_that_it_is_made_of() -> None:
    def at_first(group: object, request: object) -> list[list[object]]:
        return []

    add_algorithm(Algorithm(name="at_first", kinds=("all_gather",), form=staged(at_first)))  # type: ignore[arg-type]
    found = extensions()
    assert found.titles == ("algorithm 'at_first'",)
    assert found.modules == (__name__,)


def digest_of(value: object) -> str:
    mark = Fingerprint()
    mark.feed(value)
    return mark.digest


def module_of(text: str) -> ModuleType:
    module = ModuleType("theirs")
    exec(compile(text, "theirs", "exec"), vars(module))
    return module


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x", "def f(x): return x + 1"),
        ("def f(x): return 2 * x", "def f(x): return 3 * x"),
        ("def f(x, y=1): return x", "def f(x, y=2): return x"),
        ("RATE = 1\ndef f(x): return RATE", "RATE = 2\ndef f(x): return RATE"),
        ("def g(): return 1\ndef f(x): return g()", "def g(): return 2\ndef f(x): return g()"),
        ("T = {'a': [1]}\ndef f(x): return T['a']", "T = {'a': [2]}\ndef f(x): return T['a']"),
        ("class C:\n  k = 1\ndef f(x): return C().k", "class C:\n  k = 2\ndef f(x): return C().k"),
        ("def f(x): return [y for y in x if y > 1]", "def f(x): return [y for y in x if y > 2]"),
    ],
)
def test_functions_that_do_another_thing_have_another_digest(one: str, other: str) -> None:
    first, again, second = (digest_of(module_of(text).f) for text in (one, f"# the same\n\n{one}", other))
    assert first == again
    assert first != second


def test_parts_and_rounds_of_functions_are_read() -> None:
    made = module_of("def f(x, y): return x\ndef g(n):\n  return g(n - 1) if n else 0")
    assert digest_of(partial(made.f, 1)) != digest_of(partial(made.f, 2))
    assert digest_of(made.g) == digest_of(made.g)


def test_what_cannot_be_read_is_never_found_again() -> None:
    made = module_of("def f(x): return lock")
    made.lock = Lock()  # type: ignore[attr-defined]
    mark = Fingerprint()
    mark.feed(made.f)
    assert not mark.exact
