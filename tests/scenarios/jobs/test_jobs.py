"""Jobs of scenarios: published intervals, exact renewals, money, what is wrong with a section, screen and JSON."""

from __future__ import annotations

import json
import math
from html import escape
from pathlib import Path

import pytest

from analysis import JOB_WORDS
from analysis.economics import PricePath, checkpoint_interval_s, daly_interval_s, renewal_factor
from analysis.words import mean_of
from hw import SpecError
from scenarios import find, load_scenario, run, sweep
from tests.support.docs_runner import call

HOUR = 3600.0
MINUTE = 60.0

SPOT = """\
name: spot
about: ""
system: {chip: h100_sxm, set: {price.spot: 3 USD/h}}
workload:
  ops:
    - y:bf16[1] = custom(x:bf16[1], flops=9.89e14 FLOP, unit=matrix)
run: {overlap: full}
economics: {tier: spot}
job:
  steps: 172980
  checkpoint: {every: 31 min, write: 2 min}
  failures: {mtbf: 4 h}
  restart: 10 min
  seeds: 200
"""


@pytest.fixture
def spot(tmp_path: Path) -> Path:
    path = tmp_path / "spot.yaml"
    path.write_text(SPOT, encoding="utf-8")
    return path


@pytest.mark.parametrize(("mtbf_h", "minutes"), [(24, 117), (6, 57), (0.25, 9.1)])
def test_daly_s_interval_is_as_published(mtbf_h: float, minutes: float) -> None:
    """Daly 2006, figures 3 to 5: checkpoints of 5 min, to the digits that are printed."""
    digit = 1.0 if minutes > 10 else 0.1
    assert daly_interval_s(5 * MINUTE, mtbf_h * HOUR) / MINUTE == pytest.approx(minutes, abs=digit / 2)


def test_daly_s_interval_has_the_least_time_of_all() -> None:
    for mtbf_s in (HOUR, 4 * HOUR, 50 * HOUR):
        best = daly_interval_s(2 * MINUTE, mtbf_s)
        least = renewal_factor(best, 2 * MINUTE, mtbf_s)
        grid = [renewal_factor(best * (0.5 + at / 200), 2 * MINUTE, mtbf_s) for at in range(400)]
        assert least <= min(grid) * (1 + 1e-5)


def test_the_effective_price_of_spot_machines(spot: Path) -> None:
    """3.57 USD/h by exact renewals, 3.62 to Young's first order; simulated within 2 % of both."""
    exact = 3 * renewal_factor(31 * MINUTE, 2 * MINUTE, 4 * HOUR, 10 * MINUTE)
    assert exact == pytest.approx(3.57, abs=5e-3)
    summary = run(str(spot)).summary
    assert summary["effective_price"] == pytest.approx(exact, rel=0.02)
    assert summary["effective_price"] == pytest.approx(3.62, rel=0.02)
    assert summary["young_interval"] == checkpoint_interval_s(2 * MINUTE, 4 * HOUR)
    hours = 172980 / 3600
    assert summary["job_cost"] == pytest.approx(summary["effective_price"] * hours, rel=1e-12)  # type: ignore[operator]
    assert summary["goodput"] == pytest.approx(3 / summary["effective_price"], rel=1e-12)  # type: ignore[operator]


@pytest.mark.long
@pytest.mark.parametrize(("mtbf", "low", "high"), [("20 h", 20, 200)])
def test_find_recovers_the_best_interval(spot: Path, mtbf: str, low: int, high: int) -> None:
    """In 200 lives, within 5 % of Young's and of Daly's: some thousand rollbacks, each known to 1 / sqrt of their number. At
    50 h a scenario of the library claims it."""
    where = "lost_time + checkpoint_time <= rollbacks * checkpoint_every"
    asked = f"{{smallest: job.checkpoint.every, from: {low} min, to: {high} min, step: 1 min, where: {where}}}"
    changes = [f"job.failures.mtbf={mtbf}", "job.steps=3000000", f"study.find={asked}"]
    found = find(load_scenario(str(spot), changes))
    assert found is not None
    minutes = float(str(found.value).removesuffix(" min"))
    hours = float(mtbf.removesuffix(" h"))
    assert minutes == pytest.approx(checkpoint_interval_s(2 * MINUTE, hours * HOUR) / MINUTE, rel=0.05)
    assert minutes == pytest.approx(daly_interval_s(2 * MINUTE, hours * HOUR) / MINUTE, rel=0.05)


def test_every_second_is_in_one_word(spot: Path) -> None:
    summary = run(str(spot), ["job.seeds=7", "job.jitter=1 %"]).summary
    times = ("slow_time", "checkpoint_time", "lost_time", "restart_time", "away_time")
    assert summary["job_time"] == pytest.approx(172980 + sum(float(summary[word] or 0) for word in times), rel=1e-9)


