"""Kernel times from measured operators: what rows were made from comes out again, a spoiled row counts little, what no row
speaks of stays, and the block is what a chip's file can hold."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hw import Mark, RunError, SpecError, load_chip
from hw.chips import KernelTimes, build_chip, load_kernel_times
from hw.input import Problems, parse_document
from scenarios.calibration import block_text, calibrate
from scenarios.calibration.best import Works
from scenarios.calibration.timed import Timed, timed_rows
from scenarios.validation import Row, judged
from simulator.measured import Device
from tests.support.cases import overlapse

H100 = load_chip("h100_sxm")
HOPPER = load_kernel_times("hopper")
Wanted = list[tuple[str, str, dict[str, float]]]
STREAMS: Wanted = [("stream", name, {"mib": size}) for name in ("copy", "add") for size in (0.25, 4, 64, 1024)]
MATMULS: Wanted = [
    ("matmul", "any", {"m": m, "n": n, "k": 4096}) for m in (128, 1024, 3000, 8192) for n in (1024, 4096, 8192)
]


def made_from(times: KernelTimes, wanted: Wanted) -> list[Row]:
    """Rows that take exactly what some kernel times say."""
    blank = [Row(suite, name, Mark("made", at), params, 1.0) for at, (suite, name, params) in enumerate(wanted)]
    device = Device.of(H100)
    return [
        Row(each.row.suite, each.row.name, each.row.mark, each.row.params, each.seconds(H100, device, times))
        for each in timed_rows(blank, H100)
    ]


def other(**streams: float) -> KernelTimes:
    matmul = HOPPER.matmul.model_copy(update={"rate": {"bf16": 0.6}})
    return HOPPER.model_copy(update={"start_s": 3e-6, "hbm": 0.8, "matmul": matmul, **streams})


def test_rows_give_what_they_were_made_from() -> None:
    pytest.importorskip("scipy")
    found = calibrate(made_from(other(), STREAMS + MATMULS), H100, HOPPER, "made")
    assert found.times.start_s == pytest.approx(3e-6, rel=0.01)
    assert found.times.hbm == pytest.approx(0.8, rel=0.01)
    assert found.times.matmul.rate["bf16"] == pytest.approx(0.6, rel=0.02)
    stages = {stage.name: stage for stage in found.stages}
    assert stages["streams"].before > 0.1 > 0.005 > stages["streams"].after
    assert stages["matmul"].before > 0.1 > 0.01 > stages["matmul"].after


def test_a_spoiled_row_counts_little() -> None:
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS)
    spoiled = rows[-1]
    rows[-1] = Row(spoiled.suite, spoiled.name, spoiled.mark, spoiled.params, 8 * spoiled.measured_s)
    assert calibrate(rows, H100, HOPPER, "made").times.hbm == pytest.approx(0.8, rel=0.02)


@pytest.mark.parametrize("factor", [1e-3, 1 / 20, 8, 500])
def test_a_spoiled_row_is_left_out_by_name_and_widens_no_margin(factor: float) -> None:
    """What others say of it is what it was made from, so that it is told by its own factor; without it all is as ever."""
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS + MATMULS)
    for at in (3, len(STREAMS) + 5):
        rows[at] = replace(rows[at], measured_s=factor * rows[at].measured_s)
    found = calibrate(rows, H100, HOPPER, "made")
    stages = {stage.name: stage for stage in found.stages}
    for name, at in (("streams", 3), ("matmul", len(STREAMS) + 5)):
        ((row, times),) = stages[name].spoiled
        assert row == rows[at]
        assert times == pytest.approx(factor, rel=0.1)
        assert stages[name].after < 0.01
    assert max(found.times.residuals[family] for family in ("matmul", "passes")) < 0.01


def test_where_many_rows_are_far_off_none_is_left_out() -> None:
    """A model that does not fit has wide margins: rows that it does not explain are not spoiled."""
    pytest.importorskip("scipy")
    rows = [
        replace(row, measured_s=row.measured_s * 2.5 ** (at % 3)) for at, row in enumerate(made_from(other(), STREAMS))
    ]
    (streams, *_) = calibrate(rows, H100, HOPPER, "made").stages
    assert not streams.spoiled
    assert streams.after > 0.2


def test_rows_that_nothing_comes_near_are_refused() -> None:
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS)
    scattered = [replace(row, measured_s=row.measured_s * (1e4 if at % 2 else 1e-4)) for at, row in enumerate(rows)]
    with pytest.raises(RunError, match=r"streams by a factor of .*: are they of h100_sxm"):
        calibrate(scattered, H100, HOPPER, "made")


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_times_in_another_unit_are_refused(unit: float) -> None:
    """Too long by a factor says as much as too short by it: the relative error of the latter is never above one."""
    pytest.importorskip("scipy")
    rows = [replace(row, measured_s=unit * row.measured_s) for row in made_from(other(), STREAMS + MATMULS)]
    with pytest.raises(RunError, match=r"their times in us\?"):
        calibrate(rows, H100, HOPPER, "made")


def test_copies_from_and_to_the_host_say_nothing_of_kernels() -> None:
    """They go at the pace of PCIe, sixty times below HBM's: one among eight would be an error of 12 % of all passes."""
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS)
    host = Row("overlap", "h2d_copy_alone", Mark("made", 9), {"scale": 1.0}, 4.9e-3)
    found = calibrate([*rows, host], H100, HOPPER, "made")
    assert (found.stages[0].rows, found.unused) == (len(rows), 1)
    assert found.times.residuals["passes"] < 1e-3


