"""Options of ops by name, wherever a value can be changed: `ops.up.tiles` in --set, studies, searches, maps and edits.

A matmul alone of k tiles takes max(t) + (sum(t) - max(t)) / k, with t its arithmetic and its traffic.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hw import SpecError
from scenarios import crossover, find, load_scenario, run, sweep, what_if
from scenarios.language.study_spec import CrossoverSpec
from tests.support.cases import written

N = 1024
PEAK, HBM = 1.97e14, 8.2e11
MATH, MEMORY = 2 * N**3 / PEAK, 3 * 2 * N * N / HBM
MATMUL = """\
name: one
system: {chip: tpu_v5e}
workload:
  dims: {B: 1024, D: 1024, F: 1024}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
"""
BLOCK = """\
name: block
system: {chip: tpu_v5e}
workload:
  dims: {B: 1024, D: 1024, F: 1024}
  ops:
    - repeat: 3
      carry: {x: y}
      ops:
        - u:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
        - y:bf16[B,D] = matmul(u, v:bf16[F,D], tiles=1)
run: {overlap: full}
"""


def of_tiles(tiles: int) -> float:
    return max(MATH, MEMORY) + min(MATH, MEMORY) / tiles


@pytest.mark.parametrize("tiles", [1, 2, 7])
def test_an_option_can_be_set(tmp_path: Path, tiles: int) -> None:
    found = run(written(tmp_path, MATMUL), [f"ops.y.tiles={tiles}"])
    assert found.summary["time"] == pytest.approx(of_tiles(tiles), rel=1e-6)


def test_an_option_varies(tmp_path: Path) -> None:
    path = written(tmp_path, MATMUL)
    for changes in (
        {"ops.y.tiles": [1, 2, 4]},
        {"zip": {"ops.y.tiles": "1:4:x2", "workload.dims.B": [N, N, N]}},
        {"workload.dims.B": [N], "zip": {"ops.y.tiles": [1, 2, 4]}},
    ):
        times = [row.words["time"] for row in sweep(path, changes, jobs=1).rows]
        assert times == pytest.approx([of_tiles(tiles) for tiles in (1, 2, 4)], rel=1e-6)


def test_an_option_follows_from_another_value(tmp_path: Path) -> None:
    study = sweep(written(tmp_path, MATMUL), {"workload.dims.B": [N], "derive": {"ops.y.tiles": "B // 128"}}, jobs=1)
    assert study.rows[0].words["time"] == pytest.approx(of_tiles(8), rel=1e-6)


def test_another_value_follows_from_an_option(tmp_path: Path) -> None:
    changes = {"ops.y.tiles": [2, 4], "derive": {"workload.dims.B": "512 * tiles"}}
    study = sweep(written(tmp_path, MATMUL), changes, jobs=1)
    assert [row.inputs["workload.dims.B"] for row in study.rows] == [1024, 2048]


def test_an_option_is_looked_for(tmp_path: Path) -> None:
    """From which k on is the run within a tenth of its longer side?"""
    want = math.ceil(min(MATH, MEMORY) / (0.1 * max(MATH, MEMORY)))
    study = "study: {find: {smallest: ops.y.tiles, from: 1, to: 64, where: time <= 1.1 * lower_bound}}\n"
    found = find(load_scenario(written(tmp_path, MATMUL + study)))
    assert found is not None
    assert found.value == want > 1


def test_an_option_is_an_axis_of_a_map(tmp_path: Path) -> None:
    """A wider batch is bound by arithmetic: fewer tiles do."""
    asked = CrossoverSpec.model_validate(
        {
            "x": {"path": "ops.y.tiles", "from": 1, "to": 64},
            "y": {"path": "workload.dims.B", "values": [1024, 8192]},
            "where": "time <= 1.1 * lower_bound",
        }
    )
    found = crossover(load_scenario(written(tmp_path, MATMUL)), asked)
    assert found is not None
    for row, b in zip(found.rows, (1024, 8192), strict=True):
        sides = sorted((2 * b * N * N / PEAK, 2 * (2 * b * N + N * N) / HBM))
        assert row.x == math.ceil(sides[0] / (0.1 * sides[1]))


def test_an_option_is_an_edit(tmp_path: Path) -> None:
    scenario = load_scenario(written(tmp_path, MATMUL), ["ops.y.tiles=1"])
    twice, away, both = what_if(scenario, ["ops.y.tiles=2", "ops.y.tiles=null", "ops.y.tiles=4 & overlap=full"]).edits
    assert twice.time == pytest.approx(of_tiles(2), rel=1e-6)
    assert away.time is not None
    assert away.time <= of_tiles(2)  # of itself it takes the tiles that fit on chip
    assert both.time == pytest.approx(of_tiles(4), rel=1e-6)  # what the op says wins over the run


def test_an_option_of_an_op_in_a_block_is_that_of_every_round(tmp_path: Path) -> None:
    path = written(tmp_path, BLOCK)
    for y, u in ((1, None), (2, None), (2, 4)):
        sets = [f"ops.y.tiles={y}", *([f"ops.u.tiles={u}"] if u else [])]
        first = max(MATH, MEMORY) if u is None else of_tiles(u)
        assert run(path, sets).summary["time"] == pytest.approx(3 * (of_tiles(y) + first), rel=1e-6)


def test_an_option_is_taken_away_with_null(tmp_path: Path) -> None:
    assert run(written(tmp_path, BLOCK), ["ops.y.tiles=null"]).summary["time"] == pytest.approx(
        6 * max(MATH, MEMORY), rel=1e-6
    )


PAIR = """\
name: pair
system: {chip: a100_80gb_sxm, topology: ring(4)}
workload:
  dims: {B: 4, H: 8, T: 512, S: 512, D: 64}
  ops:
    - o:bf16[B,H,T,D] = attention(q:bf16[B,H,T,D], k:bf16[B,H,S,D], v:bf16[B,H,S,D], kind=standard)
    - c:bf16[B,D] = custom(e:bf16[B,D], flops=1 GFLOP, bytes=1 MB, unit=matrix)
    - m:bf16[B,D] = gelu(c, queue=side)