def test_a_study_over_seeds_is_the_lives_of_one_run(spot: Path) -> None:
    """Twelve rows of one life each, and one run of twelve lives; the rows are far too many to be run apart by chance."""
    rows = sweep(str(spot), {"job.seeds": [1], "job.seed": list(range(12))}).frame
    together = run(str(spot), ["job.seeds=12"])
    assert rows["job_time"].nunique() == 12
    mean = mean_of(rows["job_time"].tolist())
    assert together.summary["job_time"] == pytest.approx(mean.value, rel=1e-12)
    ends = together.as_json()["job"]["interval_95"]["job_time"]
    assert mean.error is not None
    assert (ends["low"], ends["high"]) == pytest.approx((mean.value - mean.error, mean.value + mean.error), rel=1e-12)


def test_rows_that_differ_in_numbers_alone_are_those_of_runs_by_themselves(spot: Path) -> None:
    """Rows of a study are worked out together where they are alike; a job's life is no such thing."""
    intervals = [f"{10 + at} min" for at in range(12)]
    rows = sweep(str(spot), {"job.checkpoint.every": intervals, "job.seeds": [2]}).frame
    for interval, time_s in zip(intervals, rows["job_time"], strict=True):
        alone = run(str(spot), [f"job.checkpoint.every={interval}", "job.seeds=2"]).summary["job_time"]
        assert alone == time_s


@pytest.mark.parametrize(
    ("draws", "error"), [([0, 1, 2, 3, 4], 1.9631), (list(range(11)), 2.2281 * math.sqrt(11 / 11))]
)
def test_the_interval_of_a_mean_is_student_s(draws: list[float], error: float) -> None:
    """t(4) = 2.776 times sqrt(2.5 / 5), t(10) = 2.228 times sqrt(11 / 11): tables of Student's distribution."""
    mean = mean_of(draws)
    assert mean.error == pytest.approx(error, rel=3e-3)
    assert mean_of(draws[:4]).error is None


PATH = PricePath(((0.0, 3.0), (8 * HOUR, 12.0), (18 * HOUR, 3.0)), 24 * HOUR, 10.0)


@pytest.mark.parametrize(("hours", "usd"), [(8, 24), (18, 24), (20, 30), (24, 42), (25, 45), (91.25, 153.75)])
def test_nothing_is_paid_above_the_bid(hours: float, usd: float) -> None:
    assert PATH.paid_usd(hours * HOUR) == pytest.approx(usd, rel=1e-12)
    assert PATH.above_the_bid() == ((8 * HOUR, 18 * HOUR),)


def test_a_job_without_prices_or_failures_says_why(spot: Path) -> None:
    outcome = run(str(spot), ["system.chip=mi250x", "system.set=null", "job.failures=null"])
    reasons = outcome.as_json()["job"]["unknown"]
    assert outcome.summary["job_cost"] is outcome.summary["effective_price"] is None
    assert reasons["job_cost"] == "a chip has no spot price"
    assert reasons["job_mtbf"] == "nothing fails"
    assert outcome.summary["young_interval"] is None


def test_a_step_that_is_said_is_not_run(spot: Path) -> None:
    words = run(str(spot), ["job.step=2 s", "job.failures=null", "job.checkpoint=null"]).summary
    assert words["job_time"] == 2 * 172980
    assert words["time"] == pytest.approx(1.0)


def test_paces_that_are_drawn_for_a_life_are_not_in_its_steps_as_well(tmp_path: Path) -> None:
    """What the run takes the mean of the job draws: no machine is counted as the slowest twice."""
    file = tmp_path / "eight.yaml"
    eight = SPOT.replace(
        "system: {chip: h100_sxm,", "system: {chip: h100_sxm, topology: switch(8) over nvlink, mesh: {X: 8},"
    )
    meets = "    - g:bf16[8,8] = all_gather(p:bf16[8_X,8], over=X, after=[y])\nrun:"
    file.write_text(eight.replace("run:", meets))
    plain = ["job.failures=null", "job.checkpoint=null", "job.steps=100", "job.seeds=3"]
    alike, in_step, drawn, both = (
        run(str(file), [*plain, *more]).summary
        for more in ([], ["run.spread=5 %"], ["job.spread=5 %"], ["run.spread=5 %", "job.spread=5 %"])
    )
    assert float(in_step["time"] or 0) / float(alike["time"] or 0) == pytest.approx(1 + 0.05 * 1.4236, rel=1e-4)
    assert in_step["job_time"] == pytest.approx(100 * float(in_step["time"] or 0), rel=1e-9)
    assert both["job_time"] == drawn["job_time"] != alike["job_time"]


