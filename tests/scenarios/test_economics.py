"""The section `economics`: its words, its mistakes, the reasons for what is not known, and where its words are shown.

Claims about whole scenarios stand in `scenarios/library/economics`; the formulas are tested with `analysis.economics`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from analysis import MONEY_WORDS, WORDS
from hw import SpecError, chip_names, load_chip
from scenarios import load_scenario, run, sweep
from scenarios.economics.money_words import WANTS
from tests.support.cases import overlapse
from tests.support.claims import number, outcome

HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0
positive = st.floats(1e-3, 1e6)
factor = st.floats(1.0, 100.0)

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
