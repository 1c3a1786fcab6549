"""A word is printed in one way, on the screen, in the report, in notebooks and in tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis import RUN_WORDS
from scenarios import Outcome, load_scenario, run
from scenarios.cli import app


@pytest.mark.parametrize(
    ("value", "text"), [(0.3117, "0.312"), (1.0, "1.000"), (-0.27, "-0.270"), (-1e-17, "0.000"), (None, "")]
)
def test_eta_is_a_number_from_0_to_1_not_a_percentage(value: float | None, text: str) -> None:
    assert RUN_WORDS["eta"].text(value) == text


def test_eta_reads_alike_wherever_it_stands() -> None:
    outcome = Outcome(load_scenario("library:llama3_8b_block"))
    eta = RUN_WORDS["eta"].text(outcome.words["eta"])
    percent = f"{100 * float(outcome.words['eta'] or 0):.4g} %"
    shown = CliRunner().invoke(app, ["run", "library:llama3_8b_block"]).stdout
    for place, text in (("screen", shown), ("report", outcome.report()), ("notebook", outcome._repr_html_())):
        assert re.search(rf"\b{re.escape(eta)}\b", text), place
        assert percent not in text, place


def test_a_failed_claim_about_eta_is_no_percentage(tmp_path: Path) -> None:
    file = tmp_path / "claim.yaml"
    file.write_text("extends: library:llama3_8b_block\nname: claim\nexpect: {eta: 0.5, mfu: 50 %}\n")
    shown = CliRunner().invoke(app, ["check", str(file)]).stdout
    assert "eta: want 0.5, got 0.67" in shown
    assert "mfu: want 50 %, got 89.3" in shown


def test_a_summary_goes_through_its_words() -> None:
    """Iterating asks for words, not for the places 0, 1, ... that a class with `[]` alone is asked for."""
    summary = run("library:month_on_eight_gpus").words
    assert list(summary) == list(summary.as_dict())
    assert "training_cost" in summary
    assert "no_such_word" not in summary
