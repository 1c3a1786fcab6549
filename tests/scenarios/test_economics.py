"""Money: the formulas against published figures and their scaling laws; chips' prices; the `economics` section.

The row ids are those of the founding documents' claims (E: economics, T: training, AI: "How to Scale Your Model", applied
inference). Every want is a closed form or a published figure; claims about whole scenarios stand in
`scenarios/library/economics`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import MONEY_WORDS, WORDS
from analysis import economics as money
from analysis.economics import formulas
from hw import Dimension, SpecError, chip_names, load_chip
from hw.input import parse, show
from scenarios import load_scenario, run, sweep
from scenarios.economics.money_words import WANTS
from tests.support.cases import overlapse
from tests.support.claims import SLACK, agree, number, outcome
from tests.support.strategies import chip_with, show_error

HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0
positive = st.floats(1e-3, 1e6)
factor = st.floats(1.0, 100.0)


# Published figures


def test_a_month_on_eight_gpus() -> None:
    """E07, E08, E09."""
    agree("E07", money.rent_usd(10, 720 * HOUR, chips=8), 57_600, SLACK)
    agree("E08", money.rent_usd(10, 240 * HOUR, chips=8), 19_200, SLACK)
    agree("E09", money.saved_share(57_600, 19_200), 38_400 / 57_600, SLACK)


def test_savings_of_a_year() -> None:
    """E12; E10: the document's hundreds of thousands of dollars are 10,139 USD at 10 USD/h."""
    agree("E12", money.yearly_usd(100 - 40), 21_900, SLACK)
    busy = money.chip_seconds_per_year(1e6, 10e-3)
    agree("E10 hours", busy / HOUR, 1014)
    agree("E10 one GPU a request", money.rent_usd(10, busy), 10_139)
    agree("E10 eight GPUs a request", money.rent_usd(10, money.chip_seconds_per_year(1e6, 10e-3, 8)), 81_111)


@pytest.mark.parametrize(
    ("chip", "price", "want"), [("h100_sxm", 10.8, 3.30e17), ("tpu_v5p", 4.2, 3.93e17), ("tpu_v5e", 1.2, 5.91e17)]
)
def test_flops_for_a_dollar(chip: str, price: float, want: float) -> None:
    """AI19 to AI21, at the peaks and prices of the catalogue, and as the table of the module prints them."""
    loaded = load_chip(chip)
    assert loaded.price_usd_per_h == price
    got = money.flops_per_usd(loaded.matrix_unit.peak_flops_per_s["bf16"], price)
    print(show_error(chip, got, want))
    assert f"{got:.2e}" == f"{want:.2e}"
    assert f"{want:.2e} FLOP/USD".replace("e+", "e") in str(formulas.__doc__)


def test_gpt3() -> None:
    """E11, F02: 29.1 days on 1000 A100 at 40 % MFU, 7.0 million USD at 10 USD/h; 6PD is 0.3 % off."""
    time_s = money.training_time_s(3.14e23, 1000, 312e12, 0.4)
    agree("E11 days", time_s / DAY, 29.1, 2e-3)
    agree("E11 USD", money.rent_usd(10, time_s, chips=1000), 7.0e6, 5e-3)
    agree("F02", money.training_flops(175e9, 300e9), 3.15e23, SLACK)
    agree("F07", money.training_flops(1, 1, 8) / money.training_flops(1, 1), 8 / 6, SLACK)


def test_spot_prices_with_interruptions() -> None:
    """T09: 2 min checkpoints, 4 h between interruptions, 10 min to come back."""
    agree("T09 interval", money.checkpoint_interval_s(120, 4 * HOUR) / HOUR, 0.516)
    lost = money.interrupted_share(120, 4 * HOUR, 600)
    agree("T09 lost", lost, 0.171, 3e-3)
    agree("T09 price", money.effective_usd_per_h(3, lost), 3.62)


