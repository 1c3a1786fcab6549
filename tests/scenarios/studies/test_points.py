"""Which runs a study has: texts for many values, grids, zips, samples, derived values, and every mistake at its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from scenarios import Scenario, load_scenario
from scenarios.points.points import Points
from scenarios.points.sampling import read_sampler, stream
from scenarios.studies.asked import points_of
from scenarios.studies.sweeps import asking
from tests.support.studies import MATMUL, write

MOST = 10_000


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write(tmp_path, MATMUL))


def points(scenario: Scenario, changes: dict[str, Any]) -> Points:
    found = points_of(asking(scenario, changes))
    assert found is not None
    return found


def inputs(scenario: Scenario, changes: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(point.inputs.values()) for point in points(scenario, changes)]


# Points


def test_a_grid_has_every_combination_and_the_last_path_turns_fastest(scenario: Scenario) -> None:
    grid = {"workload.dims.B": [1, 2], "system.chip": "tpu_v5e, tpu_v5p", "run.overlap": ["full"]}
    assert inputs(scenario, grid) == [
        (1, "tpu_v5e", "full"),
        (1, "tpu_v5p", "full"),
        (2, "tpu_v5e", "full"),
        (2, "tpu_v5p", "full"),
    ]


def test_zipped_values_go_together_and_cross_the_grid(scenario: Scenario) -> None:
    changes = {"run.overlap": ["full", "none"], "zip": {"workload.dims.B": "1:3", "workload.dims.D": [10, 20, 30]}}
    assert inputs(scenario, changes) == [
        (overlap, *pair) for overlap in ("full", "none") for pair in ((1, 10), (2, 20), (3, 30))
    ]


def test_samples_cross_the_grid(scenario: Scenario) -> None:
    changes = {"workload.dims.B": [1, 2], "random": {"samples": 5, "values": {"workload.dims.D": "1:1000"}}}
    found = inputs(scenario, changes)
    assert len(found) == 10
    assert [sample for batch, sample in found if batch == 1] == [sample for batch, sample in found if batch == 2]


def test_points_are_made_when_asked_for(scenario: Scenario) -> None:
    found = points(scenario, {"workload.dims.B": "1:1000", "workload.dims.D": "1:1000"})
    assert len(found) == 1_000_000
    assert tuple(found[999_999].inputs.values()) == (1000, 1000)
    assert tuple(found[1_000].inputs.values()) == (2, 1)
    with pytest.raises(IndexError):
        found[1_000_000]


def test_python_values_are_taken_as_they_are(scenario: Scenario) -> None:
    np = pytest.importorskip("numpy")
    changes = {"workload.dims.B": np.array([1, 2]), "workload.dims.D": range(3, 5), "run.launch": (0.0,)}
    assert inputs(scenario, changes) == [(b, d, 0.0) for b in (1, 2) for d in (3, 4)]


# Samples


def test_the_same_seed_gives_the_same_samples_and_more_begin_with_the_fewer(scenario: Scenario) -> None:
    def drawn(samples: int, seed: int, **others: str) -> list[Any]:
        values = {"workload.dims.B": "1:4096:log", **{f"workload.dims.{name}": text for name, text in others.items()}}
        changes = {"random": {"samples": samples, "seed": seed, "values": values}}
        return [point.inputs["workload.dims.B"] for point in points(scenario, changes)]

    assert drawn(50, 1) == drawn(50, 1)
    assert drawn(50, 1) == drawn(80, 1)[:50]
    assert drawn(50, 1) == drawn(50, 1, D="1:9")
    assert drawn(50, 1) != drawn(50, 2)
    assert all(1 <= value <= 4096 and isinstance(value, int) for value in drawn(80, 1))


def test_whole_numbers_are_drawn_evenly_with_both_ends() -> None:
    counts = dict.fromkeys(range(1, 7), 0)
    for value in stream(0, "die", read_sampler("1:6"), 12_000):
        counts[value] += 1
    # 2000 each; the standard deviation is sqrt(12000 * 1/6 * 5/6) = 41
    assert all(abs(count - 2000) < 5 * 41 for count in counts.values())


def test_log_draws_are_even_in_the_logarithm() -> None:
    values = stream(3, "x", read_sampler("1.0:1024.0:log"), 10_000)
    below = sum(value < 32 for value in values)  # half of the logarithm; deviation sqrt(10000 / 4) = 50
    assert abs(below - 5000) < 5 * 50
    assert all(1 <= value <= 1024 for value in values)


@pytest.mark.parametrize("u", [0.0, 0.3, 0.999999999])
def test_draws_keep_to_the_grid_and_the_unit(u: float) -> None:
    assert read_sampler("a, b, c")(u) in ("a", "b", "c")
    assert 0.5 <= read_sampler("0.5:1.5")(u) <= 1.5
    assert read_sampler("1 TB/s:4 TB/s")(u).endswith(" TB/s")
    ended = {read_sampler("8:64:log")(0.0), read_sampler("8:64:log")(1 - 1e-12)}
    assert ended == {8, 64}


# Derived values


def test_derived_values_find_what_they_name(scenario: Scenario) -> None:
    changes = {
        "workload.dims.D": [8, 16],
        "derive": {"workload.dims.F": "4 * D", "workload.dims.B": "max(F // 8, 1) + workload.dims.D"},
    }
    assert inputs(scenario, changes) == [(8, 32, 12), (16, 64, 24)]


def test_derived_values_may_name_what_the_scenario_says(scenario: Scenario) -> None:
    changes = {"workload.dims.D": [8], "derive": {"workload.dims.F": "B + workload.dims.B"}}
    assert inputs(scenario, changes) == [(8, 48)]


def test_a_quantity_in_an_expression_is_in_base_units(scenario: Scenario) -> None:
    changes = {
        "system.set.hbm.bandwidth": ["1 TB/s"],
        "derive": {"system.set.matrix_unit.peak.bf16": "100 * bandwidth"},
    }
    assert inputs(scenario, changes) == [("1 TB/s", 10**14)]


def test_a_point_whose_derived_value_has_none_is_an_error(scenario: Scenario) -> None:
    found = points(scenario, {"workload.dims.B": [1, 2], "derive": {"workload.dims.F": "8 / (B - 1)"}})
    assert [point.error for point in found] == ["workload.dims.F: 8 / (B - 1): division by zero", ""]
    found = points(scenario, {"run.overlap": ["full"], "derive": {"workload.dims.F": "overlap + 1"}})
    assert "not a number" in found[0].error


# Whole workloads

OTHER = """\
dims: {N: 4096}
ops:
  - y:bf16[N] = relu(x:bf16[N])