def test_rows_whose_times_spread_are_left_out_and_counted() -> None:
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS)
    late = [replace(row, measured_s=5 * row.measured_s, unsteady=True) for row in rows[:3]]
    step = replace(rows[0], phase="step")
    found = calibrate([*rows, *late, step], H100, HOPPER, "made")
    assert (found.stages[0].rows, found.spread, found.unused) == (len(rows), 3, 1)
    assert found.times.hbm == pytest.approx(0.8, rel=1e-3)
    assert found.stages[0].after < 1e-3  # they are no part of the error, either


def test_what_is_found_is_the_chips_own() -> None:
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS)
    rows[0] = replace(rows[0], measured_s=1.5 * rows[0].measured_s)
    ampere = load_kernel_times("ampere")
    found = calibrate(rows, H100, ampere, "made")
    assert found.times.clock_hz == pytest.approx(1.83e9)
    assert (found.times.power_watts, found.times.peak_flops_per_s) == (700.0, 989e12)
    assert found.stages[0].residual is not None
    assert found.times.residuals["passes"] == found.stages[0].residual > found.stages[0].after > 0.01
    assert found.times.residuals["matmul"] == ampere.residuals["matmul"]  # of which no row speaks


def test_a_chip_without_a_host_has_no_copies_from_one() -> None:
    bare = H100.model_copy(update={"host": None, "links": {}})
    params = {"scale": 1.0}
    rows = [Row("overlap", name, Mark("made", 1), params, 1.0) for name in ("h2d_copy_alone", "hbm_copy_alone")]
    assert [each.row.name for each in timed_rows(rows, bare)] == ["hbm_copy_alone"]
    assert [each.predicted_s is None for each in judged(rows, bare)] == [True, False]


def test_parameters_of_which_rows_say_nothing_are_told() -> None:
    pytest.importorskip("scipy")
    long: Wanted = [("stream", "copy", {"mib": size}) for size in (1024, 2048, 4096)]
    (stage, *_) = calibrate(made_from(other(), long), H100, HOPPER, "made").stages
    assert stage.weak == ("start",)  # 3 us of a millisecond and more


