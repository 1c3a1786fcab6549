"""Quantities: what each unit is worth, what is refused and with which words, and numbers back to text.

Law: number x factor, with factors from the SI and IEC prefixes written out here; another dimension is refused.
Source: SI brochure, 9th edition, table 7 (decimal prefixes); IEC 80000-13:2008 (binary prefixes).
"""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Dimension
from hw.input import UNITS, parse, show
from tests.support.strategies import outcome

D = Dimension
ANYTHING = st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.lists(st.integers()))


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("3.35 TB/s", D.BANDWIDTH, 3.35e12),
        ("80 GB", D.DATA, 80e9),
        ("80 GiB", D.DATA, 80 * 2**30),
        ("1 KiB", D.DATA, 1024),
        ("1 kB", D.DATA, 1000),
        ("128 MiB", D.DATA, 134_217_728),
        ("2 TiB", D.DATA, 2 * 2**40),
        ("8 bit", D.DATA, 1),
        ("8 Gbit", D.DATA, 1e9),
        ("400 Gbit/s", D.BANDWIDTH, 50e9),
        ("1 us", D.TIME, 1e-6),
        ("5ms", D.TIME, 5e-3),
        ("7 ps", D.TIME, 7e-12),
        ("2 min", D.TIME, 120),
        ("1.5 h", D.TIME, 5400),
        ("2 day", D.TIME, 172_800),
        ("989 TFLOP/s", D.FLOP_RATE, 989e12),
        ("394 TOP/s", D.FLOP_RATE, 394e12),
        ("1 PFLOP", D.WORK, 1e15),
        ("1.5 GHz", D.FREQUENCY, 1.5e9),
        ("700 W", D.POWER, 700),
        ("3 kJ", D.ENERGY, 3000),
        ("10.8 USD/h", D.PRICE, 10.8),
        ("4 USD", D.MONEY, 4),
        ("35 %", D.RATIO, 0.35),
        ("240 FLOP/B", D.INTENSITY, 240),
        ("  1e-3   s ", D.TIME, 1e-3),
        ("+.5 s", D.TIME, 0.5),
        ("1_000 s", D.TIME, 1000),
        ("8.2e11", D.BANDWIDTH, 8.2e11),
        (42, D.DATA, 42),
        (0.25, D.RATIO, 0.25),
    ],
)
def test_a_quantity_in_base_units(text: object, dimension: Dimension, value: float) -> None:
    assert parse(text, dimension) == pytest.approx(value, rel=1e-15)


def test_gb_is_not_gib_and_a_bit_is_not_a_byte() -> None:
    assert parse("1 GiB", D.DATA) / parse("1 GB", D.DATA) == 1.073741824
    assert parse("1 GB/s", D.BANDWIDTH) == 8 * parse("1 Gbit/s", D.BANDWIDTH)