def test_return_on_engineering() -> None:
    agree("cost", money.engineering_usd(160, 100), 16_000, SLACK)
    agree("roi", money.roi(21_900, 16_000), 5_900 / 16_000, SLACK)
    agree("payback", money.payback_s(16_000, 21_900) / DAY, 365 * 16_000 / 21_900, SLACK)
    assert money.roi(0, 16_000) == -1
    agree("electricity", money.electricity_usd(16.8 * 3.6e6, 0.12 / 3.6e6, 1.3), 16.8 * 1.3 * 0.12, SLACK)


# Laws


@given(positive, positive, factor)
def test_rent_is_linear_in_price_time_and_chips(price: float, time_s: float, times: float) -> None:
    once = money.rent_usd(price, time_s)
    for more in (
        money.rent_usd(times * price, time_s),
        money.rent_usd(price, times * time_s),
        money.rent_usd(price, time_s, chips=times),
        money.rent_usd(price, time_s, utilisation=1 / times),
    ):
        assert more == pytest.approx(times * once, rel=1e-9)


@given(positive, positive, positive, factor)
def test_a_training_scales(flops: float, chips: float, peak: float, times: float) -> None:
    once = money.training_time_s(flops, chips, peak, 0.4)
    assert money.training_time_s(times * flops, times * chips, peak, 0.4) == pytest.approx(once, rel=1e-9)
    assert money.training_time_s(flops, chips, times * peak, 0.4) == pytest.approx(once / times, rel=1e-9)
    assert money.training_time_s(flops, chips, peak, 0.4 / times) == pytest.approx(times * once, rel=1e-9)


@given(positive, positive)
def test_the_dollars_for_some_flops_times_the_flops_for_a_dollar(rate: float, price: float) -> None:
    assert money.flops_per_usd(rate, price) * money.rent_usd(price, 5.0) == pytest.approx(rate * 5.0, rel=1e-9)


@given(positive, positive)
def test_what_pays_back_within_a_year_has_a_return_above_zero(cost: float, savings: float) -> None:
    """Break-even: ROI of the first year is 0 where the payback time is a year, and one grows as the other falls."""
    back, gain = money.payback_s(cost, savings), money.roi(savings, cost)
    assert gain == pytest.approx(YEAR / back - 1, rel=1e-9, abs=1e-9)


@given(positive, factor)
def test_saved_share(before: float, times: float) -> None:
    assert money.saved_share(before, before / times) == pytest.approx(1 - 1 / times, abs=1e-12)
    assert money.saved_share(before, before * times) <= 0


@given(st.floats(1.0, 1e3), st.floats(1e5, 1e7), factor)
def test_young_saves_most(checkpoint_s: float, mtbf_s: float, times: float) -> None:
    """No other interval loses less."""
    interval = money.checkpoint_interval_s(checkpoint_s, mtbf_s)

    def lost(between: float) -> float:
        return checkpoint_s / between + between / (2 * mtbf_s)

    assert lost(interval) <= min(lost(interval * times), lost(interval / times)) * (1 + 1e-12)
    assert money.interrupted_share(checkpoint_s, mtbf_s, 0.0) == pytest.approx(lost(interval), rel=1e-12)


REFUSING: dict[str, Callable[[float], float]] = {
    "rent time": lambda x: money.rent_usd(1, x),
    "rent chips": lambda x: money.rent_usd(1, 1, chips=x),
    "rent utilisation": lambda x: money.rent_usd(1, 1, utilisation=x),
    "million": lambda x: money.usd_per_million(1, x),
    "parameters": lambda x: money.training_flops(x, 1),
    "tokens": lambda x: money.training_flops(1, x),
    "training flops": lambda x: money.training_time_s(x, 1, 1, 1),
    "training chips": lambda x: money.training_time_s(1, x, 1, 1),
    "training peak": lambda x: money.training_time_s(1, 1, x, 1),
    "training mfu": lambda x: money.training_time_s(1, 1, 1, x),
    "flops": lambda x: money.flops_per_usd(x, 1),
    "price": lambda x: money.flops_per_usd(1, x),
    "per day": lambda x: money.chip_seconds_per_year(x, 1),
    "request time": lambda x: money.chip_seconds_per_year(1, x),
    "before": lambda x: money.saved_share(x, 1),
    "hours": lambda x: money.engineering_usd(x, 1),
    "wage": lambda x: money.engineering_usd(1, x),
    "roi": lambda x: money.roi(1, x),
    "payback cost": lambda x: money.payback_s(x, 1),
    "payback savings": lambda x: money.payback_s(1, x),
    "checkpoint": lambda x: money.checkpoint_interval_s(x, 1),
    "mtbf": lambda x: money.checkpoint_interval_s(1, x),
}