def test_what_no_row_speaks_of_stays_and_is_told() -> None:
    pytest.importorskip("scipy")
    found = calibrate(made_from(other(), STREAMS), H100, HOPPER, "made")
    told = {stage.name for stage in found.stages if not stage.determined}
    assert {"matmul", "attention", "attention_backward"} <= told
    assert found.times.matmul == HOPPER.matmul
    assert found.times.attention == HOPPER.attention


@pytest.mark.parametrize("name", ["hopper", "ampere", "tpu", "tpu_v5p"])
def test_a_block_can_be_pasted_into_a_chip(name: str) -> None:
    times = load_kernel_times(name)
    text = (
        "name: mine\nmatrix_unit: {cores: 100, peak: {bf16: 1e14}}\nvector_unit: {peak: {fp32: 1e12}}\n"
        "hbm: {capacity: 80 GB, bandwidth: 2e12}\n" + block_text(times)
    )
    problems = Problems()
    chip = build_chip(parse_document(text, "mine.yaml"), problems)
    problems.raise_if_any()
    assert chip is not None
    assert chip.calibration.measured is not None
    again = chip.calibration.measured.kernels
    assert again is not None
    assert again.kinds.keys() == times.kinds.keys()
    assert again.start_s == pytest.approx(times.start_s, rel=1e-3)
    assert again.dispatch.recorded_s == pytest.approx(times.dispatch.recorded_s, rel=1e-3)
    for kind, own in times.kinds.items():
        assert again.kinds[kind].model_dump() == pytest.approx(own.model_dump(), rel=1e-3)
    whole = {"tiles", "rate", "unaligned_depth", "hbm", "fed_by", "ragged_depth", "grouped"}
    shown, given = (each.matmul.model_dump(exclude=whole) for each in (again, times))
    assert shown == pytest.approx(given, rel=1e-3)
    assert (again.matmul.hbm, again.matmul.fed_by) == (times.matmul.hbm, times.matmul.fed_by)
    assert again.matmul.ragged_depth == times.matmul.ragged_depth
    assert again.matmul.tiles == times.matmul.tiles
    assert again.matmul.grouped == times.matmul.grouped


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(RunError, match=r"overlapse\[calibrate\]"):
        calibrate(made_from(HOPPER, STREAMS), H100, HOPPER, "made")