def test_every_unit_of_the_design_is_known() -> None:
    """Prefixes k M G T P and Ki Mi Gi Ti of B and bit, amounts and rates, and the plain ones."""
    prefixes = ["", *"kMGTP", "Ki", "Mi", "Gi", "Ti"]
    data = [f"{prefix}{symbol}" for prefix in prefixes for symbol in ("B", "bit")]
    plain = ["s", "ms", "us", "ns", "ps", "min", "h", "day", "FLOP", "OP", "FLOP/s", "W", "J", "USD", "USD/h", "%"]
    missing = [name for name in (*data, *(f"{unit}/s" for unit in data), *plain) if name not in UNITS]
    assert not missing


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_the_dimension_is_checked(name: str, wanted: str) -> None:
    """A unit is taken exactly where its dimension is wanted; the refusal names both."""
    unit, dimension = UNITS[name], UNITS[wanted].dimension
    if unit.dimension is dimension:
        assert parse(f"3 {name}", dimension) == pytest.approx(3 * unit.factor)
        return
    with pytest.raises(ValueError, match=r"\{key\} wants") as caught:
        parse(f"3 {name}", dimension)
    assert unit.dimension.noun in str(caught.value)
    assert f"'3 {name}'" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "dimension", "words"),
    [
        ("1e31 B", D.DATA, "beyond all reason"),
        ("1e29 PB", D.DATA, "beyond all reason"),
        (-9e-31, D.TIME, "beyond all reason"),
        ("80 GB/s", D.DATA, "'80 GB/s' is a bandwidth, {key} wants bytes"),
        ("80 gb", D.DATA, "a bit is written 'bit', a byte 'B'"),
        ("80 Gb/s", D.BANDWIDTH, "a bit is written 'bit', a byte 'B'"),
        ("80 Gbps", D.BANDWIDTH, "a bit is written 'bit', a byte 'B'"),
        ("80 GiBs", D.DATA, "unknown unit 'GiBs', did you mean 'GiB'?"),
        ("5 secs", D.TIME, "unknown unit 'secs'"),
        ("GB", D.DATA, "'GB' is not a number with a unit"),
        ("", D.DATA, "'' is not a number with a unit"),
        ("1 2 GB", D.DATA, "is not a number with a unit"),
        ("inf", D.TIME, "is not a number with a unit"),
        ("nan s", D.TIME, "is not a number with a unit"),
        ("1e999 s", D.TIME, "is not a finite number"),
        (math.inf, D.TIME, "is not a finite number"),
        (math.nan, D.TIME, "is not a finite number"),
        (10**400, D.TIME, "is not a finite number"),
        (True, D.TIME, "is not a quantity"),
        (None, D.TIME, "is not a quantity"),
        ([1], D.TIME, "is not a quantity"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_is_wanted(value: object, dimension: Dimension, words: str) -> None:
    with pytest.raises(ValueError, match=r"\{key\}") as caught:
        parse(value, dimension)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(ANYTHING, st.sampled_from(sorted(D, key=str)))
def test_anything_becomes_a_finite_number_or_a_value_error(value: object, dimension: Dimension) -> None:
    got = outcome(lambda: parse(value, dimension))
    assert "{key}" in str(got) if isinstance(got, ValueError) else math.isfinite(got)


SANE = st.floats(1e-30, 1e30).flatmap(lambda size: st.sampled_from([size, -size, 0.0]))


@given(SANE, st.sampled_from(sorted(D, key=str)))
def test_a_bare_number_is_in_base_units(value: float, dimension: Dimension) -> None:
    assert parse(value, dimension) == value
    assert parse(repr(value), dimension) == value
    assert parse(f"{value!r} {dimension.unit}", dimension) == value


SHOWN = [
    (D.TIME, 1e-12, 299.0),
    (D.TIME, 301.0, 1e7),
    (D.DATA, 1.0, 1e21),
    (D.BANDWIDTH, 1.0, 1e18),
    (D.FLOP_RATE, 1.0, 1e21),
    (D.WORK, 1.0, 1e24),
    (D.POWER, 1.0, 1e9),
    (D.ENERGY, 1.0, 1e12),
    (D.PRICE, 0.01, 1e6),
    (D.MONEY, 0.01, 1e9),
    (D.RATIO, 1e-6, 10.0),
    (D.INTENSITY, 1e-3, 1e6),
]


@pytest.mark.parametrize(("dimension", "low", "high"), SHOWN)
def test_what_is_shown_reads_back_to_four_digits(dimension: Dimension, low: float, high: float) -> None:
    @given(st.floats(low, high))
    def law(value: float) -> None:
        assert parse(show(value, dimension), dimension) == pytest.approx(value, rel=5.1e-4)

    law()


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (217.892e-6, D.TIME, "217.9 us"),
        (3.35e12, D.BANDWIDTH, "3.35 TB/s"),
        (0.354, D.RATIO, "35.4 %"),
        (0.0, D.TIME, "0 s"),
        (600.0, D.TIME, "10 min"),
        (7200.0, D.TIME, "2 h"),
        (259_200.0, D.TIME, "3 day"),
        (10.8, D.PRICE, "10.8 USD/h"),
        (9653.4, D.MONEY, "9653 USD"),
        (17_061.2, D.MONEY, "17,060 USD"),
        (-2.7e6, D.MONEY, "-2,700,000 USD"),
        (122_548.0, D.RATE, "122,500 /s"),
        (5e15, D.MONEY, "5e+15 USD"),
        (240.244, D.INTENSITY, "240.2 FLOP/B"),
    ],
)
def test_as_a_person_reads_it(value: float, dimension: Dimension, text: str) -> None:
    assert show(value, dimension) == text