run: {overlap: full}
"""


@pytest.mark.parametrize(
    ("changes", "word", "value"),
    [
        (["ops.c.flops=3.12e11 FLOP"], "ops.c.t_math", 1e-3),
        (["ops.c.flops=3.12e11"], "ops.c.t_math", 1e-3),
        (["ops.c.bytes=2 GB", "ops.c.flops=0 FLOP"], "ops.c.hbm_bytes", 2e9),
        (["ops.o.kind=flash"], "ops.o.hbm_bytes", 4 * 2 * 4 * 8 * 512 * 64),
        (["ops.o.causal=true", "ops.o.kind=flash"], "ops.o.flops", None),
        (["ops.m.after=[o]"], "ops.m.time", None),
        (["ops.m.priority=-1", "run.order=ready"], "ops.m.time", None),
        (["ops.m.chunks=2"], "ops.m.time", None),
        (["ops.m.queue=other"], "ops.m.time", None),
        (["ops.c.on=2", "ops.m.on=2"], "ops.m.time", None),
        (["ops.c.unit=vector"], "ops.c.t_vector", None),
    ],
)
def test_every_option_can_be_set(tmp_path: Path, changes: list[str], word: str, value: float | None) -> None:
    found = run(written(tmp_path, PAIR), changes)
    got = found.words[word]
    assert isinstance(got, float)
    assert got > 0
    if value is not None:
        assert got == pytest.approx(value, rel=1e-9)


def test_two_options_of_one_op_are_both_put_in_place(tmp_path: Path) -> None:
    scenario = load_scenario(written(tmp_path, PAIR)).having_all({"ops.c.flops": "2 FLOP", "ops.c.bytes": "3 B"})
    op = next(op for op in scenario.graph.every_op() if op.name == "c")
    assert dict(op.options) == {"flops": "2 FLOP", "bytes": "3 B", "unit": "matrix"}


@pytest.mark.parametrize(
    ("override", "place", "said"),
    [
        ("ops.y.tles=2", "--set:1:1", "unknown option of matmul 'tles', did you mean 'tiles'?"),
        ("ops.z.tiles=2", "--set:1:1", "unknown op 'z'"),
        ("ops.tiles=2", "--set:1:1", "'ops.tiles' is not an option of an op, as in ops.NAME.tiles"),
        ("ops=2", "--set:1:1", "is not an option of an op"),
        ("ops.y.tiles=0", "--set:1:13", "'0' will not do: ops.y.tiles wants a whole number"),
        ("ops.y.tiles=2.5", "--set:1:13", "ops.y.tiles wants a whole number"),
        ("ops.y.tiles={a: 1}", "--set:1:13", "ops.y.tiles wants what an op line can hold"),
        ("ops.y.queue=a) b", "--set:1:13", "ops.y.queue wants a name"),
        ("ops.y.on=9", "--set:1:", "there is no chip 9"),
        ("ops.y.causal=true", "--set:1:1", "unknown option of matmul 'causal'"),
    ],
)
def test_a_wrong_option_is_refused_at_the_override(tmp_path: Path, override: str, place: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_scenario(written(tmp_path, MATMUL), [override])
    assert f"{place}" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "part", ["vary: {ops.y.tles: [1, 2]}", "find: {smallest: ops.y.tles, from: 1, to: 4, where: fits}"]
)
def test_a_wrong_option_of_a_study_is_refused_before_anything_runs(tmp_path: Path, part: str) -> None:
    with pytest.raises(SpecError, match="did you mean 'tiles'"):
        load_scenario(written(tmp_path, f"{MATMUL}study: {{{part}}}\n"))


def test_a_value_that_cannot_be_is_a_row_with_an_error(tmp_path: Path) -> None:
    study = sweep(written(tmp_path, MATMUL), {"ops.y.tiles": [1, 0], "ops.y.on": [0, 7]}, jobs=1)
    assert [bool(row.error) for row in study.rows] == [False, True, True, True]
    assert "there is no chip 7" in study.rows[1].error
    assert "will not do: ops.y.tiles" in study.rows[2].error


def test_rows_that_differ_in_an_option_are_different_rows_of_a_store(tmp_path: Path) -> None:
    path, store = written(tmp_path, MATMUL), tmp_path / "rows.db"
    assert sweep(path, {"ops.y.tiles": [1, 2]}, store=store, jobs=1).ran == 2
    again = sweep(path, {"ops.y.tiles": [2, 3]}, store=store, jobs=1)
    assert again.ran == 1
    assert [row.words["time"] for row in again.rows] == pytest.approx([of_tiles(2), of_tiles(3)], rel=1e-6)


def test_an_option_goes_with_another_workload(tmp_path: Path) -> None:
    """The lines that it is in come with the row."""
    (tmp_path / "narrow.yaml").write_text(
        'dims: {B: 512, D: 1024, F: 1024}\nops: ["z:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]\n'
    )
    study = sweep(written(tmp_path, MATMUL), {"workload": ["narrow.yaml"], "ops.z.tiles": [1, 2]}, jobs=1)
    sides = 2 * 512 * N * N / PEAK, 2 * (2 * 512 * N + N * N) / HBM
    want = [max(sides) + min(sides) / tiles for tiles in (1, 2)]
    assert [row.words["time"] for row in study.rows] == pytest.approx(want, rel=1e-6)
