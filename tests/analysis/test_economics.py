"""Money: the formulas against published figures, and their scaling laws.

The row ids are those of the founding documents' claims (E: economics, T: training, AI: "How to Scale Your Model", applied
inference). Every want is a closed form or a published figure.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import economics as money
from analysis.economics import formulas
from hw import load_chip
from tests.support.claims import SLACK, agree
from tests.support.strategies import show_error

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