MEANT = [
    ("Gbps", Dimension.BANDWIDTH, "Gbit/s"),
    ("Gb/s", Dimension.BANDWIDTH, "Gbit/s"),
    ("gbps", Dimension.BANDWIDTH, "Gbit/s"),
    ("Mbps", Dimension.BANDWIDTH, "Mbit/s"),
    ("Gibps", Dimension.BANDWIDTH, "Gibit/s"),
    ("Gbits/s", Dimension.BANDWIDTH, "Gbit/s"),
    ("GBps", Dimension.BANDWIDTH, "GB/s"),
    ("GB/sec", Dimension.BANDWIDTH, "GB/s"),
    ("Gbytes/s", Dimension.BANDWIDTH, "GB/s"),
    ("Gigabit/s", Dimension.BANDWIDTH, "Gbit/s"),
    ("megabytes/s", Dimension.BANDWIDTH, "MB/s"),
    ("gibibytes", Dimension.DATA, "GiB"),
    ("KB/s", Dimension.BANDWIDTH, "kB/s"),
    ("Gb", Dimension.DATA, "Gbit"),
    ("KB", Dimension.DATA, "kB"),
    ("TFLOPS", Dimension.FLOP_RATE, "TFLOP/s"),
    ("tflops", Dimension.FLOP_RATE, "TFLOP/s"),
    ("TOPS", Dimension.FLOP_RATE, "TOP/s"),
    ("GFLOPs", Dimension.WORK, "GFLOP"),
    ("ghz", Dimension.FREQUENCY, "GHz"),
    ("µs", Dimension.TIME, "us"),
    ("usec", Dimension.TIME, "us"),
    ("sec", Dimension.TIME, "s"),
    ("hours", Dimension.TIME, "h"),
    ("mins", Dimension.TIME, "min"),
    ("KW", Dimension.POWER, "kW"),
    ("$/hr", Dimension.PRICE, "USD/h"),
]


@pytest.mark.parametrize(("name", "dimension", "unit"), MEANT)
def test_a_unit_in_another_spelling_is_told_how_it_is_written(name: str, dimension: Dimension, unit: str) -> None:
    with pytest.raises(ValueError, match="has the unknown unit") as caught:
        parse(f"200 {name}", dimension)
    assert f"did you mean '{unit}'" in str(caught.value)
    assert f"'{name}'; " in str(caught.value) or f"'{name}', did" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Gbps", "Gb/s", "Gbit/S", "Gbits/s", "gbit/s", "Gib/s", "GBps", "GByte/s", "GBYTES/S"]
)
def test_no_hint_is_wrong_by_a_factor_of_eight(name: str) -> None:
    """A byte is never the first that is offered for a bit, nor a bit for a byte."""
    with pytest.raises(ValueError, match="did you mean") as caught:
        parse(f"1 {name}", Dimension.BANDWIDTH)
    first = str(caught.value).partition("did you mean '")[2].partition("'")[0]
    assert ("bit" in first) == ("b" in name.replace("BYTES", "B").replace("Byte", "B"))


@pytest.mark.parametrize("name", ["GT/s", "mW", "EUR/h", "furlongs"])
def test_nothing_is_offered_for_a_unit_that_is_another(name: str) -> None:
    """A transfer is no bit, a milliwatt no megawatt, a euro no dollar."""
    dimension = {"GT/s": Dimension.BANDWIDTH, "mW": Dimension.POWER, "EUR/h": Dimension.PRICE}
    with pytest.raises(ValueError, match="has the unknown unit") as caught:
        parse(f"1 {name}", dimension.get(name, Dimension.TIME))
    assert "did you mean" not in str(caught.value)


def test_units_of_money() -> None:
    assert parse("0.12 USD/kWh", Dimension.ENERGY_PRICE) == pytest.approx(0.12 / 3.6e6)
    assert parse("16.8 kWh", Dimension.ENERGY) == pytest.approx(60.48e6)
    assert parse("1 PFLOP/USD", Dimension.YIELD) == 1e15
    assert show(0.12 / 3.6e6, Dimension.ENERGY_PRICE) == "0.12 USD/kWh"
    assert show(3.3e17, Dimension.YIELD) == "3.3e+17 FLOP/USD"