def test_a_slowdown_takes_the_time_of_a_run_with_its_values(spot: Path) -> None:
    """A chip at half its peak, six times at once on average, so for 1 - exp(-6) of the time: twice as long then."""
    slow = "{every: 10 min, lasts: 1 h, set: {system.set.matrix_unit.peak.bf16: 494.5 TFLOP/s}}"
    words = run(
        str(spot), [f"job.slowdowns.half={slow}", "job.failures=null", "job.checkpoint=null", "job.seeds=9"]
    ).summary
    expected = 1 / (1 - (1 - math.exp(-6)) / 2)
    assert float(words["job_time"] or 0) / 172980 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("job.failures={}", "failures wants mtbf, or a trace"),
        ("job.failures={trace: none.yaml, of: 3}", "there is no file"),
        ("job.failures={trace: none.yaml}", "a trace wants `of`"),
        ("job.failures={mtbf: 4 h, fit: true}", "fit and of go with a trace"),
        ("job.checkpoint.write=-2 min", "must be"),
        ("job.slowdowns={a: {every: 1 h, lasts: 1 h}}", "a wants factor, or set"),
        ("job.slowdowns={a: {every: 1 h, lasts: 1 h, set: {sistem.chip: x}}}", "unknown section 'sistem'"),
        ("job.slowdowns={a: {every: 1 h, lasts: 1 h, set: {job.steps: 3}}}", "not the job"),
        ("job.spot={prices: [{at: 1 h, price: 1 USD/h}]}", "prices begin at 0"),
        ("job.spot={prices: [{price: 3 USD/h}], bid: 2 USD/h}", "never has a machine"),
        ("job.spot={prices: [{price: 3 USD/h}, {at: 5 h, price: 1 USD/h}], period: 4 h}", "the period ends before"),
        ("job.machines=3", ""),
        ("job.shrink=3", "shrinks to more machines"),
        ("job={steps: 10, checkpoint: {write: 1 s}}", "checkpoint wants every, or failures and write"),
        ("job.chekpoint={every: 1 h}", "did you mean 'job.checkpoint'"),
    ],
)
def test_what_is_wrong_is_told(spot: Path, change: str, said: str) -> None:
    changes = [change, "job.machines=2"] if "shrink" in change else [change]
    if not said:
        load_scenario(str(spot), changes)
        return
    with pytest.raises(SpecError) as error:
        load_scenario(str(spot), changes)
    assert any(said in str(problem) for problem in error.value.problems), error.value


def test_words_of_a_job_want_one(spot: Path) -> None:
    with pytest.raises(SpecError, match="goodput wants a job section"):
        load_scenario(str(spot), ["job=null", "expect.goodput=1"])
    assert run(str(spot), ["job=null"]).words["goodput"] is None


def test_the_screen_and_json_tell_it(spot: Path) -> None:
    """On the screen of 23 lines that a terminal of 24 has beside its prompt."""
    plain = [str(spot), "--set", "economics=null", "--set", "system.set={price.on_demand: 3 USD/h}"]
    code, said = call(["run", *plain], {"COLUMNS": "80"})
    screen = said.splitlines()
    assert code == 0
    assert len(screen) <= 23
    assert max(map(len, screen)) <= 80
    assert screen[1].startswith("job of 172,980 steps: 2.3")
    assert "mean of 200 lives" in screen[1]
    assert "effective price 3.5" in screen[4]
    code, said = call(["run", *plain, "--json"])
    told = json.loads(said)
    assert code == 0
    assert set(JOB_WORDS) <= set(told)
    assert told["job"]["lives"] == 200
    ends = told["job"]["interval_95"]["goodput"]
    assert ends["low"] < told["goodput"] < ends["high"]


def test_the_reasons_and_the_report_tell_it(spot: Path) -> None:
    found = run(str(spot), ["job.seeds=2"])
    lines = found.beside["the job"]
    assert lines[0].startswith("job of 172,980 steps: ")
    report = found.report()
    assert all(escape(line) in report for line in lines)
    code, said = call(["explain", str(spot), "--set", "job.seeds=2"], {"COLUMNS": "200"})
    assert code == 0
    assert "\nthe job\n" + "".join(f"  {line}\n" for line in lines) in said
    assert "\neconomics\n" in said


def test_a_table_of_a_study_has_the_words_that_say_most(spot: Path) -> None:
    code, said = call(["study", str(spot), "--vary", "job.seed=0,1", "--set", "job.seeds=1"])
    head, *rows = said.splitlines()
    assert code == 0
    assert "rollbacks" not in head
    for word in ("job time", "goodput", "failures", "job cost", "effective price"):
        assert word in head
    assert " %" not in rows[0][head.index("failures") : head.index("job cost")]
    code, said = call(["study", str(spot), "--vary", "job.seed=0,1", "--set", "job.seeds=1", "--words", "rollbacks"])
    assert "rollbacks" in said.splitlines()[0]