"""


def test_workloads_are_swapped_whole_and_by_file(tmp_path: Path) -> None:
    write(tmp_path, OTHER, "other.yaml")
    study = """\
study:
  vary:
    workload:
      - other.yaml
      - matmul.yaml
      - {dims: {B: 8}, ops: ["y:bf16[B] = gelu(x:bf16[B])"]}
"""
    found = points_of(load_scenario(write(tmp_path, MATMUL + study)))
    assert found is not None
    swapped = [found.resolved(point.inputs)["workload"] for point in found]
    assert [list(each["dims"]) for each in swapped] == [["N"], ["B", "D", "F"], ["B"]]


# Mistakes

MISTAKES = """\
study:
  vary:
    workload.dims.Q: [1, 2]
    workload.dims.B: "1:10:x0"
    workload.fusee: [none]
    system.set.hbm.bandwith: 1, 2
    runn.overlap: [full]
    expect.time: [1]
  zip:
    workload.dims.D: [1, 2, 3]
    run.overlap: full,none
  random:
    samples: 10
    values:
      run.launch: {from: 5 us, too: 1}
      workload.dims.B: [1]
      run.network_share: {from: 0.5, to: 0.1}
      run.padding: {from: 1 s, to: 2 GB}
  derive:
    workload.dims.F: 4 * Q2
    run.order: launch + fold
    run.fold: order
    run.routing: "__import__('os')"
    run.sharding: 9**9**9
"""


def test_every_mistake_is_told_at_its_place(tmp_path: Path) -> None:
    text = (MATMUL + MISTAKES).replace("1, 2\n", "[1, 2]\n")
    lines = text.splitlines()
    with pytest.raises(SpecError) as caught:
        load_scenario(write(tmp_path, text))
    told = {
        lines[problem.mark.line - 1].strip().partition(":")[0]: problem.message for problem in caught.value.problems
    }
    expected = {
        "workload.dims.Q": "unknown dim 'Q'",
        "workload.dims.B": "is also given under vary",
        "workload.fusee": "did you mean 'workload.fuse'?",
        "system.set.hbm.bandwith": "did you mean 'system.set.hbm.bandwidth'?",
        "runn.overlap": "did you mean 'run'?",
        "expect.time": "unknown section 'expect'",
        "run.overlap": "they go together one by one",
        "run.launch": "did you mean 'study.random.values.run.launch.to'?",
        "run.network_share": "from (0.5) is above to (0.1)",
        "run.padding": "has the units GB and s",
        "workload.dims.F": "unknown name 'Q2'",
        "run.order": "goes round in a circle",
        "run.routing": "is not allowed in an expression",
        "run.sharding": "beyond 1e30",
    }
    assert set(told) == set(expected)
    for path, said in expected.items():
        assert said in told[path]
    assert "does not lead from 1 to 10" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workload.dims.B": "1:2000", "workload.dims.D": "1:2000"}, "4,000,000 runs; at most 1,000,000"),
        ({"derive": {"workload.dims.F": "4 * D"}}, "derive needs something that varies"),
        ({"random": {"samples": 0, "values": {"workload.dims.B": "1:2"}}}, "samples"),
        ({"random": {"samples": 5}}, "'study.random.values' is missing"),
        ({"": [1]}, "not a dotted path"),
        ({"workload..B": [1]}, "not a dotted path"),
        ({"workload": ["nowhere.yaml"]}, "cannot read the file"),
        ({"workload": ["library:nothing_like_it"]}, "unknown scenario of the library"),
        ({"system.set.links.ici.latency": ["1 us"], "system.set.pcie.latency": [0], "derive": {"run.launch": "latency"}},
         "unknown key 'system.set.pcie'"),
        ({"system.set.hbm.bandwidth": [1e12], "system.set.on_chip.bandwidth": [1e13],
          "derive": {"run.launch": "bandwidth"}}, "could be system.set.hbm.bandwidth or system.set.on_chip.bandwidth"),
        ({"random": {"values": {"workload.dims.B": "0:9:log"}}}, "must be more than 0 where log is true"),
    ],
)  # fmt: skip
def test_studies_that_make_no_sense_are_refused(scenario: Scenario, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        points(scenario, changes)
    assert said in str(caught.value)