@pytest.mark.parametrize("what", sorted(REFUSING))
@pytest.mark.parametrize("amount", [0.0, -1.0, float("nan"), float("inf")])
def test_zero_negative_and_endless_are_refused(what: str, amount: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        REFUSING[what](amount)


@pytest.mark.parametrize(
    "call",
    [
        lambda: money.rent_usd(-1, 1),
        lambda: money.electricity_usd(-1, 1),
        lambda: money.electricity_usd(1, -1),
        lambda: money.electricity_usd(1, 1, 0.9),
        lambda: money.yearly_usd(float("nan")),
        lambda: money.interrupted_share(1, 1e6, -1),
        lambda: money.interrupted_share(1, 10, 20),
        lambda: money.effective_usd_per_h(1, 1.0),
        lambda: money.effective_usd_per_h(1, -0.1),
        lambda: money.roi(float("inf"), 1),
    ],
)
def test_what_cannot_be_is_refused(call: Callable[[], float]) -> None:
    with pytest.raises(ValueError, match=r"must be|no time"):
        call()


def test_nothing_may_cost_nothing() -> None:
    assert money.rent_usd(0, 1) == money.electricity_usd(0, 1) == money.electricity_usd(1, 0) == 0
    assert money.yearly_usd(-1) == -365


# Prices of chips


def test_a_plain_price_is_on_demand_and_a_mapping_has_all() -> None:
    plain, all_ = chip_with("tpu_v5e", {}), chip_with("h100_sxm", {})
    assert (plain.prices.on_demand, plain.prices.reserved, plain.prices.spot) == (1.2, None, None)
    assert plain.price_usd_per_h == 1.2
    assert all_.prices.on_demand == 10.8
    assert all_.prices.spot is not None
    assert all_.prices.reserved is not None
    assert load_chip("mi250x").price_usd_per_h is None


def test_setting_one_tier_keeps_the_others() -> None:
    chip = chip_with("tpu_v5e", {"price.spot": "0.5 USD/h"})
    assert (chip.prices.on_demand, chip.prices.spot) == (1.2, 0.5)
    assert chip_with("mi250x", {"price.spot": "1 USD/h"}).prices.of("spot") == 1
    assert chip_with("h100_sxm", {"price": "3 USD/h"}).prices.reserved is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"price": "3 USD"}, r"set:1:20: '3 USD' is a sum of money, price wants a price"),
        ({"price.spto": "3 USD/h"}, "did you mean 'price.spot'"),
        ({"price.spot": "-1 USD/h"}, "price.spot must be 0 or more"),
    ],
)
def test_wrong_prices(values: dict[str, str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        chip_with("tpu_v5e", values)


@pytest.mark.parametrize("name", chip_names())
def test_renting_for_long_or_until_recalled_is_cheaper(name: str) -> None:
    prices = load_chip(name).prices
    for tier in (prices.reserved, prices.spot):
        assert tier is None or (prices.on_demand is not None and 0 < tier < prices.on_demand)


def test_units_of_money() -> None:
    assert parse("0.12 USD/kWh", Dimension.ENERGY_PRICE) == pytest.approx(0.12 / 3.6e6)
    assert parse("16.8 kWh", Dimension.ENERGY) == pytest.approx(60.48e6)
    assert parse("1 PFLOP/USD", Dimension.YIELD) == 1e15
    assert show(0.12 / 3.6e6, Dimension.ENERGY_PRICE) == "0.12 USD/kWh"
    assert show(3.3e17, Dimension.YIELD) == "3.3e+17 FLOP/USD"


# The section


BASE = """name: hour
system: {chip: tpu_v5e}
workload: {ops: ["y:bf16[1] = custom(x:bf16[1], flops=7.092e17 FLOP, unit=matrix)"]}
run: {overlap: full}
"""


def write(folder: Path, text: str, name: str = "s.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_every_word_of_money_has_a_rule_and_the_other_way_round() -> None:
    assert set(MONEY_WORDS) <= set(WANTS)
    assert set(WANTS) <= {*MONEY_WORDS, *WORDS}


def test_without_a_section_nothing_changes(tmp_path: Path) -> None:
    words = run(write(tmp_path, BASE))
    assert list(words.summary) == list(WORDS)
    assert words.words["roi"] is None
    assert "economics" not in words.as_json()


def test_a_section_adds_the_words_that_it_says_enough_for(tmp_path: Path) -> None:
    found = run(write(tmp_path, BASE + "economics: {runs_per_day: 24, tokens_per_run: 1000}\n"))
    added = [word for word in found.summary if word not in WORDS]
    assert added == ["cost_per_step", "cost_per_year", "chip_time_per_year", "flops_per_usd"]
    assert found.summary["cost_per_year"] == pytest.approx(1.2 * 24 * 365)
    assert found.summary["chip_time_per_year"] == pytest.approx(YEAR)
    assert found.summary["tokens_per_s"] == pytest.approx(1000 / HOUR)
    assert found.summary["cost_per_million_tokens"] == pytest.approx(1200)
    assert found.as_json()["economics"] == {"tier": "on_demand", "unknown": {}}


def test_an_unknown_price_is_null_with_its_reason_never_zero(tmp_path: Path) -> None:
    text = BASE.replace("tpu_v5e", "mi250x") + "economics: {electricity: 0.1 USD/kWh, tier: spot}\n"
    found = run(write(tmp_path, text))
    assert found.summary["cost"] is None
    assert found.summary["flops_per_usd"] is None
    assert found.summary["energy_cost"] is not None
    assert found.as_json()["economics"]["unknown"]["cost"] == "mi250x has no spot price"
    json.dumps(found.as_json(), allow_nan=False)


def test_an_unknown_power_is_null_with_its_reason(tmp_path: Path) -> None:
    found = run(write(tmp_path, BASE + "economics: {electricity: 0.1 USD/kWh}\n"))
    assert found.summary["energy_cost"] is None
    assert found.as_json()["economics"]["unknown"] == {"energy_cost": "tpu_v5e has no power figure"}


def test_all_chips_of_a_mixed_system_are_paid_for(tmp_path: Path) -> None:
    text = BASE.replace("{chip: tpu_v5e}", "{chips: [h100_sxm, 2 x h200], topology: switch(3) over nvlink}")
    cost = run(write(tmp_path, text + "economics: {tier: reserved}\n")).words["cost"]
    time_h = 7.092e17 / 9.89e14 / HOUR
    assert cost == pytest.approx((4.916 + 2 * 5.408) * time_h, rel=1e-9)
    lacking = text.replace("2 x h200", "2 x gb200")
    found = run(write(tmp_path, lacking + "economics: {tier: reserved}\n"))
    assert found.as_json()["economics"]["unknown"]["cost"] == "gb200 has no reserved price"


def test_what_saves_nothing_never_pays(tmp_path: Path) -> None:
    section = "economics: {runs_per_day: 1, baseline: {time: 1800 s}, engineering: {cost: 100 USD}}\n"
    found = run(write(tmp_path, BASE + section))
    assert found.summary["savings_per_year"] == pytest.approx(-0.6 * 365)
    assert found.summary["saved"] == pytest.approx(-1)
    assert found.summary["payback_time"] is None
    assert found.as_json()["economics"]["unknown"] == {"payback_time": "it saves nothing, so it never pays"}
    assert number(found.words, "roi") < -1


def test_a_baseline_is_run_and_priced_as_it_says(tmp_path: Path) -> None:
    """Half the time on a chip of another price: the baseline is run on its own system."""
    write(tmp_path, BASE.replace("tpu_v5e", "tpu_v5e, set: {price: 2 USD/h}"), "before.yaml")
    section = "economics: {runs_per_day: 10, baseline: before.yaml}\n"
    words = run(write(tmp_path, BASE + section)).words
    assert words["savings_per_year"] == pytest.approx(10 * 365 * (2 - 1.2))
    assert words["saved"] == pytest.approx(0.4)


def test_a_baseline_with_other_work_is_not_compared(tmp_path: Path) -> None:
    write(tmp_path, BASE + "economics: {runs_per_day: 20}\n", "before.yaml")
    found = run(write(tmp_path, BASE + "economics: {runs_per_day: 10, baseline: before.yaml}\n"))
    assert found.summary["savings_per_year"] is None
    assert "other work in a year" in found.as_json()["economics"]["unknown"]["savings_per_year"]


def test_a_mistake_in_the_baseline_is_reported_not_swallowed(tmp_path: Path) -> None:
    write(tmp_path, BASE.replace("tpu_v5e", "tpu_v5"), "before.yaml")
    found = run(write(tmp_path, BASE + "economics: {runs_per_day: 10, baseline: before.yaml}\n"))
    with pytest.raises(SpecError, match=r"before.yaml:2:16: unknown chip"):
        _ = found.words["savings_per_year"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{tier: spto}", r"s.yaml:5:19: "),
        ("{electricity: 3 USD/h}", r"s.yaml:5:26: '3 USD/h' is a price, economics.electricity wants a price of energy"),
        ("{utilisation: 0}", "economics.utilisation must be more than 0 and at most 1"),
        ("{runs_per_day: 1, requests_per_day: 2}", "economics: write one of runs_per_day, requests_per_day"),
        ("{trainings_per_year: 1}", "trainings_per_year wants a training"),
        ("{training: {}}", r"economics.training wants one of: steps"),
        ("{training: {steps: 1, flops: 3 FLOP}}", "economics.training wants one of"),
        ("{training: {flops: 3 FLOP, parameters: 3}}", "go together"),
        ("{training: {tokens: 3}}", "wants tokens_per_run"),
        ("{training: {steps: -3}}", "economics.training.steps"),
        ("{engineering: {time: 3 h}}", "economics.engineering wants cost, or time and wage"),
        ("{baseline: {}}", "economics.baseline"),
        ("{baseline: nowhere.yaml}", r"s.yaml:5:23: there is no scenario file '.*nowhere.yaml'"),
        ("{baseline: library:nowhere}", r"s.yaml:5:23: unknown scenario of the library"),
        ("{interruptions: {every: 0 s, checkpoint: 1 s}}", "economics.interruptions.every must be more than 0"),
        ("{baseline: {cost_per_day: 3}}", "a baseline's cost_per_day wants one of runs_per_day, requests_per_day"),
        ("{pue: true}", "true will not do for economics.pue: it wants a number"),
        ("{requests_per_day: true}", "true will not do for economics.requests_per_day: it wants a number"),
        ("{utilization: 1}", "did you mean 'economics.utilisation'"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, section: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_scenario(write(tmp_path, f"{BASE}economics: {section}\n"))


def test_a_claim_wants_what_its_word_needs(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"s.yaml:5:10: roi wants an economics section"):
        load_scenario(write(tmp_path, BASE + "expect: {roi: 3}\n"))
    text = BASE + "economics: {runs_per_day: 1}\nexpect: {roi: 3, savings_per_year: 3 USD}\n"
    with pytest.raises(SpecError, match="roi wants in economics: engineering, baseline") as caught:
        load_scenario(write(tmp_path, text))
    assert len(caught.value.problems) == 2


def test_interruptions_that_leave_no_time_are_a_reason(tmp_path: Path) -> None:
    section = "economics: {interruptions: {every: 10 s, checkpoint: 10 s, restart: 10 s}}\n"
    found = run(write(tmp_path, BASE + section))
    assert found.summary["cost"] is None
    assert "no time is left" in found.as_json()["economics"]["unknown"]["cost"]


def test_find_takes_words_of_money(tmp_path: Path) -> None:
    """Savings of 1 USD a run pay 1000 USD of engineering in a year from 3 runs a day on: 1095 > 1000 > 730."""
    section = "economics: {runs_per_day: 1, baseline: {time: 6600 s}, engineering: {cost: 1000 USD}}\n"
    find = "smallest: economics.runs_per_day, from: 1, to: 10, where: savings_per_year >= engineering_cost"
    assert run(write(tmp_path, BASE + section + f"study: {{find: {{{find}}}}}\n")).found == 3


def test_flops_per_dollar_of_every_chip() -> None:
    """A table over the whole catalogue: peak x 3600 / price where there is a price, null elsewhere."""
    frame = outcome("flops_per_dollar").study.set_index("system.chip")
    assert list(frame.index) == chip_names()
    assert not any(frame["error"])
    for name, row in frame.iterrows():
        chip = load_chip(str(name))
        price = chip.price_usd_per_h
        peaks = {str(dtype): rate for dtype, rate in chip.matrix_unit.peak_flops_per_s.items()}
        peak = next(peaks[dtype] for dtype in ("bf16", "fp16", "fp32") if dtype in peaks)
        if price is None:
            assert row["flops_per_usd"] != row["flops_per_usd"] or row["flops_per_usd"] is None
        else:
            assert row["flops_per_usd"] == pytest.approx(peak * HOUR / price, rel=1e-6)


def test_the_screen_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from scenarios.cli.show.run import show_outcome

    show_outcome(run(write(tmp_path, BASE + "economics: {runs_per_day: 24, electricity: 0.1 USD/kWh}\n")))
    said = " ".join(capsys.readouterr().out.split())
    assert "economics cost 1.2 USD, cost per step 1.2 USD" in said
    assert "energy cost not known: tpu_v5e has no power figure" in said


def test_prices_of_unlike_sources_are_marked_where_they_stand_together(tmp_path: Path) -> None:
    """On demand and reserved, of two sellers: the table, the frame and the page say that they are no ranking."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\nsystem: {chip: h100_sxm}\nworkload:\n  dims: {N: 4096}\n  ops:\n"
        "    - y:bf16[N,N] = matmul(x:bf16[N,N], w:bf16[N,N])\neconomics: {}\n",
        encoding="utf-8",
    )
    chips = ("study", str(path), "--vary", "system.chip=h100_sxm,v100_sxm2_32gb", "--show", "time,cost")
    shown = overlapse(*chips).stdout
    assert "a  on demand, How to Scale Your Model, February 2025\n  b  on demand, AWS" in shown
    assert [line.split()[-1] for line in shown.splitlines()[1:3]] == ["a", "b"]
    tiers = sweep(str(path), {"economics.tier": ["on_demand", "reserved"]})
    assert list(tiers.frame["priced_by"]) == [
        "on demand, How to Scale Your Model, February 2025",
        "reserved, AWS, January 2025",
    ]
    assert "reserved, AWS, January 2025" in tiers._repr_html_()
    own = sweep(str(path), {"system.set": [{"price": "3 USD/h"}, {"price.on_demand": "3 USD/h"}], "words": ["cost"]})
    assert list(own.frame["priced_by"]) == ["on demand, a price of its own"] * 2
    assert "priced_by" not in own._repr_html_()
    alike = overlapse("study", str(path), "--vary", "workload.dims.N=64,128", "--words", "cost").stdout
    assert "price" not in alike
    assert "priced on demand, How to Scale Your Model, February 2025" in overlapse("run", str(path)).stdout


def test_the_catalogue_says_who_asks_each_price() -> None:
    listed = overlapse("chips").stdout
    for name in chip_names():
        prices = load_chip(name).prices
        assert set(prices.known) == set(prices.sellers), name
        told = prices.told("on_demand")
        assert told is None or told in listed