def test_the_command_prints_a_block(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    rows = made_from(other(), STREAMS)
    lines = [
        f'{row.suite},{row.name},bf16,"{{""mib"": {row.params["mib"]}}}",{1e6 * row.measured_s},{1e6 * row.measured_s}\n'
        for row in rows
    ]
    path = tmp_path / "rows.csv"
    path.write_text("suite,name,dtype,params,t_med_us,t_min_us\n" + "".join(lines))
    told = overlapse("calibrate", str(path), "--chip", "h100_sxm")
    assert told.exit_code == 0
    assert "hbm: 0.8" in told.stdout
    assert "not determined, as hopper: " in told.stderr
    assert overlapse("calibrate", str(path), "--chip", "h100_sxm", "--start", "hooper").exit_code == 2


def test_repetitions_of_one_size_determine_no_more_than_one_row() -> None:
    """A start and a rate go together in timings of one size: any split of the two gives the same times."""
    pytest.importorskip("scipy")
    one: Wanted = [("stream", "copy", {"mib": 4})] * 6
    found = calibrate(made_from(other(), one), H100, HOPPER, "made")
    assert not found.stages[0].determined
    assert (found.times.start_s, found.times.hbm) == (HOPPER.start_s, HOPPER.hbm)


def test_parameters_that_only_go_together_are_told_and_do_not_move_apart() -> None:
    """Sizes that lie so near that only the sum of a start and of a transfer shows: one of them stays, and the other makes
    up for it."""
    pytest.importorskip("scipy")
    near: Wanted = [("stream", name, {"mib": 16 + at / 64}) for name in ("copy", "scale") for at in range(4)]
    found = calibrate(made_from(other(), near), H100, HOPPER, "made")
    stage = found.stages[0]
    assert len(stage.weak) == 1
    assert stage.after < 0.01
    kept = {"start": found.times.start_s == HOPPER.start_s, "hbm": found.times.hbm == HOPPER.hbm}
    assert [name for name, stays in kept.items() if stays] == list(stage.weak)


def test_what_rows_say_nothing_of_stays() -> None:
    pytest.importorskip("scipy")
    long: Wanted = [("stream", "copy", {"mib": size}) for size in (1024, 2048, 4096)]
    found = calibrate(made_from(other(), long), H100, HOPPER, "made")
    assert found.times.start_s == HOPPER.start_s
    assert found.times.hbm == pytest.approx(0.8, rel=0.01)


def test_a_parameter_at_the_end_of_what_can_be_is_told() -> None:
    """Streams at one and a half times the data sheet's rate are of another chip."""
    pytest.importorskip("scipy")
    fast = HOPPER.model_copy(update={"hbm": 1.0})
    rows = [replace(row, measured_s=row.measured_s / 1.5) for row in made_from(fast, STREAMS)]
    assert calibrate(rows, H100, HOPPER, "made").stages[0].ends == ("hbm",)


def test_as_many_rows_as_parameters_are_no_measure_of_a_margin() -> None:
    """Two timings are always fitted by two parameters; of n rows p parameters take the error of p."""
    pytest.importorskip("scipy")
    two = calibrate(made_from(other(), [STREAMS[0], STREAMS[3]]), H100, HOPPER, "made")
    assert two.stages[0].after < 1e-3
    assert two.times.residuals["passes"] == HOPPER.residuals["passes"] > 0
    rows = [
        replace(row, measured_s=row.measured_s * (1.05 if at % 2 else 0.95))
        for at, row in enumerate(made_from(other(), STREAMS))
    ]
    found = calibrate(rows, H100, HOPPER, "made")
    assert found.times.residuals["passes"] == pytest.approx(found.stages[0].after * (8 / 6) ** 0.5)


def test_every_row_is_counted_somewhere() -> None:
    """Convolutions are nobody's stage."""
    pytest.importorskip("scipy")
    image: dict[str, float] = {"b": 8, "cin": 64, "cout": 64, "hw": 28, "kernel": 3, "stride": 1}
    rows = [
        *made_from(other(), [*STREAMS, ("conv", "conv2d_fwd", image), ("conv", "conv2d_bwd", image)]),
        Row("mamtul", "any", Mark("made", 20), {}, 1.0),
        Row("stream", "copy", Mark("made", 21), {"mib": 4, "l2": "warm"}, 1e-6),
    ]
    found = calibrate(rows, H100, HOPPER, "made")
    stages = sum(stage.rows + len(stage.spoiled) for stage in found.stages)
    assert (stages, found.apart, found.unused, found.spread) == (len(STREAMS), 2, 2, 0)


def test_rows_of_the_same_work_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    rows = timed_rows(made_from(other(), STREAMS) * 50, H100)
    asked = list[object]()

    def counted(self: Timed, *_: object) -> float:
        asked.append(self)
        return 1.0

    monkeypatch.setattr(Timed, "seconds", counted)
    assert len(Works(rows, H100).errors(HOPPER.model_dump(by_alias=True))) == len(rows)
    assert len(asked) == len(STREAMS)


def test_all_wrong_params_are_told_at_once() -> None:
    wrong = [Row("matmul", "any", Mark("made", at), {"m": -at}, 1.0) for at in (1, 2)]
    with pytest.raises(SpecError) as told:
        calibrate(wrong, H100, HOPPER, "made")
    assert [problem.mark.line for problem in told.value.problems] == [1, 2]


def test_a_block_names_files_of_any_name() -> None:
    source = 'overlapse calibrate a\\b "c".csv'
    text = block_text(HOPPER.model_copy(update={"source": source}))
    assert parse_document(text, "mine.yaml").data["calibration"]["measured"]["kernels"]["source"] == source
