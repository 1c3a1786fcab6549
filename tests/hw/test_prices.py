"""Prices of chips: how they are written, set and refused, and that the catalogue's make sense beside each other."""

from __future__ import annotations

import pytest

from hw import SpecError, chip_names, load_chip
from tests.support.cases import overlapse
from tests.support.strategies import chip_with


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


def test_the_catalogue_says_who_asks_each_price() -> None:
    listed = overlapse("chips").stdout
    for name in chip_names():
        prices = load_chip(name).prices
        assert set(prices.known) == set(prices.sellers), name
        told = prices.told("on_demand")
        assert told is None or told in listed
